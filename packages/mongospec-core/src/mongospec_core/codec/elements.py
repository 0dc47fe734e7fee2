"""BSON documents as elements, one a field: split, compared and joined without being decoded.

Raw values are compared here as well: two are equal if their BSON is.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Iterable
from decimal import Decimal
from math import isnan
from struct import Struct
from typing import Any, Final

import msgspec

from mongospec_core.codec.codec_options import decode, encode

type Differing = tuple[bytes | None, bytes | None]
"""An element of one document, and that of the other; None if there is none."""

_SIZES: Final = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
_COUNTED: Final = {2: 4, 3: 0, 4: 0, 5: 5, 12: 16, 13: 4, 14: 4, 15: 0}  # beside the count itself
ONE_SPELLING: Final = frozenset({2, 7, 8, 9, 16, 18})
"""BSON types with one encoding for each value: text, ObjectId, bool, date, integers."""
_count = Struct("<i").unpack_from


def _end(data: bytes, kind: int, value: int) -> int:
    """Return the end of an element whose value starts at *value*."""
    if kind in _COUNTED:
        size: int = _count(data, value)[0]
        return value + size + _COUNTED[kind]
    if kind in _SIZES:
        return value + _SIZES[kind]
    return data.index(0, data.index(0, value) + 1) + 1  # a regular expression: two texts


def split_elements(data: bytes, start: int = 4) -> dict[str, bytes]:
    """Return the elements of a BSON document by name; each includes its type and its name."""
    elements: dict[str, bytes] = {}
    while start < len(data) - 1:
        value = data.index(0, start + 1) + 1
        end = _end(data, data[start], value)
        elements[data[start + 1 : value - 1].decode()] = data[start:end]
        start = end
    return elements


def differing_elements(one: bytes, other: bytes) -> dict[str, Differing]:
    """Return the elements that are not the same in two documents, by their names.

    They are compared side by side while their fields have the same names, up to the last difference;
    :func:`changed_fields` does not call this with equal documents.
    """
    differing: dict[str, Differing] = {}
    at = start = 4
    last = len(other) - 1
    while start < last:
        value = other.index(0, start + 1) + 1
        stop = _end(other, other[start], value)
        element = other[start:stop]
        if one.startswith(element, at):
            at += stop - start
        elif one.startswith(other[start + 1 : value], at + 1):  # the same field
            end = _end(one, one[at], at + value - start)
            differing[other[start + 1 : value - 1].decode()] = one[at:end], element
            at = end
            if len(one) - at == len(other) - stop and one.endswith(other[stop:]):
                return differing
        else:
            break
        start = stop
    rest, other_rest = split_elements(one, at), split_elements(other, start)
    for name in other_rest | rest:
        if rest.get(name) != other_rest.get(name):
            differing[name] = rest.get(name), other_rest.get(name)
    return differing


def join_elements(elements: Iterable[bytes]) -> bytes:
    """Return the BSON document with these *elements*."""
    body = b"".join(elements)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def array_of(documents: Iterable[bytes]) -> bytes:
    """Return the BSON array of these *documents*, which are BSON."""
    return join_elements(map(b"\3%d\0%b".__mod__, enumerate(documents)))


def element_value(element: bytes) -> Any:
    """Return the value of one element, as raw data."""
    (value,) = decode(join_elements((element,))).values()
    return value


def as_stored(value: Any) -> Any:
    """Return *value* as it is read back from BSON; ``UNSET`` is kept."""
    return value if value is msgspec.UNSET else decode(encode({"": value}))[""]


def bson_equal(one: Any, other: Any) -> bool:
    """Return whether two BSON values are equal: ``1`` is not ``True``, the order of keys counts."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other and isinstance(one, bool) is isinstance(other, bool)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(bson_equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(bson_equal, one, other))
    if isinstance(one, float):
        return one == other or (isnan(one) and isnan(other))
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())  # 1.50 is not 1.5, and NaN is NaN
    try:
        return bool(one == other)
    except (TypeError, ArithmeticError):
        return encode({"": one}) == encode({"": other})
