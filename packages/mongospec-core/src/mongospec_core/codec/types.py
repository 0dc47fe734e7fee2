"""What kind of type each is, and the table of scalars: how they are stored, read and compared.

A decoder takes the raw value and the reader. It returns the same object if the value is not of its
kind: msgspec then reports it.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import re
import uuid
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from enum import Enum, auto
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, is_typeddict

import msgspec
from bson import (
    Binary,
    Code,
    DatetimeMS,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from mongospec_core.codec.annotations import accepts_anything
from mongospec_core.codec.datetimes import Truncation, truncate
from mongospec_core.codec.raw_values import (
    MILLISECOND,
    Encoder,
    is_embedded_class,
    is_registered,
    rejected,
    to_raw,
)

type Decoder = Callable[[Any, Any], Any]


class Checking:
    """The reader of a check before a write, which is stricter than a read for a few types."""


CHECKING = Checking()


class FieldCodec(msgspec.Struct, frozen=True):
    """How values of one annotation are encoded, decoded and truncated.

    :ivar encode: converts a value to raw data; None: it is sent unchanged.
    :ivar decode: converts raw data to what :func:`msgspec.convert` accepts for the annotation,
        without changing its arguments; None: it is accepted as it is.
    :ivar truncate: cuts a value to the milliseconds that BSON keeps; None: nothing to cut.
    """

    encode: Encoder | None = None
    decode: Decoder | None = None
    truncate: Truncation | None = None


NOTHING = FieldCodec()


class Kind(Enum):
    """What is known of the values of a type."""

    ANYTHING = auto()
    OTHER = auto()  # a type that BSON does not have
    REGISTERED = auto()  # a type that register_encoder writes, as anything
    SCALAR = auto()  # a type in SCALARS
    LITERAL = auto()
    ENUM = auto()
    ID = auto()  # a class with a decoder of its own, as document classes have
    DOCUMENT = auto()  # a Struct, a dataclass or a TypedDict
    ROW = auto()  # an array with a type for each position
    MAPPING = auto()
    ARRAY = auto()  # an array of any length


def kind_of(tp: Any) -> Kind:
    """Return the kind of an annotation, which is not a union and has no aliases and qualifiers."""
    cls = get_origin(tp) or tp
    if cls is Literal:
        return Kind.LITERAL
    if accepts_anything(tp) or not isinstance(cls, type):
        return Kind.ANYTHING
    if hasattr(cls, "__bson_decoder__"):
        return Kind.ID
    if is_registered(cls):
        return Kind.REGISTERED
    if cls in SCALARS:
        return Kind.SCALAR
    if issubclass(cls, Enum):
        return Kind.ENUM
    if is_embedded_class(cls) or is_typeddict(cls):
        config = getattr(cls, "__struct_config__", None)
        return Kind.ROW if config is not None and config.array_like else Kind.DOCUMENT
    if issubclass(cls, Mapping):
        return Kind.MAPPING
    if not issubclass(cls, Collection) or issubclass(cls, str | bytes):
        return Kind.OTHER
    is_row = issubclass(cls, tuple) and get_args(tp)[-1:] not in ((), (...,))
    return Kind.ROW if is_row or hasattr(cls, "_fields") else Kind.ARRAY


# -- decoders


def to_python(raw: Any) -> Any:
    """Return a value for ``Any``: Python's own types, sharing no list or dict with the raw data."""
    tp = type(raw)
    if tp is dict:
        return {key: to_python(each) for key, each in raw.items()}
    if tp is list:
        return [to_python(each) for each in raw]
    return int(raw) if tp is Int64 else raw


def decode_any(raw: Any, reader: Any) -> Any:
    return to_python(raw)


def _date(raw: Any, reader: Any) -> Any:
    if type(raw) is dt.datetime and raw.timetz().replace(tzinfo=None) == dt.time.min:
        return raw.date()
    return raw  # with a time of day it is not a date: msgspec reports it


def _timedelta(raw: Any, reader: Any) -> Any:
    # Other programs may have stored a small int; in an object to be written an int is a mistake.
    if type(raw) is Int64 or (type(raw) is int and reader is not CHECKING):
        return raw * MILLISECOND
    return raw


def without_zone(raw: Any, reader: Any) -> Any:
    return raw.replace(tzinfo=None) if isinstance(raw, dt.datetime) else raw


