"""What an update does: the caller's operators or pipeline, after the class's hook."""

from collections.abc import Mapping, Sequence
from typing import Any

from mongospec_core.codec.codec_options import encode
from mongospec_core.errors import OptionError
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.hooks import run_dict_hook
from mongospec_core.operations.checks import check_update

type Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Update operators (``{"$set": {...}}``), or a pipeline: a list of stages."""


async def encode_update(
    binding: Binding,
    update: Update,
    *,
    skip_hooks: bool,
    check: bool = False,
    array_filters: Sequence[Any] | None = None,
) -> bytes | list[bytes]:
    """The caller's update after the class's ``__pre_update__``, ready to be sent.

    :param check: whether operators that are sent are checked against the class.
    :param array_filters: the option of that name, which is checked with them.
    :raises OptionError: a document without operators, which would replace the stored one.
    :raises DocumentValidationError: it would leave a document that no read takes.
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
                f"not {change!r}; to put a whole document in place use find_one_and_replace"
            )
        for operator, fields in change.items():
            if isinstance(fields, DocumentBase):
                raise OptionError(
                    f"{cls.__name__}: {operator} takes a dict of fields, not a document; name the "
                    f"fields, or save() the document, which sends what changed"
                )
        data = encode(change)
        if check and binding.paths is not None:
            check_update(binding.paths, change, array_filters)
        return data
    try:
        stages = [dict(stage) for stage in update]
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{cls.__name__}: an update is a dict of operators or a list of stages, not {update!r}"
        ) from error
    if not stages:
        raise OptionError(f"{cls.__name__}: an empty pipeline updates nothing")
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
    return [encode(stage) for stage in stages]
