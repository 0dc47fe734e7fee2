"""Convert single Python values to plain BSON data, whatever their annotation says.

*Raw* data is the tree that a read of the stored document would return: dicts with string keys,
lists, and the scalars of BSON. Everything that is written becomes raw data by :func:`to_raw`,
whether it stands in a document, a filter, an update or a pipeline.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import chain
from typing import Any

import bson
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
from bson.binary import UuidRepresentation
from bson.codec_options import (
    CodecOptions,
    DatetimeConversion,
    TypeDecoder,
    TypeEncoder,
    TypeRegistry,
)
from bson.errors import BSONError, InvalidDocument

from mongospec_core.codec.class_cache import forget_by
from mongospec_core.errors import EncodingError, MongospecError, OptionError, cut, shown
from mongospec_core.limits import MAX_NESTING

type Encoder = Callable[[Any], Any]

ENDLESS = "nested too deeply, or it contains itself"
MILLISECOND = dt.timedelta(milliseconds=1)
_SHALLOW = 4 + 7 * MAX_NESTING
"""A level takes at least 7 bytes: BSON of this size cannot have too many levels."""
_INT64 = range(-(2**63), 2**63)


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
    for tp in _registered.keys() - _hidden:
        todo: list[type] = [tp]
        for each in todo:  # grows as it goes
            if issubclass(each, _KNOWN_TO_BSON):
                _hidden.add(tp)
            todo.extend(type.__subclasses__(each))


def to_raw(value: Any) -> Any:
    """Return *value* as raw data, sharing no list or dict with it.

    A value of a type without an encoder is returned unchanged; :func:`encode` refuses it.
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
_hidden: set[type] = set()
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


def fallback_encoder(value: Any) -> Any:
    """Convert a value that bson cannot encode itself; bson calls this."""
    if isinstance(value, Decimal):
        return _decimal128(value)
    if isinstance(value, int):
        raise EncodingError(f"{shown(value)} does not fit in the 64 bits of a BSON integer")
    if isinstance(value, Rejected):
        raise EncodingError(type(value).__name__)
    raw = to_raw(value)
    if raw is value:
        name = type(value).__qualname__
        raise EncodingError(f"cannot write a {name}; say how with register_encoder({name}, ...)")
    return raw


def _decimal128(value: Decimal) -> Decimal128:
    try:
        return Decimal128(value)
    except (ArithmeticError, ValueError) as error:
        raise EncodingError(
            f"{shown(value)} has more than the 34 digits of a Decimal128"
        ) from error


class _Decimals(TypeDecoder):
    bson_type = Decimal128  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


def _options(*codecs: TypeDecoder | TypeEncoder) -> CodecOptions[dict[str, Any]]:
    return CodecOptions(
        tz_aware=True,
        uuid_representation=UuidRepresentation.STANDARD,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        type_registry=TypeRegistry(codecs, fallback_encoder=fallback_encoder),
    )


CODEC_OPTIONS = _options()
"""For classes without decimals: checking for Decimal128 takes a tenth of a read."""
DECIMAL_CODEC_OPTIONS = _options(_Decimals())
"""For classes with ``Decimal`` or ``Any`` fields, and for plain dicts."""


def decode(
    data: bytes, codec: CodecOptions[dict[str, Any]] = DECIMAL_CODEC_OPTIONS
) -> dict[str, Any]:
    """Decode one BSON document to raw data.

    :raises bson.errors.BSONError: it is damaged, or text in it is not UTF-8.
    """
    return bson.decode(data, codec_options=codec)


def encode(value: Mapping[str, Any]) -> bytes:
    """Encode a filter, an update, options or raw data as BSON.

    :raises EncodingError: BSON cannot hold a value in it, or it is nested too deeply.
    """
    try:
        if _hidden:
            value = to_raw(value)
        data = bson.encode(value, codec_options=DECIMAL_CODEC_OPTIONS)
    except (BSONError, ValueError, OverflowError, RecursionError):
        data = encode_trusted(value)
    if len(data) > _SHALLOW and (  # a document, an array, code with a scope
        data.find(b"\x03", 4) > 0 or data.find(b"\x04", 4) > 0 or data.find(b"\x0f", 4) > 0
    ):
        refuse_deep(value)
    return data


def named[T](where: str, what: str, make: Callable[[Any], T], value: Any) -> T:
    """Return ``make(value)``; errors name the class and the value.

    :raises EncodingError: *make* raised it.
    """
    try:
        return make(value)
    except EncodingError as error:
        raise EncodingError(f"{where}: {what}: {error}") from error


def encode_trusted(value: Mapping[str, Any]) -> bytes:
    """Encode what was encoded or read before, without counting its levels.

    :raises EncodingError: BSON cannot hold a value in it.
    """
    try:
        if _hidden:
            value = to_raw(value)
        try:
            return bson.encode(value, codec_options=DECIMAL_CODEC_OPTIONS)
        except InvalidDocument:
            # Keys that are not strings are rare, so the dicts are rebuilt only now.
            return bson.encode(to_raw(value), codec_options=DECIMAL_CODEC_OPTIONS)
    except MongospecError:
        raise
    except RecursionError as error:
        raise EncodingError(ENDLESS) from error
    except (BSONError, ValueError, OverflowError) as error:  # the error may quote a bad repr()
        raise EncodingError(cut(str(error))) from error


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
_FLAT = frozenset(tp for tp, encode in _builtin.items() if encode in (_same, int)) - {Code, DBRef}
"""Types whose values hold no other values."""


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        types = set(map(type, level))
        if types <= _FLAT:
            return False
        if types == {dict}:
            level = [*chain.from_iterable(map(dict.values, level))]
        else:
            parts = [_parts(each) for each in level if type(each) not in _FLAT]
            level = [*chain.from_iterable(map(_values, parts))]
    return any(_parts(each) != () for each in level if type(each) not in _FLAT)


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