def wall_clock(value: Any) -> Any:
    """Encode a value of a field annotated ``Meta(tz=False)``: an aware one would lose its zone."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return rejected("a datetime with a time zone")
    return to_raw(value)


def _pattern(raw: Any, reader: Any) -> Any:
    return raw.try_compile() if isinstance(raw, Regex) else raw


def _decimal128(raw: Any, reader: Any) -> Any:
    return Decimal128(raw) if isinstance(raw, Decimal) else raw


def _binary(raw: Any, reader: Any) -> Any:
    return Binary(raw) if type(raw) is bytes else raw


def _int64(raw: Any, reader: Any) -> Any:
    return Int64(raw) if type(raw) is int else raw


def enum_value(value: Any) -> Any:
    """Encode a member of an Enum whose values are scalars."""
    return value._value_ if isinstance(value, Enum) else to_raw(value)


# -- scalars


class Scalar(NamedTuple):
    """A type without anything below it.

    :ivar stored: the names of its BSON types.
    :ivar asked: types of values that a filter may compare it to.
    :ivar written: types of values that a read accepts without a further check.
    :ivar summands: types of numbers that keep its type when they are added to it or multiply it.
    """

    stored: tuple[str, ...]
    asked: tuple[type, ...]
    written: tuple[type, ...] = ()
    summands: tuple[type, ...] = ()
    codec: FieldCodec = NOTHING


def _of_itself(tp: type, stored: tuple[str, ...], codec: FieldCodec = NOTHING) -> Scalar:
    return Scalar(stored, (tp,), (tp,), codec=codec)


NUMBERS = (int, float, Int64, Decimal, Decimal128)
PATTERNS = (re.Pattern, Regex)
_INTEGERS = (int, Int64)
_DECIMALS = (Decimal, Decimal128)
_TIMES = (dt.datetime, dt.date, DatetimeMS)
_BYTES = (bytes, bytearray, memoryview, Binary)
_WHOLE = ("int", "long")
_TO_RAW = FieldCodec(to_raw)

SCALARS: dict[Any, Scalar] = {
    NoneType: Scalar(("null",), (), (NoneType,)),
    str: _of_itself(str, ("string",)),
    bool: _of_itself(bool, ("bool",)),
    int: Scalar(_WHOLE, NUMBERS, (int,), _INTEGERS),
    Int64: Scalar(_WHOLE, NUMBERS, (Int64,), _INTEGERS, FieldCodec(to_raw, _int64)),
    float: Scalar(("double", *_WHOLE), NUMBERS, (float, int), (*_INTEGERS, float)),
    Decimal: Scalar(("decimal",), NUMBERS, (Decimal,), _DECIMALS),
    Decimal128: Scalar(
        ("decimal",), NUMBERS, (Decimal128,), _DECIMALS, FieldCodec(to_raw, _decimal128)
    ),
    dt.timedelta: Scalar(
        _WHOLE,
        (*NUMBERS, dt.timedelta),
        (dt.timedelta,),
        (*_INTEGERS, dt.timedelta),
        FieldCodec(to_raw, _timedelta, truncate),
    ),
    dt.datetime: Scalar(("date",), _TIMES, (dt.datetime,), codec=FieldCodec(truncate=truncate)),
    dt.date: Scalar(("date",), _TIMES, codec=FieldCodec(to_raw, _date)),
    dt.time: _of_itself(dt.time, ("string",), _TO_RAW),
    DatetimeMS: Scalar(("date",), _TIMES),
    uuid.UUID: Scalar(("binData",), (uuid.UUID, Binary), (uuid.UUID,)),
    ObjectId: _of_itself(ObjectId, ("objectId",)),
    bytes: Scalar(("binData",), _BYTES, (bytes,)),
    **dict.fromkeys((bytearray, memoryview), Scalar(("binData",), _BYTES, (bytes,), codec=_TO_RAW)),
    Binary: Scalar(("binData",), _BYTES, (bytes,), codec=FieldCodec(to_raw, _binary)),
    re.Pattern: Scalar(("regex",), PATTERNS, codec=FieldCodec(to_raw, _pattern)),
    Regex: Scalar(("regex",), PATTERNS),
    Timestamp: _of_itself(Timestamp, ("timestamp",)),
    Code: _of_itself(Code, ("javascript", "javascriptWithScope")),
    MinKey: _of_itself(MinKey, ("minKey",)),
    MaxKey: _of_itself(MaxKey, ("maxKey",)),
}
