"""Random histories of documents with shared nodes and cycles: the database holds exactly what was changed."""

import asyncio
import datetime as dt
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import mongojet
import msgspec
from bson import Decimal128, ObjectId
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mongospec_core import changes, close, init
from mongospec_refs import MongoDocument, is_resolved
from mongospec_testing import MongoServer


class Part(msgspec.Struct):
    name: str = ""
    sizes: list[int] = []
    since: dt.datetime | None = None


class Item(MongoDocument):
    """Refers to its own kind, in a field and in a list."""

    __collection_name__ = "stateful_items"

    name: str
    number: int = 0
    tags: list[str] = []
    notes: dict[str, int] = {}
    price: Decimal = Decimal(0)
    marks: set[int] = set()
    part: Part = msgspec.field(default_factory=Part)
    friend: "Item | None" = None
    others: list["Item"] = []


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
keys = st.text(st.sampled_from("abc"), min_size=1, max_size=2)
numbers = st.integers(-(2**63), 2**63 - 1)
prices = st.decimals(-1_000, 1_000, places=2) | st.sampled_from([Decimal("1.50"), Decimal("1.5")])
moments = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1)).map(
    lambda each: each.replace(microsecond=0, tzinfo=dt.UTC)
)


def stored_form(item: Item) -> dict[str, Any]:
    """What the document of an item should be, made without mongospec."""
    return {
        "_id": item._id,
        "name": item.name,
        "number": item.number,
        "tags": list(item.tags),
        "notes": dict(item.notes),
        "price": Decimal128(item.price),
        "marks": sorted(item.marks),
        "part": {
            "name": item.part.name,
            "sizes": list(item.part.sizes),
            "since": item.part.since,
        },
        "friend": None if item.friend is None else item.friend._id,
        "others": [each._id for each in item.others],
    }


class History(RuleBasedStateMachine):
    """Items are made, joined, changed in place, saved, read anew and written past us."""

    items: Bundle[Item] = Bundle("items")
    loop: asyncio.AbstractEventLoop
    raw: mongojet.Collection

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[ObjectId, dict[str, Any]] = {}
        self.run(self.raw.delete_many({}))

    def run[T](self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(_awaited(work))

    def note(self, *items: Item) -> None:
        """These are stored as they are now, and what others wrote beside stays."""
        for item in items:
            beside = self.model.get(item._id, {}).get("alien")
            self.model[item._id] = stored_form(item)
            if beside is not None:
                self.model[item._id]["alien"] = beside

    @initialize(target=items, name=texts)
    def begin(self, name: str) -> Item:
        return self.insert(name)

    @rule(target=items, name=texts)
    def insert(self, name: str) -> Item:
        item = Item(name=name)
        self.run(item.insert())
        self.note(item)
        return item

    @rule(target=items, name=texts, friend=items)
    def insert_graph(self, name: str, friend: Item) -> Item:
        """A cycle of two new ones, which lead to a stored one."""
        first, second = Item(name=name), Item(name=f"{name}2", others=[friend])
        first.friend, second.friend = second, first
        self.run(first.insert_recursive())
        self.note(first, second)
        return first

    @rule(item=items, name=texts, count=numbers, tag=texts, key=keys)
    def change(self, item: Item, name: str, count: int, tag: str, key: str) -> None:
        item.name, item.number = name, count
        item.tags.append(tag)
        item.notes[key] = count

    @rule(item=items, name=texts, size=numbers, since=st.none() | moments)
    def change_inside(self, item: Item, name: str, size: int, since: dt.datetime | None) -> None:
        item.part.name, item.part.since = name, since
        item.part.sizes.append(size)
        item.part.sizes.sort()

    @rule(item=items, price=prices, mark=st.integers(0, 3))
    def change_values(self, item: Item, price: Decimal, mark: int) -> None:
        item.price = price
        item.marks ^= {mark}

    @rule(item=items, other=items, alone=st.booleans())
    def join(self, item: Item, other: Item, alone: bool) -> None:
        if alone:
            item.friend = other
        else:
            item.others.append(other)

    @rule(item=items)
    def part(self, item: Item) -> None:
        item.friend = None
        item.others.clear()

    @rule(item=items)
    def save(self, item: Item) -> None:
        reached = _reachable(item)
        self.run(item.save())
        self.note(*reached)
        assert [changes(each) for each in reached] == [{} for _ in reached]

    @rule(one=items, other=items)
    def save_many(self, one: Item, other: Item) -> None:
        self.run(Item.save_many([one, other]))
        self.note(*_reachable(one), *_reachable(other))

    @rule(item=items)
    def save_alone(self, item: Item) -> None:
        self.run(item.save(save_refs=False))
        self.note(item)

    @rule(item=items, value=numbers)
    def others_write_beside(self, item: Item, value: int) -> None:
        self.run(self.raw.update_one({"_id": item._id}, {"$set": {"alien": value}}))
        self.model[item._id]["alien"] = value

    @rule(item=items)
    def reload(self, item: Item) -> None:
        self.run(item.reload(resolve_refs=False))
        stored = {name: value for name, value in self.model[item._id].items() if name != "alien"}
        assert stored_form(item) == stored
        assert changes(item) == {}

    @rule(item=items)
    def read(self, item: Item) -> None:
        found = self.run(Item.get_by_id(item._id))
        for each in _reachable(found):
            expected = {k: v for k, v in self.model[each._id].items() if k != "alien"}
            assert stored_form(each) == expected
            assert changes(each) == {}

    @rule(item=items)
    def replace(self, item: Item) -> None:
        """A replacement keeps nothing of what it replaces."""
        twin = Item(_id=item._id, name=item.name)
        self.run(Item.find_one_and_replace({"_id": item._id}, twin))
        self.model[item._id] = stored_form(twin)
        self.run(item.reload(resolve_refs=False))

    @invariant()
    def the_database_holds_what_was_changed(self) -> None:
        found = {each["_id"]: each for each in self.run(_all(self.raw))}
        assert found == self.model


def _reachable(item: Item) -> list[Item]:
    found: dict[int, Item] = {}
    waiting = [item]
    while waiting:
        each = waiting.pop()
        if id(each) not in found and is_resolved(each):
            found[id(each)] = each
            waiting += each.others
            if each.friend is not None:
                waiting.append(each.friend)
    return list(found.values())


async def _awaited[T](work: Awaitable[T]) -> T:
    return await work


async def _all(collection: mongojet.Collection) -> list[dict[str, Any]]:
    return list(await collection.find_many({}))


def test_the_database_holds_exactly_what_was_changed_in_any_history(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(init(mongo_db, [Item], close_client=False))

        class Bound(History):
            pass

        Bound.loop = loop
        Bound.raw = mongo_db["stateful_items"]
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=30,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(close())
        loop.close()
