"""The documents of a class's collection as raw batches, in the order of their ``_id``."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

import msgspec
from bson import ObjectId, json_util

from mongospec_cli.errors import CommandError
from mongospec_core import MongoDocument
from mongospec_core.extension import (
    DECIMAL_CODEC_OPTIONS,
    Binding,
    Operation,
    binding_of,
    decode,
    encode,
    is_member,
)

BATCH = 1_000
"""How many documents are read, judged and written together."""
_HEX = re.compile("[0-9a-f]{24}")
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    uuid_representation=DECIMAL_CODEC_OPTIONS.uuid_representation,
    tz_aware=True,
)


class Position(msgspec.Struct, frozen=True):
    """A document that was read: what comes after it is still to be read.

    Its text, ``User:65f0c0ffee65f0c0ffee0001``, is what ``--after`` takes.

    :param owner: the class's name.
    :param id: the document's ``_id``, as it is stored.
    """

    owner: str
    id: Any

    def __str__(self) -> str:
        if isinstance(self.id, ObjectId):
            return f"{self.owner}:{self.id}"
        if isinstance(self.id, str) and isinstance(_read_id(self.id), str):
            return f"{self.owner}:{self.id}"
        return f"{self.owner}:{json_util.dumps(self.id, json_options=_JSON)}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read the text of a position.

        :raises CommandError: it is not one.
        """
        owner, colon, id_ = text.partition(":")
        if not (owner and colon and id_):
            raise CommandError(
                f"--after {text!r}: write CLASS:ID, as a run that was interrupted prints it"
            )
        return cls(owner, _read_id(id_))


def _read_id(text: str) -> Any:
    """An ObjectId, extended JSON, or what is neither of them: a string."""
    if _HEX.fullmatch(text):
        return ObjectId(text)
    try:
        return json_util.loads(text, json_options=_JSON)
    except (json.JSONDecodeError, ValueError, TypeError):
        return text


class ReadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a read of a collection.

    :param owner: the class's name.
    :param documents: how many of its documents are done.
    :param total: how many there are, about.
    :param position: the last one that is done; None for a sample, which has no order.
    """

    owner: str
    documents: int
    total: int
    position: Position | None = None


def audited_types(
    document_types: Iterable[type[MongoDocument]], after: Position | None
) -> list[type[MongoDocument]]:
    """The classes to read: of a family only the highest, which reads the documents of all.

    :param after: leave out the classes before its own.
    :raises CommandError: none of them has the name that *after* has.
    """
    given = list(document_types)
    found = [
        cls for cls in given if not any(cls is not each and is_member(cls, each) for each in given)
    ]
    if after is None:
        return found
    names = [cls.__name__ for cls in found]
    if after.owner not in names:
        raise CommandError(
            f"--after {after}: there is no class {after.owner!r}, only {', '.join(names)}"
        )
    return found[names.index(after.owner) :]


async def count(binding: Binding, sample: int | None) -> int:
    """How many documents there are to read, about."""
    call = Operation(binding.target, f"{binding.target.owner}: count", {}, write=False)
    reply = await call.command({"count": binding.target.name})
    return min(int(reply["n"]), sample or int(reply["n"]))


async def read_batches(
    cls: type[MongoDocument],
    operation: str,
    *,
    sample: int | None = None,
    after: Position | None = None,
    rate: float | None = None,
) -> AsyncGenerator[list[bytes]]:
    """Read the stored documents of a class, a batch at a time; the next one is asked for meanwhile.

    :param operation: what for, in errors.
    :param sample: read so many that the server picks at random, in no order.
    :param after: read what comes after this document, in the order of ``_id``.
    :param rate: read no more documents a second than this.
    """
    binding = binding_of(cls)
    name = f"{cls.__name__}: {operation}"
    if sample is None:
        # Not {"_id": {"$gt": id}}, which skips the ids of every other type.
        later = {"$expr": {"$gt": ["$_id", {"$literal": after.id}]}} if after else {}
        options: dict[str, Any] = {"sort": {"_id": 1}, "batch_size": BATCH}
        verb = "find"
        asked: bytes | list[bytes] = encode(binding.scoped(later))
    else:
        options = {"batch_size": BATCH}
        scope = binding.scoped({})
        verb, asked = "aggregate", [encode({"$sample": {"size": sample}})]
        if scope:
            asked.insert(0, encode({"$match": scope}))
    call = Operation(binding.target, name, options, write=False).without_timeout()
    cursor = await call.open(verb, asked)
    begun, number = time.monotonic(), 0
    pending = asyncio.create_task(call.fetch(cursor))
    try:
        while parts := await pending:
            pending = asyncio.create_task(call.fetch(cursor))
            yield parts
            number += len(parts)
            if rate is not None:
                await asyncio.sleep(begun + number / rate - time.monotonic())
    finally:
        pending.cancel()
        await asyncio.wait([pending])


def id_of(part: bytes) -> Any:
    """The ``_id`` of a stored document, which may be damaged elsewhere."""
    try:
        return decode(part).get("_id")
    except ValueError:
        return None


def last_position(cls: type[MongoDocument], parts: Sequence[bytes]) -> Position | None:
    """The position after a batch, if its last ``_id`` can be read."""
    last = id_of(parts[-1])
    return None if last is None else Position(cls.__name__, last)
