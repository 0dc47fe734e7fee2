"""Filters: the caller's filter or id, scoped by the class's hook."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from bson import ObjectId
from bson.errors import InvalidId

from mongospec_core.codec.annotations import unwrap
from mongospec_core.codec.codec_options import encode_query, named
from mongospec_core.codec.plan import DecHook, Plan
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.codec.validation import named_value
from mongospec_core.errors import EncodingError, InvalidIdError, OptionError, shown
from mongospec_core.model.binding import Binding, refuse_foreign
from mongospec_core.model.hooks import run_dict_hook
from mongospec_core.model.ids import id_filter
from mongospec_core.operations.filter_checks import check_filter
from mongospec_core.server import place as places

type Filter = Mapping[str, Any]
"""A MongoDB query; values may be dates, enums, decimals, documents as everywhere."""


def or_all(filter: Filter | None) -> Filter:
    """Return the filter of a read, for which None means all documents. A write needs ``{}``."""
    return {} if filter is None else filter


def eq(value: Any) -> dict[str, Any]:
    """Return the condition that a field equals *value*: for untrusted values of any type.

    In a filter, a dict such as ``{"$ne": None}`` is read as operators, and a request's body may
    contain one. In ``eq`` it stays a value, and is refused if no document can have it there.

    .. code-block:: python

        body = {"email": "alice@example.com"}  # {"email": {"$ne": None}} would be refused
        user = await User.find_one({"email": eq(body["email"])})
    """
    return {"$eq": value}


def refuse_other_filters(cls: type, filter: Any) -> None:
    """Refuse a filter that is not a dict.

    :raises OptionError: it is not a dict.
    """
    if type(filter) is not dict and not isinstance(filter, Mapping):  # an ABC takes its time
        hint = (
            "{} means all" if filter is None else "to look a document up by its id use find_by_id"
        )
        raise OptionError(f"{cls.__name__}: a filter is a dict, not {shown(filter)}; {hint}")


async def encode_filter(binding: Binding, filter: Filter, *, skip_hooks: bool) -> bytes:
    """Return the caller's filter after the class's ``__pre_find__``, ready to be sent.

    :raises OptionError: it is not a filter, or cannot be right.
    """
    refuse_other_filters(binding.plan.cls, filter)
    if not skip_hooks and "__pre_find__" in binding.hooks:
        filter = await run_dict_hook(binding.plan.cls, "__pre_find__", dict(filter))  # noqa: A001
    if places.used:
        refuse_foreign(filter)
    asked = filter
    if binding.scope is not None:
        filter = binding.scope.applied(filter)  # noqa: A001
    try:  # not by named(): every read and most writes run this
        data = encode_query(filter)
    except EncodingError as error:
        raise named_value(f"{binding.plan.cls.__name__}: a filter", filter, error) from error
    if binding.paths is not None:
        check_filter(binding.paths, asked)
    return data


def by_id(plan: Plan[Any], value: Any) -> dict[str, Any]:
    """Return the filter for one id, which is converted to the class's id type.

    :raises InvalidIdError: it cannot be an id of this class.
    """
    return id_filter(plan.cls, named(plan.cls.__name__, "an _id", to_raw, as_id(plan, value)))


def as_id(plan: Plan[Any], value: Any) -> Any:
    """Convert *value* to the class's id type: ``"65f0…"`` becomes an ObjectId, ``"7"`` an int."""
    if type(value) is ObjectId and plan.object_ids:
        return value
    annotation = next(each.type for each in plan.fields if each.name == "_id")
    if value is None:
        raise InvalidIdError(f"{plan.cls.__name__}: None is not an id")
    try:
        return msgspec.convert(value, annotation, strict=False, dec_hook=_id_hook(plan))
    except (msgspec.ValidationError, InvalidId, TypeError, ValueError) as error:
        tp = unwrap(annotation)
        arms = [unwrap(each) for each in get_args(tp) or (tp,) if each is not type(None)]
        names = " or ".join(getattr(each, "__name__", str(each)) for each in arms)
        raise InvalidIdError(
            f"{plan.cls.__name__}: {shown(value)} is not an id of this class, which is {names}"
        ) from error


def _id_hook(plan: Plan[Any]) -> DecHook:
    def dec_hook(tp: type, value: Any) -> Any:
        if isinstance(value, tp):
            return value
        if tp is ObjectId:
            return ObjectId(value)
        if plan.dec_hook is not None:
            return plan.dec_hook(tp, value)
        raise TypeError(f"cannot make a {tp.__name__}")

    return dec_hook
