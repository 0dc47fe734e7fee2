"""A driver whose calls return ready bytes at once: what is left is the CPU of the code above it.

It stands in for mongojet's Rust objects, below mongojet's own Python classes, so everything that
goes through mongojet can run on it: dictionaries, mongospec of any version, with nothing patched.
"""

from typing import Any

import bson
import mongojet
from bson.codec_options import CodecOptions

from benchmarks.data import array, stored

_END = b"\x05\0\0\0\0"
_UPDATED = bson.encode({"matched_count": 1, "modified_count": 1, "upserted_id": None})
_INSERTED = bson.encode({"inserted_id": None})
_FIELDS = {"insert": "documents", "update": "updates", "delete": "deletes"}


class _Cursor:
    def __init__(self, batch: bytes) -> None:
        self._batches = [batch]

    async def next_batch(self) -> bytes:
        return self._batches.pop() if self._batches else _END

    collect = next_batch


class _Collection:
    """The Rust collection: every reply is made once, for the size that was set last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._inserted_many: dict[int, bytes] = {}
        self.size(200 if name in ("authors", "tags") else 0)

    def size(self, count: int) -> None:
        documents = stored(self.name).first(count) if count else []
        self._found = array(documents)
        self._first = documents[0] if documents else None

    def write_concern(self) -> None:
        return None

    async def find_one(self, _filter: Any, _options: Any) -> bytes | None:
        return self._first

    async def find_many(self, _filter: Any, _options: Any) -> bytes:
        return self._found

    async def find(self, _filter: Any, _options: Any) -> _Cursor:
        return _Cursor(self._found)

    async def insert_one(self, _document: Any, _options: Any) -> bytes:
        return _INSERTED

    async def insert_many(self, documents: list[bytes], _options: Any) -> bytes:
        reply = self._inserted_many.get(len(documents))
        if reply is None:
            reply = bson.encode({"inserted_ids": [bson.ObjectId() for _ in documents]})
            self._inserted_many[len(documents)] = reply
        return reply

    async def update_one(self, _filter: Any, _update: Any, _options: Any) -> bytes:
        return _UPDATED

    async def replace_one(self, _filter: Any, _replacement: Any, _options: Any) -> bytes:
        return _UPDATED


class _Database:
    """The Rust database. A command's reply is found by its bytes, but for what differs each time."""

    name = "bench"

    def __init__(self) -> None:
        self.collections: dict[str, _Collection] = {}
        self._replies: dict[tuple[str, int], bytes] = {}

    def get_collection(self, name: str) -> Any:
        return self.collections.setdefault(name, _Collection(name.removeprefix("$") or name))

    async def run_command(self, command: bytes, _options: Any) -> bytes:
        key = (command[5 : command.index(0, 5)].decode(), len(command))
        reply = self._replies.get(key)
        if reply is None:
            statements = bson.decode(command).get(_FIELDS.get(key[0], ""), ())
            n = len(statements)
            reply = bson.encode({"n": n, "nModified": n, "ok": 1.0})
            self._replies[key] = reply
        return reply


class _Client:
    async def shutdown(self) -> None:
        """Nothing is open."""

    shutdown_immediate = shutdown


def database() -> tuple[mongojet.Database, _Database]:
    """A mongojet database on ready bytes, and what they come from."""
    core: Any = _Database()
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    client_core: Any = _Client()
    client = mongojet.Client(client_core, codec_options=options)
    return mongojet.Database(core, codec_options=options, client=client), core
