"""The types of a reply's fields: BSON can be valid although its values are not."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from mongospec_core.codec.codec_options import decode

_Count = Annotated[float, msgspec.Meta(ge=0, le=2**53)]
"""An integer, of any of BSON's types for numbers."""
_Index = Annotated[int, msgspec.Meta(ge=0)]


class _Upserted(msgspec.Struct):
    index: _Index
    _id: Any


class _WriteError(msgspec.Struct, rename="camel"):
    index: _Index
    code: int
    errmsg: str = ""
    key_pattern: dict[str, Any] | None = None
    key_value: dict[str, Any] | None = None


class _ConcernError(msgspec.Struct):
    code: int = 0
    errmsg: str = ""


class _LastError(msgspec.Struct):
    n: _Count = 0


class _Reply(msgspec.Struct, rename="camel"):
    n: _Count = 0
    n_modified: _Count = 0
    write_errors: list[_WriteError] = []
    write_concern_error: _ConcernError | None = None
    upserted: list[_Upserted] = []
    error_labels: list[str] | None = None
    last_error_object: _LastError | None = None
    key_pattern: dict[str, Any] | None = None
    key_value: dict[str, Any] | None = None


def check_reply(reply: Mapping[str, Any], size: int | None = None) -> None:
    """Refuse a reply whose fields have other types than MongoDB's.

    :param size: how many statements the command had.
    :raises ValueError: it is such a reply.
    """
    found = msgspec.convert(reply, _Reply)
    if size is not None and (found.write_errors or found.upserted):
        places = [each.index for each in found.write_errors]
        places += [each.index for each in found.upserted]
        if max(places, default=0) >= size:
            raise ValueError(f"of {size} statements it names {places}")


def decode_reply(data: bytes, size: int | None = None, like: Any = None) -> dict[str, Any]:
    """Return a command's reply.

    :param size: how many statements the command had.
    :param like: a type that the reply has to fit as well.
    :raises BSONError: it is damaged.
    :raises ValueError: it is, in what its fields hold.
    """
    reply = decode(data)
    check_reply(reply, size)
    if like is not None:
        msgspec.convert(reply, like)
    return reply


class ListedIndex(msgspec.Struct):
    name: str
    key: dict[str, Any]
    weights: dict[str, Any] = {}


class ListedCollection(msgspec.Struct):
    name: str
    options: dict[str, Any] = {}


class _Batch[T](msgspec.Struct, rename="camel"):
    first_batch: list[T]


class Listed[T](msgspec.Struct):
    """A reply with a list: of ``listIndexes`` or ``listCollections``."""

    cursor: _Batch[T]
