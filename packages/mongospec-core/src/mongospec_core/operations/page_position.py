"""A position in a sort, and the filter of the documents that come after it."""

# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Mapping, Sequence
from math import inf, isnan, nan
from typing import Any, NamedTuple

from bson import DBRef
from bson.raw_bson import RawBSONDocument

from mongospec_core.codec.codec_options import encode
from mongospec_core.errors import EncodingError, PageTokenError
from mongospec_core.limits import MAX_DOCUMENT_BYTES

_KINDS: Sequence[tuple[int, ...]] = (
    (-1,),  # MinKey
    (4,),  # only empty lists; others are sorted, and found, by their elements
    (6, 10),  # undefined, null and missing fields
    (1, 16, 18, 19),  # numbers, NaN first
    (2, 14),  # text
    (3,),  # documents
    (5,),  # binary data
    (7,),  # ObjectId
    (8,),  # booleans
    (9,),  # dates
    (17,),  # timestamps
    (11,),  # regular expressions
    (12,),  # DBPointer
    (13,),  # code
    (15,),  # code with a scope
    (127,),  # MaxKey
)
"""MongoDB's order of types, by ``$type`` numbers: ``$gt`` and ``$lt`` compare within one type."""
_NULL, _NUMBER, _DOCUMENT = 2, 3, 5
_KIND = {number & 255: place for place, numbers in enumerate(_KINDS) for number in numbers}
_SINGLE = frozenset({_KIND[255], _NULL, _KIND[127]})  # types with a single value
_NOT_COMPARED = frozenset(_KIND[number] for number in (4, 11, 12, 13, 15))


def can_begin_page(value: Any) -> bool:
    """Return whether a page can begin at a value: MongoDB compares it, and takes it literally."""
    kind = _kind(value)
    return kind not in _NOT_COMPARED and not (kind == _DOCUMENT and _has_operators(value))


def _kind(value: Any) -> int:
    """Return the position of a value's type in the order."""
    return _KIND[encode({"": value})[4]]


def _has_operators(value: Any) -> bool:
    """Return whether a key at any depth begins with $, as in a DBRef, stored as {"$ref": ...}."""
    if isinstance(value, list | dict):
        items: Any = value.values() if isinstance(value, dict) else value
        keys: Any = value if isinstance(value, dict) else ()
        return any(key.startswith("$") for key in keys) or any(map(_has_operators, items))
    return isinstance(value, DBRef)


class Position(NamedTuple):
    """The position where a page begins: beyond these values, or at them."""

    values: list[Any]
    backwards: bool
    inclusive: bool


def beyond(name: str, query: bytes, order: Mapping[str, int], place: Position) -> bytes:
    """Return the filter for the documents that match *query* and come after *place* in *order*.

    All values are operands of ``$eq``, ``$gt`` and ``$lt``, which take them literally: a token's
    values are only compared, and can never be a query.

    :raises PageTokenError: they are too large or too deep for one.
    """
    branches: list[dict[str, Any]] = []
    same: dict[str, Any] = {}
    for (field, way), value in zip(order.items(), place.values, strict=True):
        branches += [{**same, field: each} for each in _greater(value, way > 0)]
        same = {**same, field: {"$eq": value}}
    if place.inclusive:
        branches.append(same)
    field, way = next(iter(order.items()))
    # It follows from the branches, and lets a single index scan begin at the position.
    bound = {field: {"$not": {"$lt" if way > 0 else "$gt": place.values[0]}}}
    beyond = {"$and": [RawBSONDocument(query), bound, {"$or": branches or [{"$nor": [{}]}]}]}
    try:
        data = encode(beyond)
    except EncodingError as error:
        raise PageTokenError(f"{name}: the values of after= do not fit into a query") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise PageTokenError(f"{name}: the values of after= do not fit into a query")
    return data


def _greater(value: Any, up: bool) -> list[dict[str, Any]]:
    """Return conditions on a field, one of which holds for each value that comes after *value*."""
    kind = _kind(value)
    found: list[dict[str, Any]] = []
    if kind == _NUMBER and isnan(value):
        if up:
            found.append({"$gte": -inf})  # all numbers but NaN, which only equals NaN
    elif kind not in _SINGLE:
        found.append({"$gt" if up else "$lt": value})
        if kind == _NUMBER and not up:
            found.append({"$eq": nan})
    others = _KINDS[kind + 1 :] if up else _KINDS[:kind]
    if _KINDS[_NULL] in others:
        found.append({"$eq": None})  # a missing field has no type
    if others:
        found.append({"$type": [number for numbers in others for number in numbers]})
    return found
