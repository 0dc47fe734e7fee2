"""Find which field of a document is invalid, and why."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from mongospec_core.codec.codec_options import encode
from mongospec_core.codec.depth import NestingError
from mongospec_core.codec.raw_values import ENDLESS
from mongospec_core.errors import EncodingError, cut, shown

BUILTIN_TYPES = (bytes, bytearray, dt.datetime, dt.date, dt.timedelta, uuid.UUID, Decimal)
"""Types that BSON has (or that our decoders make): msgspec must not read them from strings."""

# As text: re compiles and caches them at the first error.
_AT = r"(?s)^(?P<reason>.*?) - at `(?P<key>key` in `)?\$(?P<path>[^`]*)`$"
_NAMED = r"^Expected `[^`]*`, got `(?P<reason>[^`]* [^`]*)`$"
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
    named = re.match(_NAMED, reason)  # by rejected()
    if named:
        return path, named["reason"]
    missing = re.match(_MISSING, reason)
    if missing:
        field = missing["field"]
        way = '; the id is stored as _id: rename={"id": "_id"}' if field == "id" else ""
        return (f"{path}.{field}" if path else field), f"missing, and it has no default{way}"
    # msgspec calls a Struct an object; in the database, and as a reference, it is a document.
    return path, reason.replace("Expected `object", "Expected `document")


def named_value(what: str, raw: Any, error: EncodingError) -> EncodingError:
    """Return *error* with the path of the value in a filter or an update that it is about."""
    found = None if isinstance(error, NestingError) else unencodable(raw)
    if found is None or not found[0]:
        return EncodingError(f"{what}: {error}")
    return EncodingError(f"{what}: {cut(found[0], most=200)}: {found[1]}")


def unencodable(raw: Any, path: str = "") -> tuple[str, str] | None:
    """Return the first value in a dict or a list that BSON cannot hold, and why; else None."""
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(raw, Mapping):
        names = ((key if isinstance(key, str) else shown(key), raw[key]) for key in raw)
        parts = ((f"{path}.{name}" if path else name, value) for name, value in names)
    elif isinstance(raw, list | tuple):
        parts = ((f"{path}[{place}]", value) for place, value in enumerate(raw))
    for inner, value in parts:
        try:
            encode({"value": value})
        except EncodingError as error:
            deeper = None if str(error) == ENDLESS else unencodable(value, inner)
            return deeper or (inner, str(error))
    if isinstance(raw, Mapping):
        try:
            encode(dict.fromkeys(raw))
        except EncodingError as error:  # one of the keys
            return path, str(error)
    return None
