"""Find which field of a document is invalid, and why."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mongospec_core.codec.codec_options import encode
from mongospec_core.codec.raw_values import ENDLESS
from mongospec_core.errors import EncodingError

BUILTIN_TYPES = (
    bytes,
    bytearray,
    dt.datetime,
    dt.date,
    dt.timedelta,
    uuid.UUID,
    Decimal,
)
"""Types that BSON has (or that our decoders make): msgspec must not read them from strings."""

# As text: re compiles and caches them at the first error.
_AT = r"(?s)^(?P<reason>.*?) - at `(?P<key>key` in `)?\$(?P<path>[^`]*)`$"
_TOLD = r"^Expected `[^`]*`, got `(?P<reason>[^`]* [^`]*)`$"
_MISSING = r"^Object missing required field `(?P<field>[^`]*)`$"


def parse_validation_error(error: Exception) -> tuple[str, str]:
    """Return the field path (``"address.zip"``) and the reason of one of msgspec's errors.

    :param error: from the conversion of a single document.
    """
    text = str(error)
    at = re.match(_AT, text)
    path, reason = (at["path"], at["reason"]) if at else ("", text)
    path = path.removeprefix(".")
    if at and at["key"]:
        reason = f"a key: {reason}"
    told = re.match(_TOLD, reason)
    if told:
        return path, told["reason"]
    missing = re.match(_MISSING, reason)
    if missing:
        field = missing["field"]
        way = '; the id is stored as _id: rename={"id": "_id"}' if field == "id" else ""
        return (f"{path}.{field}" if path else field), f"missing, and it has no default{way}"
    # msgspec calls a Struct an object; in the database, and as a reference, it is a document.
    return path, reason.replace("Expected `object", "Expected `document")


def unencodable(raw: Mapping[str, Any], path: str = "") -> tuple[str, str] | None:
    """Return the first field of *raw* that BSON cannot hold, and why; None if it can hold all."""
    for key, value in raw.items():
        place = f"{path}.{key}" if path else str(key)
        try:
            encode({"value": value})
        except EncodingError as error:
            inner = None if str(error) == ENDLESS else _deeper(value, place)
            return inner or (place, str(error))
    try:
        encode(dict.fromkeys(raw, None))
    except EncodingError as error:  # one of the keys
        return path, str(error)
    return None


def _deeper(value: Any, place: str) -> tuple[str, str] | None:
    if isinstance(value, Mapping):
        return unencodable(value, place)
    if isinstance(value, list | tuple):
        for number, each in enumerate(value):
            try:
                encode({"value": each})
            except EncodingError as error:
                inner = f"{place}[{number}]"
                deeper = None if str(error) == ENDLESS else _deeper(each, inner)
                return deeper or (inner, str(error))
    return None
