"""A MongoDB for benchmarks: it answers at once, over the wire, and stores nothing.

Reads are answered with the documents of :mod:`benchmarks.data`, as many as it was told that there
are; writes with the reply of a write that was carried out. It counts the commands of contenders,
and keeps their writes when it is asked to. It is a process of its own, so that its CPU counts
as nobody's; one thread, because its answers are ready before the next question comes.

    python -m benchmarks.server [PORT]
"""

import contextlib
import selectors
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions

from benchmarks.data import array, stored

HEADER = struct.Struct("<iiii")
_INT32 = struct.Struct("<i")
_OP_QUERY, _OP_MSG = 2004, 2013
_MORE_TO_COME = 2
_FIRST_BATCH = 101
_BATCH_BYTES = 16_000_000
_OK = bson.encode({"ok": 1.0})
_HELLO = {
    "isWritablePrimary": True,
    "ismaster": True,
    "helloOk": True,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "ok": 1.0,
}
_UNCOUNTED = ("hello", "ismaster", "isMaster", "ping", "buildInfo", "endSessions", "control")
_LIST = {"insert": "documents", "update": "updates", "delete": "deletes"}


class Answers:
    """What is answered, and what was asked."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {"authors": 200, "tags": 200}
        self.counts: Counter[str] = Counter()
        self.writes: list[dict[str, Any]] | None = None
        self._cursors: dict[int, tuple[str, str, int]] = {}
        self._next_cursor = 1

    def answer(self, body: bytes, sequences: Mapping[str, bytes]) -> bytes:
        name = body[5 : body.index(b"\0", 5)].decode()
        if name not in _UNCOUNTED:
            self.counts[name] += 1
        if name in _LIST:
            return self._written(name, body, sequences)
        command = bson.decode(body)
        handler = getattr(self, f"_{name.lower()}", None)
        return _OK if handler is None else handler(command)

    def _hello(self, _: Mapping[str, Any]) -> bytes:
        return bson.encode(_HELLO)

    _ismaster = _hello

    def _buildinfo(self, _: Mapping[str, Any]) -> bytes:
        return bson.encode({"version": "7.0.0", "versionArray": [7, 0, 0, 0], "ok": 1.0})

    # -- reads

    def _find(self, command: Mapping[str, Any]) -> bytes:
        collection, query = command["find"], command.get("filter", {})
        limit = abs(command.get("limit", 0))
        return self._cursor(collection, query, limit, command.get("batchSize"), command["$db"])

    def _aggregate(self, command: Mapping[str, Any]) -> bytes:
        collection = command["aggregate"]
        query: dict[str, Any] = {}
        limit = 0
        for stage in command["pipeline"]:
            query = stage.get("$match", query)
            limit = stage.get("$limit", limit)
            if "$lookup" in stage and not collection.startswith("joined_"):
                collection = f"joined_{collection}"
        batch_size = command["cursor"].get("batchSize")
        return self._cursor(collection, query, limit, batch_size, command["$db"])

    def _cursor(
        self, collection: str, filter: dict[str, Any], limit: int, batch: int | None, db: str
    ) -> bytes:
        namespace = f"{db}.{collection}"
        count = self.sizes.get(collection.removeprefix("joined_"), 0)
        if filter or limit == 1:
            found = stored(collection).matching(filter, count) if count else []
            return _cursor_reply(
                "firstBatch", array(found[:limit] if limit else found), 0, namespace
            )
        count = min(count, limit) if limit else count
        end = min(count, batch or _FIRST_BATCH)
        documents = _slice(collection, 0, end) if count else array([])
        cursor = 0
        if end < count:
            cursor, self._next_cursor = self._next_cursor, self._next_cursor + 1
            self._cursors[cursor] = (collection, namespace, end)
        return _cursor_reply("firstBatch", documents, cursor, namespace)

    def _getmore(self, command: Mapping[str, Any]) -> bytes:
        cursor = command["getMore"]
        collection, namespace, start = self._cursors.pop(cursor)
        count = self.sizes[collection.removeprefix("joined_")]
        size = command.get("batchSize") or _BATCH_BYTES // len(stored(collection).first(1)[0])
        end = min(count, start + size)
        if end < count:
            self._cursors[cursor] = (collection, namespace, end)
        else:
            cursor = 0
        return _cursor_reply("nextBatch", _slice(collection, start, end), cursor, namespace)

    def _listindexes(self, command: Mapping[str, Any]) -> bytes:
        index = bson.encode({"v": 2, "key": {"_id": 1}, "name": "_id_"})
        namespace = f"{command['$db']}.{command['listIndexes']}"
        return _cursor_reply("firstBatch", array([index]), 0, namespace)

    def _listcollections(self, command: Mapping[str, Any]) -> bytes:
        namespace = f"{command['$db']}.$cmd.listCollections"
        return _cursor_reply("firstBatch", array([]), 0, namespace)

    # -- writes

    def _written(self, name: str, body: bytes, sequences: Mapping[str, bytes]) -> bytes:
        field = _LIST[name]
        sequence = sequences.get(field)
        if sequence is None or self.writes is not None:
            command = bson.decode(body)
            if sequence is not None:
                command[field] = bson.decode_all(sequence)
            count = len(command[field])
            if self.writes is not None:
                collection = command[name]
                self.writes += [
                    {"verb": name, "collection": collection, "statement": each}
                    for each in command[field]
                ]
        else:
            count = sum(1 for _ in _sizes(sequence))
        extra = {"nModified": count} if name == "update" else {}
        return bson.encode({"n": count, **extra, "ok": 1.0})

    def _findandmodify(self, command: Mapping[str, Any]) -> bytes:
        collection = command["findAndModify"]
        if self.writes is not None:
            statement = {"q": command["query"], "u": command["update"]}
            self.writes.append({"verb": "update", "collection": collection, "statement": statement})
        found = stored(collection).matching(command["query"], self.sizes[collection])
        value = bson.decode(found[0]) if found else None
        return bson.encode({"lastErrorObject": {"n": 1}, "value": value, "ok": 1.0})

    # -- the harness's own command

    def _control(self, command: Mapping[str, Any]) -> bytes:
        """Set sizes, tell what was counted and kept since the last time, and keep writes or not."""
        told = {"counts": dict(self.counts), "writes": self.writes or [], "ok": 1.0}
        self.sizes.update(command.get("sizes", {}))
        self.counts.clear()
        self._cursors.clear()
        self.writes = [] if command.get("keep") else None
        return bson.encode(told)


@lru_cache(maxsize=64)
def _slice(collection: str, start: int, end: int) -> bytes:
    return array(stored(collection).first(end)[start:])


def _cursor_reply(batch: str, documents: bytes, cursor: int, namespace: str) -> bytes:
    rest = bson.encode({"id": bson.Int64(cursor), "ns": namespace})[4:]
    inner = b"\x04%b\0%b%b" % (batch.encode(), documents, rest)
    outer = b"\x03cursor\0%b%b%b" % (_INT32.pack(len(inner) + 4), inner, _OK[4:])
    return _INT32.pack(len(outer) + 4) + outer


def _sizes(sequence: bytes) -> Iterator[int]:
    at = 0
    while at < len(sequence):
        (size,) = _INT32.unpack_from(sequence, at)
        yield size
        at += size


# -- the wire


def _message(answers: Answers, request: int, op_code: int, payload: bytes) -> bytes | None:
    """The reply to one message as it goes out; None: none is wanted."""
    if op_code == _OP_QUERY:  # a driver's first hello
        body = payload[payload.index(b"\0", 4) + 9 :]
        reply = answers.answer(body[: _INT32.unpack_from(body)[0]], {})
        head = HEADER.pack(len(reply) + 36, 0, request, 1)
        return head + struct.pack("<iqii", 8, 0, 0, 1) + reply
    if op_code != _OP_MSG:
        raise ValueError(f"a message with op code {op_code}; this server knows OP_MSG alone")
    body, sequences, at = b"", {}, 4
    while at < len(payload):
        kind, (size,) = payload[at], _INT32.unpack_from(payload, at + 1)
        section = payload[at + 1 : at + 1 + size]
        if kind:
            end = section.index(b"\0", 4)
            sequences[section[4:end].decode()] = section[end + 1 :]
        else:
            body = section
        at += 1 + size
    try:
        reply = answers.answer(body, sequences)
    except Exception as error:  # noqa: BLE001 - whatever a contender asks, the others go on
        message = f"the benchmark's server: {type(error).__name__}: {error}"
        reply = bson.encode({"ok": 0.0, "code": 1, "errmsg": message})
    if payload[0] & _MORE_TO_COME:
        return None
    return HEADER.pack(len(reply) + 21, 0, request, _OP_MSG) + b"\0\0\0\0\0" + reply


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly *size* bytes.

    :raises ConnectionError: the other side has gone.
    """
    data = connection.recv(size)
    if len(data) == size:
        return data
    buffer = bytearray(data)
    while data and len(buffer) < size:
        data = connection.recv(size - len(buffer))
        buffer += data
    if len(buffer) < size:
        raise ConnectionError("closed")
    return bytes(buffer)


def serve(port: int = 0) -> None:
    """Print the port and serve until standard input ends."""
    answers = Answers()
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, _ in selector.select():
            connection = key.fileobj
            if connection is sys.stdin:
                return
            if connection is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ)
                continue
            try:
                size, request, _, op_code = HEADER.unpack(_receive(connection, HEADER.size))
                payload = _receive(connection, size - HEADER.size)
                reply = _message(answers, request, op_code, payload)
                if reply is not None:
                    connection.sendall(reply)
            except OSError:
                selector.unregister(connection)
                connection.close()


# -- for its users


@contextlib.contextmanager
def running() -> Iterator[int]:
    """A server in a process of its own, for the time of a block: its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate(timeout=10)


def control(port: int, **command: Any) -> dict[str, Any]:
    """Send the harness's own command; see :meth:`Answers._control`."""
    body = bson.encode({"control": 1, **command})
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEADER.pack(len(body) + 21, 1, 0, _OP_MSG) + b"\0\0\0\0\0" + body)
        size, *_ = HEADER.unpack(_receive(connection, HEADER.size))
        return bson.decode(
            _receive(connection, size - HEADER.size)[5:], CodecOptions(tz_aware=True)
        )


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 0)
