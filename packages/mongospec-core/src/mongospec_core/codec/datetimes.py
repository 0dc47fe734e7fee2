"""Cut values in objects to what BSON keeps, so that an object equals its stored copy.

BSON dates are milliseconds in UTC. Before a document is written, its datetimes and timedeltas are
converted in the object itself; a naive datetime becomes UTC, as which the driver would store it.
Lists, dicts and nested Structs are changed in place, so that other references to them stay valid.
Frozen values are replaced by a cut copy, so that their hash does not change.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import dataclasses
import datetime as dt
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import msgspec
from bson.tz_util import utc

from mongospec_core.codec.class_cache import forget_by
from mongospec_core.codec.raw_values import ENDLESS, Rejected
from mongospec_core.errors import EncodingError

type Truncation = Callable[[Any, str], Any]
"""Takes a value and the name of its field (for warnings), returns the value that can be stored."""


def truncate(value: Any, where: str) -> Any:
    """Return *value* cut to what BSON keeps; the same object if there is nothing to cut."""
    cut = _truncations.get(type(value))
    if cut is None:
        cut = _truncations[type(value)] = _truncate_for(type(value))
    try:
        return cut(value, where)
    except RecursionError as error:
        raise EncodingError(f"{where}: {ENDLESS}") from error


def truncate_naive(value: Any, where: str) -> Any:
    """Like :func:`truncate` for a field annotated ``Meta(tz=False)``: it stays naive."""
    if isinstance(value, dt.datetime) and value.microsecond % 1000:
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


def register_truncation(tp: type, cut: Truncation) -> None:
    """Register how values of *tp* and its subclasses are cut; plans of Structs use this."""
    _families[tp] = cut
    _truncations.clear()


def _keep(value: Any, where: str) -> Any:
    return value


def _datetime(value: dt.datetime, where: str) -> dt.datetime:
    if value.tzinfo is None:
        _warn_of_naive(value, where)
        value = value.replace(tzinfo=dt.UTC)
    elif value.tzinfo is not dt.UTC and value.tzinfo is not utc:  # utc is what BSON is read as
        # In its own zone, an ambiguous or skipped hour never equals the value that is read.
        try:
            value = value.astimezone(dt.UTC)
        except OverflowError:
            return value  # outside the calendar in UTC: BSON refuses it
    if value.microsecond % 1000:
        value = value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


def _warn_of_naive(value: dt.datetime, where: str) -> None:
    if time.tzname == ("UTC", "UTC"):  # as on most servers; other zones' offsets vary
        return
    try:
        offset = value.astimezone().utcoffset()
    except (OverflowError, OSError, ValueError):
        return  # the local time would be before year 1 or after 9999
    if offset:
        # The default filter shows equal texts once: one warning per field.
        warnings.warn(
            f"{where} holds a naive datetime; it is stored as UTC, which is not this machine's "
            f"local time: use datetime.now(UTC)",
            UserWarning,
            stacklevel=2,
        )


def _timedelta(value: dt.timedelta, where: str) -> dt.timedelta:
    rest = value.microseconds % 1000
    return value - dt.timedelta(microseconds=rest) if rest else value


def _list(value: list[Any], where: str, cut: Truncation = truncate) -> list[Any]:
    for place, each in enumerate(value):
        if (new := cut(each, where)) is not each:
            value[place] = new
    return value


def _dict(value: dict[Any, Any], where: str, cut: Truncation = truncate) -> dict[Any, Any]:
    for key, each in value.items():
        if (new := cut(each, where)) is not each:
            value[key] = new  # an existing key: the dict keeps its size
    return value


def _frozen(value: Any, where: str, cut: Truncation = truncate) -> Any:
    return _remade(value, [cut(each, where) for each in value])


def _remade(value: Any, items: list[Any]) -> Any:
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return getattr(value, "_make", type(value))(items)


def _set(value: set[Any], where: str, cut: Truncation = truncate) -> set[Any]:
    changed = [(each, new) for each in value if (new := cut(each, where)) is not each]
    value.difference_update([old for old, _ in changed])
    value.update([new for _, new in changed])
    return value


_CONTAINERS: dict[type, Callable[..., Any]] = {
    list: _list,
    dict: _dict,
    set: _set,
    frozenset: _frozen,
    tuple: _frozen,
}


def truncate_items(cut: Truncation) -> Truncation:
    """Return how to cut a list, a tuple, a set or a dict: *cut* cuts its items or values."""

    def truncated(value: Any, where: str) -> Any:
        for tp, container in _CONTAINERS.items():
            if isinstance(value, tp):
                return container(value, where, cut)
        return truncate(value, where)

    return truncated


def truncate_dict(cut_key: Truncation, cut: Truncation | None) -> Truncation:
    """Return how to cut a dict: *cut_key* cuts its keys, *cut* its values."""
    inside = truncate_items(cut or _keep)

    def truncated(value: Any, where: str) -> Any:
        if isinstance(value, dict):
            keys = [cut_key(key, where) for key in value]
            if any(new is not old for new, old in zip(keys, value, strict=True)):
                new = dict(zip(keys, value.values(), strict=True))
                if len(new) == len(value):  # else two keys would become one: it is refused
                    value.clear()
                    value.update(new)
        return inside(value, where)

    return truncated


def truncate_places(cuts: Sequence[Truncation]) -> Truncation:
    """Return how to cut a tuple, with one cut per position."""

    def truncated(value: Any, where: str) -> Any:
        if not isinstance(value, tuple) or len(value) != len(cuts):
            return truncate(value, where)
        return _remade(value, [cut(each, where) for cut, each in zip(cuts, value, strict=True)])

    return truncated


def truncate_keys(cuts: Mapping[str, Truncation]) -> Truncation:
    """Return how to cut a dict, with one cut per key."""

    def truncated(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return truncate(value, where)
        for name in cuts.keys() & value.keys():
            if (new := cuts[name](value[name], where)) is not value[name]:
                value[name] = new
        return value

    return truncated


def _dataclass(value: Any, where: str) -> Any:
    cuts: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        old = getattr(value, field.name)
        if (cut := truncate(old, where)) is not old:
            cuts[field.name] = cut
    if cuts and value.__dataclass_params__.frozen:
        value = copy(value)  # the old one may be in a set, which depends on its hash
    for name, cut in cuts.items():
        object.__setattr__(value, name, cut)
    return value


def _rejected(value: Rejected, where: str) -> Any:
    raise EncodingError(f"{where}: {type(value).__name__}")


_truncations: dict[type, Truncation] = {}  # by exact type, found once
forget_by(_truncations.clear)
_families: dict[type, Truncation] = {
    dt.datetime: _datetime,
    dt.timedelta: _timedelta,
    **_CONTAINERS,
    Rejected: _rejected,
    msgspec.Struct: _keep,  # until plans register their own
}


def _truncate_for(tp: type) -> Truncation:
    for base in tp.__mro__:
        if base in _families:
            return _families[base]
    return _dataclass if dataclasses.is_dataclass(tp) else _keep
