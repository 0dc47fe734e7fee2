"""Encode values as BSON and decode BSON to raw data, by bson's ``CodecOptions``."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import bson
from bson import Decimal128, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import (
    CodecOptions,
    DatetimeConversion,
    TypeDecoder,
    TypeEncoder,
    TypeRegistry,
)
from bson.errors import BSONError, InvalidDocument

from mongospec_core.codec.depth import refuse_deep
from mongospec_core.codec.raw_values import ENDLESS, Rejected, hidden_types, to_raw
from mongospec_core.errors import EncodingError, MongospecError, cut, shown
from mongospec_core.limits import MAX_NESTING

_SHALLOW = 4 + 7 * MAX_NESTING
"""A level takes at least 7 bytes: BSON of this size cannot have too many levels."""


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
        if hidden_types:
            value = to_raw(value)
        data = bson.encode(value, codec_options=DECIMAL_CODEC_OPTIONS)
    except (BSONError, ValueError, OverflowError, RecursionError):
        data = encode_trusted(value)
    if len(data) > _SHALLOW and (  # a document, an array, code with a scope
        data.find(b"\x03", 4) > 0 or data.find(b"\x04", 4) > 0 or data.find(b"\x0f", 4) > 0
    ):
        refuse_deep(value)
    return data


def encode_query(filter: Mapping[str, Any]) -> bytes:
    """Encode a filter as :func:`encode` does; that of one ObjectId, which most are, in a third of the time."""
    if type(filter) is dict and len(filter) == 1 and not hidden_types:
        id_ = filter.get("_id")
        if type(id_) is ObjectId:
            return b"\x16\0\0\0\7_id\0%b\0" % id_.binary
    return encode(filter)


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
        if hidden_types:
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
