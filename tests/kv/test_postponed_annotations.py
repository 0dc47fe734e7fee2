"""Stores in modules whose annotations are strings: ``set`` is a method of the store, and a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mongospec_core import MongoDocument
from mongospec_kv import KVStore

if TYPE_CHECKING:
    from .conftest import Bind


class Tagged(MongoDocument, abstract=True):
    tags: set[str] = msgspec.field(default_factory=lambda: {"new"})


class TaggedStore(KVStore, Tagged):
    seen: set[int] = set()


class Members(KVStore):
    value: set[int]


async def test_set_is_still_a_type_in_the_fields_of_a_store(bind: Bind) -> None:
    await bind(TaggedStore, Members)
    await TaggedStore.set("k", 1)
    entry = await TaggedStore.find_one({"key": "k"})
    assert entry is not None
    assert (entry.tags, entry.seen) == ({"new"}, set())
    await Members.set("k", {2, 1})
    assert await Members.get("k") == {1, 2}
