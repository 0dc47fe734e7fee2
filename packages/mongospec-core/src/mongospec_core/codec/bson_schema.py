"""MongoDB's ``$jsonSchema`` of a class: what the codec stores, by BSON types.

A validator on the server refuses what a read would refuse, as far as ``$jsonSchema`` can say it. It has no
``$ref``, so a class inside itself is an object of any fields; and nothing about the time in a ``date``, the
text of a ``time``, the keys of a dict or the length of bytes.
"""

from collections.abc import Iterable
from enum import Flag
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

import msgspec
from bson import DBRef

from mongospec_core.codec.annotations import stored_fields, unwrapped
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.codec.types import SCALARS, Kind, kind_of

type Schema = dict[str, Any]

_NUMBERS = {"double", "int", "long"}
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
    """Return the schema of an id, which every stored document has: new ones alone may have None."""
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
    """Return one schema for several; those that only name types become one list of types."""
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
    match kind_of(tp):
        case Kind.SCALAR:
            return _types(SCALARS[cls].stored)
        case Kind.LITERAL:
            return {"enum": [to_raw(each) for each in get_args(tp)]}
        case Kind.ENUM if issubclass(cls, Flag):
            return _types(SCALARS[int].stored)
        case Kind.ENUM:
            return {"enum": [to_raw(each) for each in cls]}
        case Kind.ID if hasattr(cls, "__bson_stored_as__"):
            return _without_null(cls.__bson_stored_as__().annotation, above)
        case Kind.DOCUMENT:
            return _types(("object",)) if tp in above else _document(tp, (*above, tp))
        case Kind.ROW:
            return _types(("array",)) if tp in above else _row(tp, above)
        case Kind.MAPPING:
            value = _schema((get_args(tp) or (Any, Any))[-1], above)
            return {"bsonType": "object"} | ({"additionalProperties": value} if value else {})
        case Kind.ARRAY:
            item = _schema((get_args(tp) or (Any,))[0], above)
            return {"bsonType": "array"} | ({"items": item} if item else {})
        case _:
            return _types(("object",)) if cls is DBRef else {}


def _row(tp: Any, above: tuple[Any, ...]) -> Schema:
    """Return the schema of an array with a type for each position."""
    fields = stored_fields(tp)
    if get_origin(tp) is not tuple:
        above = (*above, tp)
    return {
        "bsonType": "array",
        "items": [_schema(each.type, above) for each in fields],
        "additionalItems": False,
        "minItems": sum(each.required for each in fields),
    }


def _constrained(schema: Schema, metas: Iterable[msgspec.Meta]) -> Schema:
    """Add the constraints of ``Meta`` that apply to values of these types."""
    types = _types_in(schema)
    schema = dict(schema)
    for meta in metas:
        if types and _NUMBERS.issuperset(types):
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
