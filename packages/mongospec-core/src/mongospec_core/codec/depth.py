"""The depth of values: more levels than MongoDB accepts are refused before the driver sees them."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Mapping
from itertools import chain
from typing import Any

from bson import Code, DBRef

from mongospec_core.codec.raw_values import FLAT_TYPES, to_raw
from mongospec_core.errors import EncodingError, cut
from mongospec_core.limits import MAX_NESTING


class NestingError(EncodingError):
    """A value has more levels than MongoDB accepts."""


def refuse_deep(value: Mapping[str, Any]) -> None:
    """Refuse a value with more levels than MongoDB accepts, level by level.

    :raises NestingError: it is nested too deeply; the path is named.
    """
    if not _is_deeper(value, MAX_NESTING):
        return
    place: list[str] = []
    part: Any = value
    while len(place) < _SHOWN_LEVELS:
        most = MAX_NESTING - len(place) - 1
        part = _parts(part)
        pairs: Any = part.items() if isinstance(part, Mapping) else enumerate(part)
        name, part = next((name, each) for name, each in pairs if _is_deeper(each, most))
        place.append(str(name))
    raise NestingError(
        f"nested more than {MAX_NESTING} levels deep, which is MongoDB's limit, at "
        f"{cut('.'.join(place))}..."
    )


_SHOWN_LEVELS = 3


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        types = set(map(type, level))
        if types <= FLAT_TYPES:
            return False
        if types == {dict}:
            level = [*chain.from_iterable(map(dict.values, level))]
        else:
            parts = [_parts(each) for each in level if type(each) not in FLAT_TYPES]
            level = [*chain.from_iterable(map(_values, parts))]
    return any(_parts(each) != () for each in level if type(each) not in FLAT_TYPES)


def _values(parts: Any) -> Any:
    return parts.values() if isinstance(parts, dict) else parts


def _parts(value: Any) -> Any:
    """Return what a value holds on its next level, by name or in order; ``()`` if it is flat."""
    if type(value) is dict or type(value) is list:
        return value
    raw = to_raw(value)
    if isinstance(raw, DBRef):
        return dict(raw.as_doc())
    if isinstance(raw, Code):
        return _parts(raw.scope)
    return raw if isinstance(raw, dict | list) else ()
