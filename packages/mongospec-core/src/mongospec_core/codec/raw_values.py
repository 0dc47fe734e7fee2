"""Convert single Python values to plain BSON data, whatever their annotation says.

*Raw* data is the tree that a read of the stored document would return: dicts with string keys,
lists, and the scalars of BSON. Everything that is written becomes raw data by :func:`to_raw`,
whether it stands in a document, a filter, an update or a pipeline.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

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

from mongospec_core.codec.class_cache import forget_by
from mongospec_core.errors import EncodingError, OptionError, shown

type Encoder = Callable[[Any], Any]

ENDLESS = "nested too deeply, or it contains itself"
MILLISECOND = dt.timedelta(milliseconds=1)


def register_encoder(tp: type, encode: Encoder) -> None:
    """Register how values of a type of yours, and of its subclasses, are written.

    The encoder is used wherever a value is sent: in documents, filters, updates and pipelines. The
    nearest registered class in the type's MRO counts. To read the values, define a ``dec_hook`` in
    the class. Call this before ``init()``, which compiles classes for the types registered so far.

    :param tp: the type of the values.
    :param encode: takes a value, returns something that mongospec can write.

    >>> class Point:
    ...     def __init__(self, x: float, y: float) -> None:
    ...         self.x, self.y = x, y
    >>> register_encoder(Point, lambda point: [point.x, point.y])
    """
    given: Any = tp  # a user without a type checker may give anything
    if not isinstance(given, type) or not callable(encode):
        raise OptionError(
            f"register_encoder() takes a type and a function, not {shown(tp)} and {shown(encode)}"
        )
    _registered[tp] = encode
    _forget_encoders()
    note_hidden()


def note_hidden() -> None:
    """Note the registered types that are subclasses of types which bson encodes itself."""
    for tp in _registered.keys() - hidden_types:
        todo: list[type] = [tp]
        for each in todo:  # grows as it goes
            if issubclass(each, _KNOWN_TO_BSON):
                hidden_types.add(tp)
            todo.extend(type.__subclasses__(each))


def to_raw(value: Any) -> Any:
    """Return *value* as raw data, sharing no list or dict with it.

    A value of a type without an encoder is returned unchanged; the encoding to BSON refuses it.
    """
    tp = type(value)
    encode = _encoders.get(tp)
    if encode is None:
        encode = _encoders[tp] = _encoder_for(tp)
        if encode is _same or tp is int:
            _kept.add(tp)
    try:
        return encode(value)
    except RecursionError as error:
        raise _EndlessError(ENDLESS) from error


class _EndlessError(EncodingError):
    """A value is nested too deeply to be walked."""


class Rejected:
    """The base of placeholders in raw data for values that cannot be stored."""


def rejected(reason: str) -> Rejected:
    """Return a value that makes msgspec raise an error with *reason* and the path.

    For encoders and decoders that can explain better than msgspec what is wrong.

    :param reason: two words or more; the value's type gets this name, which msgspec quotes.
    """
    return _rejected_type(reason)()


@cache
def _rejected_type(reason: str) -> type[Rejected]:
    return type(reason, (Rejected,), {})


def is_embedded(tp: type) -> bool:
    """Return whether values of the type are stored as documents, which a read needs a class for."""
    return is_embedded_class(tp) and not is_registered(tp) and not hasattr(tp, "__bson_decoder__")


def is_embedded_class(tp: type) -> bool:
    """Return whether *tp* is a Struct class or a dataclass."""
    return issubclass(tp, msgspec.Struct) or dataclasses.is_dataclass(tp)


def key_to_raw(key: Any) -> str:
    """Return a dict's key as the string that BSON needs."""
    raw = to_raw(key)
    if type(raw) is str:
        return raw
    if isinstance(raw, dt.datetime):
        is_day = isinstance(key, dt.date) and not isinstance(key, dt.datetime)
        return key.isoformat() if is_day else in_utc(raw).isoformat()
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int | float | uuid.UUID | Decimal | ObjectId):
        return str(raw)
    raise EncodingError(f"{shown(key)} of type {type(key).__name__} cannot be a key of a document")


def in_utc(value: dt.datetime) -> dt.datetime:
    """Return an aware datetime in UTC: in its own zone, an ambiguous hour equals no read value."""
    if value.tzinfo in (None, dt.UTC):
        return value
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        return value  # beyond the calendar in UTC


def _same(value: Any) -> Any:
    return value


def _unknown(value: Any) -> Any:
    return value


def _list(value: Any) -> list[Any]:
    return [each if type(each) in _kept else to_raw(each) for each in value]


def _set(value: Any) -> list[Any]:
    return in_order(_list(value))


