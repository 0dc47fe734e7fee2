"""The tokens of pages: a checksum, the query that they belong to, and a position as BSON."""

import base64
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

from bson.errors import BSONError

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.errors import PageTokenError, shown
from mongospec_core.operations.filters import Filter
from mongospec_core.operations.page_position import Position, can_begin_page


def question_of(
    cls: type, filter: Filter, order: Mapping[str, int], options: Mapping[str, Any]
) -> bytes:
    """Return a hash of what must be the same for all pages, as eight bytes."""
    parts = [cls.__name__, filter, *order.items(), options.get("collation"), options.get("let")]
    return blake2b(encode({"": parts}), digest_size=8).digest()


def token_of(question: bytes, place: Position) -> str:
    flags = bytes([place.backwards | place.inclusive << 1])
    data = question + flags + encode({str(n): each for n, each in enumerate(place.values)})
    return base64.urlsafe_b64encode(crc32(data).to_bytes(4) + data).rstrip(b"=").decode()


def read_token(name: str, token: Any, question: bytes, order: Mapping[str, int]) -> Position:
    damaged = PageTokenError(
        f"{name}: after={shown(token)} is damaged; pass the next or the previous of a page unchanged"
    )
    if not isinstance(token, str):
        raise damaged
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        if len(data) < 13 or crc32(data[4:]) != int.from_bytes(data[:4]):
            raise damaged
        if data[4:12] != question:
            raise PageTokenError(
                f"{name}: after= belongs to a page of another query: class, filter, sort, collation "
                f"and let must be those of the page that it comes from"
            )
        values = list(decode(data[13:]).values())
        if len(values) != len(order) or not all(map(can_begin_page, values)):
            raise damaged
    except PageTokenError:
        raise
    except (ValueError, BSONError, RecursionError):  # a ValueError: it is not base64
        raise damaged from None
    return Position(values, bool(data[12] & 1), bool(data[12] & 2))
