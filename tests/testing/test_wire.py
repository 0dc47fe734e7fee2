"""Connection strings and frames, where a mistake would be hard to see over the wire."""

import bson
import pytest

from mongospec_testing.uri import Address, MongoUri
from mongospec_testing.wire import (
    CHECKSUM_PRESENT,
    INT32,
    MORE_TO_COME,
    OP_COMPRESSED,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    REPLY_PREFIX,
    UINT32,
    Frame,
    WireError,
    first_key,
)

INSERT = bson.encode({"insert": "things", "$db": "app"})
ONE, TWO = bson.encode({"_id": 1}), bson.encode({"_id": 2})


@pytest.mark.parametrize(
    ("text", "credentials", "hosts", "options"),
    [
        ("mongodb://localhost", "", ["localhost:27017"], {}),
        ("mongodb://a:1,b,[::1]:3/", "", ["a:1", "b:27017", "[::1]:3"], {}),
        (
            "mongodb://ada:p%40w@a/app?TLS=true&w=1",
            "ada:p%40w",
            ["a:27017"],
            {"tls": "true", "w": "1"},
        ),
        ("mongodb://a?retryWrites=false", "", ["a:27017"], {"retrywrites": "false"}),
    ],
)
def test_a_connection_string_is_taken_apart_and_put_together(
    text: str, credentials: str, hosts: list[str], options: dict[str, str]
) -> None:
    uri = MongoUri.parse(text)
    assert uri.credentials == credentials
    assert [str(address) for address in uri.addresses] == hosts
    assert uri.options == options
    assert str(uri) == text


@pytest.mark.parametrize(
    "text", ["", "localhost:27017", "http://localhost", "mongodb://", "mongodb:///app"]
)
def test_what_is_no_connection_string_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="connection string"):
        MongoUri.parse(text)


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ("mongodb://a", False),
        ("mongodb://a/?tls=true", True),
        ("mongodb://a/?ssl=true", True),
        ("mongodb+srv://a", True),
        ("mongodb+srv://a/?tls=false", False),
    ],
)
def test_tls_is_seen(text: str, tls: bool) -> None:
    assert MongoUri.parse(text).tls is tls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://a", "mongodb://a/?w=1"),
        ("mongodb://a/", "mongodb://a/?w=1"),
        ("mongodb://a/app?x=1", "mongodb://a/app?x=1&w=1"),
        ("mongodb://a/?W=majority", "mongodb://a/?W=majority"),
    ],
)
def test_an_option_is_added_where_there_is_none(text: str, expected: str) -> None:
    assert str(MongoUri.parse(text).with_default("w", "1")) == expected


def test_the_public_form_has_no_credentials_and_other_hosts_can_be_put_in() -> None:
    uri = MongoUri.parse("mongodb://ada:pw@a,b/app")
    assert uri.public == "mongodb://a,b/app"
    assert str(uri.at([Address("::1", 5)])) == "mongodb://ada:pw@[::1]:5/app"


def message(flags: int = 0, checksum: bytes = b"") -> Frame:
    sequence = b"documents\0" + ONE + TWO
    sections = b"\1" + INT32.pack(4 + len(sequence)) + sequence + b"\0" + INSERT
    return Frame(7, 0, OP_MSG, UINT32.pack(flags) + sections + checksum)


@pytest.mark.parametrize("frame", [message(), message(CHECKSUM_PRESENT, b"\1\2\3\4")])
def test_a_message_is_read_with_its_sequence_before_or_after_its_body(frame: Frame) -> None:
    assert frame.document() == INSERT
    assert first_key(frame.document()) == "insert"
    documents = [{"_id": 1}, {"_id": 2}]
    assert frame.body() == {"insert": "things", "$db": "app", "documents": documents}


def test_another_document_in_a_message_leaves_the_rest_and_drops_the_checksum() -> None:
    other = bson.encode({"insert": "elsewhere", "$db": "app"})
    frame = message(CHECKSUM_PRESENT | MORE_TO_COME, b"\1\2\3\4").with_document(other)
    assert frame.flags == MORE_TO_COME
    assert frame.more_to_come
    assert frame.body()["insert"] == "elsewhere"
    assert frame.body()["documents"] == [{"_id": 1}, {"_id": 2}]


def test_the_legacy_hello_and_its_reply_are_read_answered_and_changed() -> None:
    hello = bson.encode({"isMaster": 1})
    head = UINT32.pack(0) + b"admin.$cmd\0" + INT32.pack(0) + INT32.pack(-1)
    query = Frame(9, 0, OP_QUERY, head + hello)
    assert query.document() == hello
    changed = query.with_document(bson.encode({"isMaster": 1, "compression": []}))
    assert changed.payload.startswith(head)
    assert changed.body() == {"isMaster": 1, "compression": []}
    reply = query.answer(bson.encode({"ok": 1.0}))
    assert (reply.op_code, reply.response_to) == (OP_REPLY, 9)
    assert REPLY_PREFIX.unpack_from(reply.payload)[3] == 1
    assert reply.with_document(bson.encode({"ok": 0.0})).body() == {"ok": 0.0}


@pytest.mark.parametrize(
    "frame",
    [
        Frame(1, 0, OP_MSG, UINT32.pack(0)),
        Frame(1, 0, OP_MSG, UINT32.pack(0) + b"\0\xff\0\0\0"),
        Frame(1, 0, OP_MSG, UINT32.pack(0) + b"\2" + INSERT),
        Frame(1, 0, OP_MSG, UINT32.pack(0) + b"\0\0"),
        Frame(1, 0, OP_COMPRESSED, b"\0" * 30),
    ],
)
def test_a_broken_or_unknown_message_is_an_error(frame: Frame) -> None:
    with pytest.raises(WireError):
        frame.document()
