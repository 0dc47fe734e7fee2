"""What an update does: the caller's operators or pipeline, after the class's hook."""

from collections.abc import Mapping, Sequence
from typing import Any

from mongospec_core.codec.codec_options import encode, named
from mongospec_core.errors import EncodingError, OptionError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.hooks import run_dict_hook
from mongospec_core.operations.filters import Filter, equalities

type Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Update operators (``{"$set": {...}}``), or a pipeline: a list of stages."""


async def encode_update(
    binding: Binding, update: Update, *, skip_hooks: bool, upserts: Filter | None = None
) -> bytes | list[bytes]:
    """The caller's update after the class's ``__pre_update__``, ready to be sent.

    :param upserts: the filter of an upsert: what it inserts gets the tag of the class.
    :raises OptionError: a document without operators, which would replace the stored one.
    """
    cls = binding.plan.cls
    hooked = not skip_hooks and "__pre_update__" in binding.hooks
    if isinstance(update, Mapping):
        change = dict(update)
        if hooked:
            change = await run_dict_hook(cls, "__pre_update__", change)
        given: list[Any] = list(change)
        if not given or not all(isinstance(key, str) and key.startswith("$") for key in given):
            raise OptionError(
                f"{cls.__name__}: an update is made of operators, like {{'$set': {{...}}}}, "
                f"not {shown(change)}; to put a whole document in place use find_one_and_replace"
            )
        for operator, fields in change.items():
            if isinstance(fields, DocumentBase):
                raise OptionError(
                    f"{cls.__name__}: {operator} takes a dict of fields, not a document; name the "
                    f"fields, or save() the document, which sends what changed"
                )
        if upserts is not None and binding.plan.tag is not None:
            _add_tag(binding, upserts, change)
        try:  # not by named(): it is called for every update
            return encode(change)
        except EncodingError as error:
            raise EncodingError(f"{cls.__name__}: an update: {error}") from error
    stages = _stages_of(cls, update)
    if hooked:
        added = await run_dict_hook(cls, "__pre_update__", {})
        if unknown := added.keys() - {"$set"}:
            raise OptionError(
                f"{cls.__name__}.__pre_update__ adds {', '.join(sorted(unknown))}; to a pipeline "
                f"update only $set can be added"
            )
        if added:
            # A pipeline's $set reads values as expressions; the hook's are meant as they are.
            fields = {name: {"$literal": value} for name, value in added["$set"].items()}
            stages.append({"$set": fields})
    if upserts is not None and binding.plan.tag is not None:
        _refuse_untagged(binding, upserts, stages)
    return [named(cls.__name__, "an update", encode, stage) for stage in stages]


def _stages_of(cls: type, update: Any) -> list[dict[str, Any]]:
    try:
        stages = [dict(stage) for stage in update]
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{cls.__name__}: an update is a dict of operators or a list of stages, not {shown(update)}"
        ) from error
    if not stages:
        raise OptionError(f"{cls.__name__}: an empty pipeline updates nothing")
    return stages


def _add_tag(binding: Binding, filter: Filter, change: dict[str, Any]) -> None:
    """Let an upsert store the tag of the class, unless the caller or the filter say another."""
    assert binding.plan.tag is not None
    field, tag = binding.plan.tag
    if _is_tagged(binding, filter) or any(
        isinstance(fields, Mapping) and field in fields for fields in change.values()
    ):
        return
    change["$setOnInsert"] = {**change.get("$setOnInsert", {}), field: tag}


def _refuse_untagged(binding: Binding, filter: Filter, stages: Sequence[Mapping[str, Any]]) -> None:
    """A pipeline cannot tell an insert from an update, so the caller has to say the tag.

    :raises OptionError: an upsert would insert a document without a tag.
    """
    assert binding.plan.tag is not None
    field, tag = binding.plan.tag
    if _is_tagged(binding, filter) or any(field in stage.get("$set", ()) for stage in stages):
        return
    raise OptionError(
        f"{binding.plan.cls.__name__}: an upsert by a pipeline would insert a document without its "
        f"tag; put {field!r}: {tag!r} into the filter, or {{'$set': {{{field!r}: {tag!r}}}}} into the "
        f"pipeline"
    )


def _is_tagged(binding: Binding, filter: Filter) -> bool:
    """Whether what an upsert by *filter* inserts has a tag, from the filter or the class's scope."""
    assert binding.plan.tag is not None
    exact = binding.scope is not None and binding.scope.is_exact
    return exact or binding.plan.tag[0] in equalities(filter)
