"""Updates: the caller's operators or pipeline, after the class's hook."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mongospec_core.codec.codec_options import decode, encode, named
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.validation import named_value
from mongospec_core.errors import EncodingError, OptionError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, refuse_foreign
from mongospec_core.model.hooks import run_dict_hook
from mongospec_core.operations.filter_checks import equalities
from mongospec_core.operations.filters import Filter
from mongospec_core.operations.update_checks import check_update
from mongospec_core.operations.upserts import add_inserted_fields
from mongospec_core.server import place as places

type Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Update operators (``{"$set": {...}}``), or a pipeline: a list of stages."""


async def encode_update(
    binding: Binding,
    update: Update,
    options: Mapping[str, Any],
    *,
    skip_hooks: bool,
    query: bytes | None = None,
    upsert: bool = False,
) -> bytes | list[bytes]:
    """Return the caller's update after the class's ``__pre_update__``, ready to be sent.

    :param options: the operation's: ``array_filters``, and with ``on_insert=False`` an upsert gets no
        defaults.
    :param query: the filter, as it is sent.
    :param upsert: whether a document is inserted if there is none; it gets the tag of the class.
    :raises OptionError: a document without operators, which would replace the stored one.
    :raises DocumentValidationError: it would leave a document that no read takes.
    """
    plan = binding.plan
    cls = plan.cls
    if places.used:
        refuse_foreign(update)
    hooked = not skip_hooks and "__pre_update__" in binding.hooks
    if type(update) is dict or isinstance(update, Mapping):
        change = dict(update)
        if hooked:
            change = await run_dict_hook(cls, "__pre_update__", change)
        _refuse_other_updates(cls, change)
        if upsert:
            assert query is not None
            defaults = options.get("on_insert", True)
            add_inserted_fields(binding, decode(query), change, defaults=defaults)
        try:  # not by named(): every update runs this
            data = encode(change if plan.version is None else _raising_version(plan, change))
        except EncodingError as error:
            raise named_value(f"{cls.__name__}: an update", change, error) from error
        if binding.paths is not None:
            check_update(binding.paths, change, options.get("array_filters"), query)
        return data
    stages = _stages_of(cls, update)
    if hooked:
        added = await run_dict_hook(cls, "__pre_update__", {})
        if unknown := added.keys() - {"$set"}:
            raise OptionError(
                f"{cls.__name__}.__pre_update__ adds {', '.join(sorted(unknown))}; to a pipeline "
                f"update only $set can be added"
            )
        if added:
            # A pipeline's $set reads values as expressions; the hook's are literal values.
            fields = {name: {"$literal": value} for name, value in added["$set"].items()}
            stages.append({"$set": fields})
    if upsert and query is not None and binding.plan.tag is not None:
        _refuse_untagged(binding, decode(query), stages)
    if plan.version is not None:
        stages.append(_raising_stage(plan, stages))
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


def _refuse_untagged(binding: Binding, filter: Filter, stages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an upsert by a pipeline without a tag: a pipeline cannot tell an insert from an update.

    :raises OptionError: it would insert a document without a tag.
    """
    assert binding.plan.tag is not None
    field, tag = binding.plan.tag
    if field in equalities(filter) or any(field in stage.get("$set", ()) for stage in stages):
        return
    raise OptionError(
        f"{binding.plan.cls.__name__}: an upsert by a pipeline would insert a document without its "
        f"tag; put {field!r}: {tag!r} into the filter, or {{'$set': {{{field!r}: {tag!r}}}}} into the "
        f"pipeline"
    )


def _refuse_other_updates(cls: type, change: dict[str, Any]) -> None:
    """Refuse an update without operators: it would replace the stored document.

    :raises OptionError: a key is not an operator, or a whole document is an operand.
    """
    given: dict[Any, Any] = change or {"": None}  # which is refused as well
    for operator, fields in given.items():
        if not (isinstance(operator, str) and operator.startswith("$")):
            raise OptionError(
                f"{cls.__name__}: an update has operators, like {{'$set': {{...}}}}, "
                f"not {shown(change)}; to replace a whole document use find_one_and_replace"
            )
        if type(fields) is not dict and isinstance(fields, DocumentBase):
            raise OptionError(
                f"{cls.__name__}: {operator} takes a dict of fields, not a document; name the "
                f"fields, or save() the document, which sends what changed"
            )


# -- versions: every update raises them


def _raising_version(plan: Plan[Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return the update with an operator that raises the version."""
    assert plan.version is not None
    for operator, fields in change.items():
        names = list(fields) if isinstance(fields, Mapping) else []
        if operator == "$rename" and isinstance(fields, Mapping):
            names += fields.values()
        _refuse_version(plan, names)
    return change | {"$inc": {**change.get("$inc", {}), plan.version: 1}}


def _raising_stage(plan: Plan[Any], stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the stage that raises the version after *stages*: a pipeline has no ``$inc``."""
    for stage in stages:
        _refuse_version(plan, _touched_by(stage))
    return {"$set": {plan.version: {"$add": [{"$ifNull": [f"${plan.version}", 0]}, 1]}}}


def _touched_by(stage: Mapping[str, Any]) -> Iterable[Any]:
    """Return the paths that a stage of a pipeline writes; None stands for the whole document."""
    for name, what in stage.items():
        if name not in ("$set", "$addFields", "$unset"):
            yield None
        elif isinstance(what, str):
            yield what
        else:
            yield from what


def _refuse_version(plan: Plan[Any], paths: Iterable[Any]) -> None:
    """Refuse updates that write the version, or a write based on an older one could succeed.

    :raises OptionError: an update writes it.
    """
    for path in paths:
        if path is None:
            raise OptionError(
                f"{plan.cls.__name__}: a pipeline that replaces the document removes its "
                f"{plan.version_field}; use $set and $unset"
            )
        if str(path).partition(".")[0] == plan.version:
            raise OptionError(
                f"{plan.cls.__name__}: the update writes {path!r}, the field that counts the "
                f"writes; every update raises it by 1, so leave it out"
            )
