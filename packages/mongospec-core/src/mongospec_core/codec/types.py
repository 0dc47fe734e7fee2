"""Scalars that BSON stores as another type, and how they are read back.

A decoder takes the raw value and the reader. It returns the same object if the value is not of its
kind: msgspec then reports it.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any

from bson import Binary, Decimal128, Int64, Regex

from mongospec_core.codec.raw_values import MILLISECOND, rejected, to_raw

type Decoder = Callable[[Any, Any], Any]


class Checking:
    """The reader of a check before a write, which is stricter than a read for a few types."""


CHECKING = Checking()


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


DECODERS: dict[type, Decoder | None] = {
    dt.date: _date,
    dt.timedelta: _timedelta,
    dt.time: None,
    re.Pattern: _pattern,
    Decimal128: _decimal128,
    Binary: _binary,
    Int64: _int64,
}


def enum_value(value: Any) -> Any:
    """Encode a member of an Enum whose values are scalars."""
    return value._value_ if isinstance(value, Enum) else to_raw(value)