def in_order(raw: list[Any]) -> list[Any]:
    """Return the items of a set in a stable order, so that an equal set is not seen as changed."""
    try:
        return sorted(raw)
    except TypeError:
        return sorted(raw, key=repr)


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    raw = {
        key if type(key) is str else key_to_raw(key): (
            each if type(each) in _kept else to_raw(each)
        )
        for key, each in value.items()
    }
    if len(raw) != len(value):
        raise EncodingError(
            f"two keys of {shown(list(value))} would be one, because keys are stored as strings"
        )
    return raw


def _dataclass(value: Any) -> dict[str, Any]:
    return {
        field.name: to_raw(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name, msgspec.UNSET) is not msgspec.UNSET
    }


def _enum(value: Enum) -> Any:
    return to_raw(value._value_)  # the same as .value, in a third of the time


def _plain_datetime(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(
        dt.date(value.year, value.month, value.day),
        dt.time(value.hour, value.minute, value.second, value.microsecond, fold=value.fold),
        value.tzinfo,
    )


def _date(value: dt.date) -> dt.datetime:
    return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)


def _timedelta(value: dt.timedelta) -> Int64:
    return Int64(value // MILLISECOND)


_KNOWN_TO_BSON = (
    *(str, int, float, bytes, list, tuple, Mapping, re.Pattern),
    *(dt.datetime, uuid.UUID, Decimal, ObjectId, Regex, Timestamp, Code, DBRef, DatetimeMS),
)
hidden_types: set[type] = set()
"""Registered types that bson would write as their base, without calling the encoder."""
_registered: dict[type, Encoder] = {}
_encoders: dict[type, Encoder] = {}  # by exact type, found once
_kept: set[type] = set()  # of these, the types whose values are sent unchanged
_builtin: dict[type, Encoder] = {
    **dict.fromkeys((str, float, bool, type(None), bytes, dt.datetime, uuid.UUID, Decimal), _same),
    **dict.fromkeys(
        (ObjectId, Binary, Regex, Timestamp, Code, DBRef, MinKey, MaxKey, DatetimeMS), _same
    ),
    re.Pattern: _same,
    int: int,  # an Int64 too
    Decimal128: Decimal128.to_decimal,
    bytearray: bytes,
    memoryview: bytes,
    list: _list,
    tuple: _list,
    set: _set,
    frozenset: _set,
    Mapping: _mapping,
    dict: _mapping,
    dt.date: _date,
    dt.timedelta: _timedelta,
    dt.time: dt.time.isoformat,
}
FLAT_TYPES = frozenset(tp for tp, encode in _builtin.items() if encode in (_same, int)) - {
    Code,
    DBRef,
}
"""Types whose values hold no other values."""


# msgspec does not accept subclasses of these; BSON stores them like the base.
_plain: dict[type, Encoder] = {
    str: str.__str__,  # the text itself, whatever __str__ of the subclass says
    float: float.__float__,
    bytes: bytes,
    Decimal: Decimal,
    dt.datetime: _plain_datetime,
    uuid.UUID: lambda value: uuid.UUID(int=value.int),
    ObjectId: lambda value: ObjectId(value.binary),
}


def _encoder_for(tp: type) -> Encoder:
    """Return the encoder for values of exactly *tp*: a registered one, else the nearest built-in."""
    for base in tp.__mro__:
        if base in _registered:
            return _registered_encoder(_registered[base], _known_encoder(tp))
    return _known_encoder(tp)


def _known_encoder(tp: type) -> Encoder:
    """Return the built-in encoder for values of *tp*."""
    if issubclass(tp, Enum):
        return _enum
    if dataclasses.is_dataclass(tp):
        return _dataclass
    for base in tp.__mro__:
        if base in _builtin:
            return _plain.get(base, _builtin[base]) if base is not tp else _builtin[base]
    return _mapping if issubclass(tp, Mapping) else _unknown


def _registered_encoder(encode: Encoder, known: Encoder) -> Encoder:
    def encoded(value: Any) -> Any:
        tp = type(value)
        try:
            raw = encode(value)
            if type(raw) is not tp:
                return to_raw(raw)
            if known is not _unknown:
                return known(raw)
        except (_EndlessError, RecursionError) as error:
            raise EncodingError(
                f"{ENDLESS}, or what the encoder of {tp.__name__} returns holds another {tp.__name__}"
            ) from error
        raise EncodingError(
            f"the encoder of {tp.__name__} returned a {tp.__name__}, which BSON does not have"
        )

    return encoded


def is_registered(tp: type) -> bool:
    """Return whether an encoder for *tp* was registered by :func:`register_encoder`."""
    return any(base in _registered for base in tp.__mro__)


def register_builtin(tp: type, encode: Encoder) -> None:
    """Register an encoder for a class of ours; encoders that users register take precedence."""
    _builtin[tp] = encode
    _forget_encoders()


def _forget_encoders() -> None:
    _encoders.clear()
    _kept.clear()


forget_by(_forget_encoders)
