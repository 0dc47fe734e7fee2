"""MongoDB's ``$jsonSchema`` of a class: what the codec stores, by BSON types.

A validator on the server refuses what a read would refuse, as far as ``$jsonSchema`` can say it. It has no
``$ref``, so a class inside itself is an object of any fields; and nothing about the time in a ``date``, the
text of a ``time``, the keys of a dict or the length of bytes.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# Annotations are of any type; this module tells the types apart.

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from enum import Enum, Flag
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

import msgspec
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from msgspec.structs import FieldInfo

from mongospec_core.codec.annotations import (
    accepts_anything,
    declared_fields,
    stored_fields,
    unwrapped,
)
from mongospec_core.codec.raw_values import is_registered, to_raw

type Schema = dict[str, Any]

_WHOLE = ("int", "long")
_NUMBERS = ("double", *_WHOLE)
_BSON_TYPES: dict[Any, tuple[str, ...]] = {
    NoneType: ("null",),
    str: ("string",),
    bool: ("bool",),
    int: _WHOLE,
    Int64: _WHOLE,
    dt.timedelta: _WHOLE,
    float: _NUMBERS,
    Decimal: ("decimal",),
    Decimal128: ("decimal",),
    **dict.fromkeys((dt.datetime, dt.date, DatetimeMS), ("date",)),
    dt.time: ("string",),
    **dict.fromkeys((uuid.UUID, bytes, bytearray, memoryview, Binary), ("binData",)),
    ObjectId: ("objectId",),
    **dict.fromkeys((re.Pattern, Regex), ("regex",)),
    Timestamp: ("timestamp",),
    Code: ("javascript", "javascriptWithScope"),
    MinKey: ("minKey",),
    MaxKey: ("maxKey",),
    DBRef: ("object",),
}
_LIMITS = {"ge": "minimum", "gt": "minimum", "le": "maximum", "lt": "maximum"}
_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}


def bson_schema(*classes: Any) -> Schema:
    """Return the ``$jsonSchema`` of the documents of one class, or of one of several."""
    found = [_document(each, ()) for each in classes]
    return found[0] if len(found) == 1 else {"bsonType": "object", "anyOf": found}


def _document(tp: Any, above: tuple[Any, ...]) -> Schema:
    cls: Any = get_origin(tp) or tp
    fields = stored_fields(tp)
    properties = {
        each.encode_name: _without_null(each.type, above)
        if each.encode_name == "_id"
        else _schema(each.type, above)
        for each in fields
    }
    schema: Schema = {"bsonType": "object", "title": cls.__name__, "properties": properties}
    needed = [each.encode_name for each in fields if each.required]
    if needed:  # MongoDB refuses an empty list
        schema["required"] = needed
    config = getattr(cls, "__struct_config__", None)
    if is_typeddict(cls) or (config is not None and config.forbid_unknown_fields):
        schema["additionalProperties"] = False
    return schema


def _without_null(annotation: Any, above: tuple[Any, ...]) -> Schema:
    """The schema of an id: what is stored has one, whatever the annotation says of new documents."""
    tp, _ = unwrapped(annotation)
    if get_origin(tp) in (Union, UnionType):
        arms = [each for each in get_args(tp) if each is not NoneType]
        return _any_of(_schema(each, above) for each in arms)
    return _schema(annotation, above)


def _schema(annotation: Any, above: tuple[Any, ...]) -> Schema:
    tp, metas = unwrapped(annotation)
    if get_origin(tp) in (Union, UnionType):
        arms = [each for each in get_args(tp) if each is not msgspec.UnsetType]
        schema = _any_of(_constrained(_schema(each, above), metas) for each in arms)
    else:
        schema = _constrained(_of_type(NoneType if tp is None else tp, above), metas)
    return schema


def _any_of(schemas: Iterable[Schema]) -> Schema:
    """One schema for several; those that are mere types become one list of types."""
    plain: dict[str, None] = {}
    others: list[Schema] = []
    for each in schemas:
        if not each:
            return {}
        if each.keys() == {"bsonType"}:
            plain.update(dict.fromkeys(_types_in(each)))
        elif each not in others:
            others.append(each)
    if plain:
        others.append(_types(tuple(plain)))
    return others[0] if len(others) == 1 else {"anyOf": others}


def _types(names: tuple[str, ...]) -> Schema:
    return {"bsonType": names[0] if len(names) == 1 else list(names)}


def _types_in(schema: Schema) -> list[str]:
    found = schema.get("bsonType", [])
    return [found] if isinstance(found, str) else found


def _of_type(tp: Any, above: tuple[Any, ...]) -> Schema:
    cls: Any = get_origin(tp) or tp
    if get_origin(tp) is Literal:
        return {"enum": [to_raw(each) for each in get_args(tp)]}
    if accepts_anything(tp) or not isinstance(cls, type):
        return {}
    if is_registered(cls) and not hasattr(cls, "__bson_decoder__"):
        return {}
    if (known := _BSON_TYPES.get(cls)) is not None:
        return _types(known)
    if hasattr(cls, "__bson_stored_as__"):
        return _without_null(cls.__bson_stored_as__().annotation, above)
    if hasattr(cls, "__bson_decoder__"):
        return {}
    if issubclass(cls, Enum):
        return _types(_WHOLE) if issubclass(cls, Flag) else {"enum": [to_raw(e) for e in cls]}
    return _of_class(cls, tp, above)


def _of_class(cls: Any, tp: Any, above: tuple[Any, ...]) -> Schema:
    is_struct = issubclass(cls, msgspec.Struct)
    if is_struct and cls.__struct_config__.array_like:
        return _types(("array",)) if tp in above else _row(stored_fields(tp), (*above, tp))
    if is_struct or dataclasses.is_dataclass(cls) or is_typeddict(cls):
        return _types(("object",)) if tp in above else _document(tp, (*above, tp))
    if issubclass(cls, Mapping):
        value = _schema((get_args(tp) or (Any, Any))[-1], above)
        return {"bsonType": "object"} | ({"additionalProperties": value} if value else {})
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        if tp in above:
            return _types(("array",))
        return _row(declared_fields(tp), (*above, tp))
    args = get_args(tp)
    if issubclass(cls, tuple) and args and args[-1] is not ...:
        return _row([FieldInfo("", "", each) for each in args], above)
    if issubclass(cls, Collection) and not issubclass(cls, str | bytes):
        item = _schema(args[0], above) if args else {}
        return {"bsonType": "array"} | ({"items": item} if item else {})
    return {}


def _row(fields: Collection[FieldInfo], above: tuple[Any, ...]) -> Schema:
    """The schema of an array of different elements."""
    return {
        "bsonType": "array",
        "items": [_schema(each.type, above) for each in fields],
        "additionalItems": False,
        "minItems": sum(each.required for each in fields),
    }


def _constrained(schema: Schema, metas: Iterable[msgspec.Meta]) -> Schema:
    """Add what ``Meta`` says, if it is about values of these types."""
    types = _types_in(schema)
    schema = dict(schema)
    for meta in metas:
        if set(types) <= set(_NUMBERS) and types:
            for name, keyword in _LIMITS.items():
                if (limit := getattr(meta, name)) is not None:
                    schema[keyword] = limit
                    if name in ("gt", "lt"):  # in MongoDB, as in the fourth draft, it is a flag
                        schema[f"exclusive{keyword.capitalize()}"] = True
            if meta.multiple_of is not None:
                schema["multipleOf"] = meta.multiple_of
        if types == ["string"] and meta.pattern is not None:
            schema["pattern"] = meta.pattern
        if len(types) == 1 and (ending := _LENGTHS.get(types[0])) is not None:
            for name in ("min", "max"):
                if (length := getattr(meta, f"{name}_length")) is not None:
                    schema[f"{name}{ending}"] = length
    return schema
