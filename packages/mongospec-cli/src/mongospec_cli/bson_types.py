"""The names of BSON types, as MongoDB's ``$type`` has them."""

from typing import Any

from mongospec_core.extension import encode

OBJECT, ARRAY, BINARY, DOUBLE = 3, 4, 5, 1
INTEGERS = frozenset({16, 18})
_NAMES = {
    DOUBLE: "double",
    2: "string",
    OBJECT: "object",
    ARRAY: "array",
    BINARY: "binData",
    6: "undefined",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    11: "regex",
    12: "dbPointer",
    13: "javascript",
    14: "symbol",
    15: "javascriptWithScope",
    16: "int",
    17: "timestamp",
    18: "long",
    19: "decimal",
    127: "maxKey",
    255: "minKey",
}


def type_name(value: Any) -> str:
    """Return the BSON type of a decoded value."""
    return _NAMES[encode({"": value})[4]]


def name_of(kind: int, value: bytes) -> str:
    """Return the BSON type of an element; that of binary data with its subtype.

    :param kind: the byte of its type.
    :param value: its value as BSON.
    """
    name = _NAMES[kind]
    return f"{name} of subtype {value[4]}" if kind == BINARY else name
