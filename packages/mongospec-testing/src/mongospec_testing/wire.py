"""Frames of MongoDB's wire protocol: enough to send a command and to read what passes by."""

import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

from mongospec_testing.uri import Address

type Body = dict[str, Any]

OP_REPLY = 1
OP_QUERY = 2004
OP_COMPRESSED = 2012
OP_MSG = 2013

CHECKSUM_PRESENT = 1 << 0
MORE_TO_COME = 1 << 1

HEADER = struct.Struct("<iiii")
INT32 = struct.Struct("<i")
UINT32 = struct.Struct("<I")
# OP_REPLY's fields before its documents: flags, cursor id, starting from, number returned.
REPLY_PREFIX = struct.Struct("<iqii")

# Dates beyond Python's range stay numbers: a proxy must show what is there, and write it back unchanged.
CODEC: CodecOptions[Body] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


class WireError(ValueError):
    """Bytes that do not follow the protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: its header, taken apart, and the rest as bytes."""

    request_id: int
    response_to: int
    op_code: int
    payload: bytes

    @classmethod
    def message(
        cls, body: Mapping[str, Any] | bytes, *, request_id: int = 0, response_to: int = 0
    ) -> Self:
        """Return an OP_MSG that carries one document."""
        document = body if isinstance(body, bytes) else bson.encode(body, codec_options=CODEC)
        return cls(request_id, response_to, OP_MSG, UINT32.pack(0) + b"\0" + document)

    def encode(self) -> bytes:
        size = HEADER.size + len(self.payload)
        return HEADER.pack(size, self.request_id, self.response_to, self.op_code) + self.payload

    @property
    def flags(self) -> int:
        """OP_MSG's flag bits; of other messages none."""
        return int(UINT32.unpack_from(self.payload)[0]) if self.op_code == OP_MSG else 0

    @property
    def more_to_come(self) -> bool:
        """Whether the other side is not to answer (a request), or whether more replies follow (a reply)."""
        return bool(self.flags & MORE_TO_COME)

    def answer(self, document: bytes) -> "Frame":
        """Return a reply to this request."""
        if self.op_code == OP_QUERY:
            prefix = REPLY_PREFIX.pack(8, 0, 0, 1)  # 8: "await capable", as all servers say
            return Frame(0, self.request_id, OP_REPLY, prefix + document)
        return Frame.message(document, response_to=self.request_id)

    def document(self) -> bytes:
        """Return the one document that every command and every reply has, as BSON.

        :raises WireError: if there is none.
        """
        if self.op_code == OP_MSG:
            for kind, _, document in self.sections():
                if kind == 0:
                    return document
            raise WireError("an OP_MSG without a body")
        start = self._document_start()
        return self.payload[start : start + _size(self.payload, start)]

    def sections(self) -> Iterator[tuple[int, str, bytes]]:
        """OP_MSG's sections: kind 0 with its document, kind 1 with its identifier and its documents in a row."""
        end = len(self.payload) - (4 if self.flags & CHECKSUM_PRESENT else 0)
        at = 4
        while at < end:
            kind = self.payload[at]
            size = _size(self.payload, at + 1)
            content = self.payload[at + 1 : at + 1 + size]
            if kind == 0:
                yield 0, "", content
            elif kind == 1:
                name_end = content.index(b"\0", 4)
                yield 1, content[4:name_end].decode(), content[name_end + 1 :]
            else:
                raise WireError(f"an OP_MSG section of unknown kind {kind}")
            at += 1 + size

    def with_document(self, document: bytes) -> Self:
        """Return the same message with another document (a checksum, which would be wrong now, is left out)."""
        if self.op_code == OP_MSG:
            flags = UINT32.pack(self.flags & ~CHECKSUM_PRESENT)
            parts = [flags, b"\0", document]
            for kind, name, documents in self.sections():
                if kind == 1:
                    content = name.encode() + b"\0" + documents
                    parts += [b"\1", INT32.pack(4 + len(content)), content]
            return replace(self, payload=b"".join(parts))
        start = self._document_start()
        end = start + _size(self.payload, start)
        return replace(self, payload=self.payload[:start] + document + self.payload[end:])

    def _document_start(self) -> int:
        if self.op_code == OP_REPLY:
            return REPLY_PREFIX.size
        if self.op_code == OP_QUERY:  # flags, collection name, numbers to skip and to return
            return self.payload.index(b"\0", 4) + 1 + 8
        raise WireError(f"op code {self.op_code} carries no document that this proxy can read")

    def body(self) -> Body:
        """Return the document, decoded, with the document sequences of an OP_MSG as its lists."""
        body = decode(self.document())
        if self.op_code == OP_MSG:
            for kind, name, documents in self.sections():
                if kind == 1:
                    body[name] = _decode_row(documents)
        return body


def decode(document: bytes) -> Body:
    """Decode one document."""
    return bson.decode(document, CODEC)  # pyright: ignore[reportUnknownMemberType]


def _decode_row(documents: bytes) -> list[Body]:
    decoded: list[Body] = []
    at = 0
    while at < len(documents):
        size = _size(documents, at)
        decoded.append(decode(documents[at : at + size]))
        at += size
    return decoded


def encode(body: Mapping[str, Any]) -> bytes:
    """Encode one document."""
    return bson.encode(body, codec_options=CODEC)


def first_key(document: bytes) -> str:
    """The name of a document's first element, which is the command's name, without decoding the rest."""
    end = document.find(b"\0", 5)
    return document[5:end].decode() if end > 0 else ""


def _size(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise WireError("a message that ends too early")
    size = int(INT32.unpack_from(data, at)[0])
    if size < 5 or at + size > len(data):
        raise WireError("a message that ends too early")
    return size


def ask(address: Address, command: Mapping[str, Any], *, timeout: float = 5.0) -> Body | None:
    """Send one command to ``admin`` on a connection of its own.

    :returns: the reply, or ``None`` if nothing answers there.
    """
    request = Frame.message({**command, "$db": "admin"}, request_id=1)
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as stream:
                header = stream.read(HEADER.size)
                if len(header) < HEADER.size:
                    return None
                size, request_id, response_to, op_code = HEADER.unpack(header)
                payload = stream.read(size - HEADER.size)
    except OSError:
        return None
    return Frame(request_id, response_to, op_code, payload).body()
