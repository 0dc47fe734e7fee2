"""The store's methods, over the wire."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import mongojet
import pytest
from bson import ObjectId

from mongospec_core import (
    DuplicateKeyError,
    EncodingError,
    MongospecError,
    NotBoundError,
    OptionError,
    register_encoder,
)
from mongospec_kv import KeyNotFoundError, KVStoreItem, StoredValueError
from mongospec_testing import FaultProxy

from .conftest import AppStorage, Bind, PlainStore

type Store = type[AppStorage]
type Plain = type[PlainStore]


async def test_the_readmes_lines_give_what_they_say(store: Store) -> None:
    await store.set("theme", "dark")
    assert await store.get("theme") == "dark"
    assert await store.get_or_default("x", 0) == 0
    assert await store.set_default("theme", "light") == "dark"
    await store.set_many({"a": 1, "b": 2})
    assert await store.get_all() == {"theme": "dark", "a": 1, "b": 2}
    assert await store.keys() == ["theme", "a", "b"]
    assert await store.has("theme") is True
    assert await store.delete_key("theme") is True
    assert await store.has("theme") is False
    assert await store.delete_key("theme") is False


async def test_a_value_can_be_set_over_another_of_any_type(store: Store) -> None:
    await store.set("k", 1)
    await store.set("k", {"nested": [1, None]})
    assert await store.get("k") == {"nested": [1, None]}
    assert await store.count() == 1


async def test_none_is_a_value(store: Store) -> None:
    await store.set("k", None)
    assert await store.get("k") is None
    assert await store.get_or_default("k", 1) is None
    assert await store.set_default("k", 1) is None
    assert await store.has("k")


async def test_a_missing_key_is_a_key_error_that_names_store_and_key(store: Store) -> None:
    with pytest.raises(KeyNotFoundError, match=r"^AppStorage has no key 'x'$") as caught:
        await store.get("x")
    assert isinstance(caught.value, KeyError)
    assert (caught.value.store, caught.value.key) == (AppStorage, "x")


async def test_keys_may_look_like_paths_and_operators(store: Store) -> None:
    items = {"a.b": 1, "$set": 2, "": 3, "\u00e9\0": 4}
    for key, value in items.items():
        await store.set(key, value)
    assert await store.get_all() == items
    assert await store.get_many(list(items)) == items


class Color(Enum):
    RED = "red"


VALUES: dict[str, tuple[Any, Any]] = {
    "str": ("text", "text"),
    "int64": (2**40, 2**40),
    "float": (1.5, 1.5),
    "bool": (True, True),
    "bytes": (b"\0\1", b"\0\1"),
    "list": ([1, [2]], [1, [2]]),
    "dict": ({"a": {"b": 1}}, {"a": {"b": 1}}),
    "dict with int keys": ({1: "a"}, {"1": "a"}),
    "tuple": ((1, 2), [1, 2]),
    "set": ({2, 1}, [1, 2]),
    "datetime": (
        datetime(2024, 5, 6, 7, 8, 9, 123456, UTC),
        datetime(2024, 5, 6, 7, 8, 9, 123000, UTC),
    ),
    "date": (date(2024, 5, 6), datetime(2024, 5, 6, tzinfo=UTC)),
    "time": (time(1, 2, 3), "01:02:03"),
    "timedelta": (timedelta(seconds=1), 1000),
    "decimal": (Decimal("1.10"), Decimal("1.10")),
    "uuid": (UUID(int=5), UUID(int=5)),
    "object id": (ObjectId(b"twelve bytes"), ObjectId(b"twelve bytes")),
    "enum": (Color.RED, "red"),
}


@pytest.mark.parametrize(("given", "expected"), VALUES.values(), ids=VALUES)
async def test_values_of_the_codecs_types_come_back_as_bson_has_them(
    plain: Plain, given: Any, expected: Any
) -> None:
    await plain.set("set", given)
    assert await plain.set_default("set_default", given) == expected
    await plain.set_many({"set_many": given})
    for key, value in (await plain.get_all()).items():
        assert value == expected, key
        assert type(value) is type(expected), key
    assert type(await plain.get("set")) is type(expected)


async def test_what_is_read_can_be_changed_without_changing_what_is_read_next(
    plain: Plain,
) -> None:
    await plain.set("k", [1])
    (await plain.get("k")).append(2)
    assert await plain.get("k") == [1]


async def test_a_value_that_bson_cannot_hold_names_the_key_and_nothing_is_sent(
    plain: Plain,
) -> None:
    with pytest.raises(EncodingError, match=r"PlainStore\.value.*for the key 'k'"):
        await plain.set("k", object())
    with pytest.raises(EncodingError, match=r"PlainStore\.value.*for the key 'bad'"):
        await plain.set_many({"good": 1, "bad": 2**70})
    assert await plain.keys() == []


# -- many keys


async def test_two_hundred_keys_are_set_by_one_command(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    items = {f"key {number}": number for number in range(200)}
    await plain.set("key 7", "old")
    with mongo_proxy.recording() as seen:
        await plain.set_many(items)
    assert [(each.name, each.body["ordered"]) for each in seen] == [("update", False)]
    assert await plain.get_all() == {"key 7": 7} | items


async def test_set_many_of_nothing_sends_nothing(mongo_proxy: FaultProxy, plain: Plain) -> None:
    with mongo_proxy.recording() as seen:
        await plain.set_many({})
        assert await plain.get_many([]) == {}
        assert await plain.delete_keys([]) == 0
    assert seen == []


@pytest.mark.parametrize("option", ["upsert", "collation", "array_filters", "hint"])
async def test_set_many_refuses_options_that_it_would_drop(plain: Plain, option: str) -> None:
    given: Any = {option: True}
    with pytest.raises(OptionError, match=option):
        await plain.set_many({"a": 1}, **given)
    assert await plain.keys() == []


async def test_keys_asks_for_no_values(mongo_proxy: FaultProxy, plain: Plain) -> None:
    await plain.set_many({"a": 1, "b": 2})
    with mongo_proxy.recording() as seen:
        assert await plain.keys() == ["a", "b"]
    assert [each.body["projection"] for each in seen] == [{"_id": 0, "key": 1}]


async def test_get_many_gives_the_keys_that_are_there_in_the_order_asked(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    await plain.set_many({"a": 1, "b": 2, "c": 3})
    with mongo_proxy.recording() as seen:
        found = await plain.get_many(["c", "x", "a", "c"])
    assert list(found.items()) == [("c", 3), ("a", 1)]
    assert [each.name for each in seen] == ["find"]


async def test_delete_keys_deletes_those_and_counts_them(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    await plain.set_many({"a": 1, "b": 2, "c": 3})
    with mongo_proxy.recording() as seen:
        assert await plain.delete_keys(iter(["a", "c", "x"])) == 2
    assert [each.name for each in seen] == ["delete"]
    assert await plain.keys() == ["b"]


async def test_keys_beyond_the_size_of_a_command_are_asked_for_in_parts(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    keys = [f"{number:02}" + "x" * 900_000 for number in range(12)]
    with mongo_proxy.recording() as seen:
        assert await plain.get_many(keys) == {}
    assert [each.name for each in seen] == ["find", "find"]
    asked = [key for each in seen for key in each.body["filter"]["key"]["$in"]]
    assert asked == keys


async def test_clear_deletes_everything_and_counts_it(plain: Plain) -> None:
    await plain.set_many({"a": 1, "b": 2})
    assert await plain.clear() == 2
    assert await plain.get_all() == {}
    assert await plain.clear() == 0


# -- concurrency


async def test_forty_concurrent_set_defaults_agree_on_one_value(plain: Plain) -> None:
    values = await asyncio.gather(*(plain.set_default("k", number) for number in range(40)))
    assert len(set(values)) == 1
    assert await plain.get("k") == values[0]
    assert await plain.count() == 1


async def test_forty_concurrent_sets_of_a_new_key_make_one_entry(plain: Plain) -> None:
    await asyncio.gather(*(plain.set("k", number) for number in range(40)))
    assert await plain.count() == 1


async def test_increments_of_forty_tasks_lose_nothing(
    mongo_db: mongojet.Database, plain: Plain
) -> None:
    sums = await asyncio.gather(*(plain.increment("k") for _ in range(40)))
    assert await plain.get("k") == 40
    assert set(sums) <= set(range(1, 41))
    build = await mongo_db.run_command({"buildInfo": 1})
    # The embedded server may answer the loser of a race without the document.
    if "secantusVersion" not in build:
        assert sorted(sums) == list(range(1, 41))


async def test_increments_of_a_key_that_is_there_give_each_its_own_sum(plain: Plain) -> None:
    await plain.set("k", 0)
    sums = await asyncio.gather(*(plain.increment("k") for _ in range(40)))
    assert sorted(sums) == list(range(1, 41))


async def test_an_answer_without_the_document_is_followed_by_a_read(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    with mongo_proxy.rewrite("findAndModify", lambda reply: reply | {"value": None}):
        assert await plain.set_default("k", 5) == 5
        assert await plain.increment("k") == 6


async def test_an_upsert_that_loses_the_race_for_a_key_is_repeated(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    lost = {"code": 11000, "errmsg": "E11000 duplicate key", "index": 0, "keyPattern": {"key": 1}}
    reply = {"ok": 1, "n": 0, "nModified": 0, "writeErrors": [lost]}
    with mongo_proxy.reply("update", reply, times=1) as rule:
        await plain.set("a", 1)
    assert len(rule.hits) == 1
    with mongo_proxy.fail("findAndModify", 11000, times=2) as rule:
        assert await plain.set_default("b", 2) == 2
    assert len(rule.hits) == 2
    with mongo_proxy.reply("update", reply, times=1):
        await plain.set_many({"c": 3, "d": 4})
    assert await plain.get_many(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}


async def test_a_duplicate_key_that_stays_is_raised(mongo_proxy: FaultProxy, plain: Plain) -> None:
    with mongo_proxy.fail("findAndModify", 11000) as rule, pytest.raises(DuplicateKeyError):
        await plain.set_default("b", 2)
    assert len(rule.hits) == 3


# -- increment


async def test_increment_starts_at_zero_and_takes_any_number(plain: Plain) -> None:
    assert await plain.increment("i") == 1
    assert await plain.increment("i", 5) == 6
    assert await plain.increment("i", -10) == -4
    assert await plain.increment("f", 0.5) == 0.5
    assert await plain.increment("d", Decimal("0.1")) == Decimal("0.1")
    assert await plain.increment("d", Decimal("0.2")) == Decimal("0.3")


async def test_incrementing_what_is_no_number_names_store_and_key(plain: Plain) -> None:
    await plain.set("k", "text")
    with pytest.raises(StoredValueError, match=r"PlainStore.*'k'.*not a number") as caught:
        await plain.increment("k")
    assert isinstance(caught.value, ValueError)
    assert await plain.get("k") == "text"


# -- options


async def test_options_reach_the_server(mongo_proxy: FaultProxy, plain: Plain) -> None:
    with mongo_proxy.recording() as seen:
        await plain.set("a", 1, comment="why")
        await plain.get("a", comment="why")
        await plain.set_default("a", 1, comment="why")
        await plain.increment("a", comment="why")
        await plain.set_many({"b": 1}, comment="why")
        await plain.get_all(comment="why")
        await plain.keys(comment="why")
        await plain.has("a", comment="why")
        await plain.get_many(["a"], comment="why")
        await plain.delete_key("a", comment="why")
        await plain.delete_keys(["a"], comment="why")
        await plain.clear(comment="why")
    assert [each.body.get("comment") for each in seen] == ["why"] * 12


async def test_a_store_that_is_not_bound_says_so() -> None:
    class Unbound(PlainStore): ...

    with pytest.raises(NotBoundError, match="Unbound"):
        await Unbound.set("k", 1)
    with pytest.raises(NotBoundError, match="Unbound"):
        await Unbound.get("k")


async def test_one_text_is_not_taken_for_the_keys_of_its_letters(store: Store) -> None:
    await store.set_many({"a": 1, "b": 2})
    for act in (store.delete_keys, store.get_many):
        with pytest.raises(OptionError, match="one key"):
            await act("ab")
    assert await store.keys() == ["a", "b"]


NO_KEYS: list[Any] = [
    {"$ne": None},
    {"$gt": ""},
    None,
    7,
    1.5,
    b"k",
    ["k"],
    ObjectId("65f0c0ffee65f0c0ffee0001"),
    True,
    {},
]


@pytest.mark.parametrize("key", NO_KEYS, ids=repr)
async def test_what_is_not_a_str_is_not_a_key_and_nothing_is_sent(
    bind: Bind, mongo_proxy: FaultProxy, key: Any
) -> None:
    await bind(PlainStore)
    await PlainStore.set("mine", "secret")
    calls: list[Any] = [
        lambda: PlainStore.get(key),
        lambda: PlainStore.get_or_default(key, 1),
        lambda: PlainStore.set(key, 1),
        lambda: PlainStore.set_default(key, 1),
        lambda: PlainStore.increment(key),
        lambda: PlainStore.has(key),
        lambda: PlainStore.delete_key(key),
        lambda: PlainStore.get_many(["mine", key]),
        lambda: PlainStore.delete_keys(["mine", key]),
    ]
    with mongo_proxy.recording() as seen:
        for call in calls:
            with pytest.raises(OptionError, match="PlainStore: a key is a str, not "):
                await call()
    assert not seen
    assert await PlainStore.get_all() == {"mine": "secret"}
    with pytest.raises(OptionError, match="a key is a str"):
        KVStoreItem.of(PlainStore)[int](key)


async def test_many_keys_are_a_list_or_dict_of_them(plain: Plain) -> None:
    for wrong in (None, 7, "ab"):
        given: Any = wrong
        with pytest.raises(OptionError):
            await plain.get_many(given)
        with pytest.raises(OptionError):
            await plain.delete_keys(given)
        with pytest.raises(OptionError, match="items is a dict"):
            await plain.set_many(given)
    numbered: Any = {1: "a"}
    with pytest.raises(OptionError, match="a key is a str, not 1 of type int"):
        await plain.set_many({"first": 1, **numbered})
    assert await plain.keys() == []


async def test_keys_may_come_from_a_generator(plain: Plain) -> None:
    await plain.set_many({"a": 1, "b": 2})
    assert await plain.get_many(key for key in ("b", "a", "b", "c")) == {"b": 2, "a": 1}
    assert await plain.delete_keys(key for key in ("a", "b")) == 2


@pytest.mark.parametrize("by", ["1", None, True, {"$ne": 1}, [1]], ids=repr)
async def test_an_increment_by_what_is_not_a_number_is_refused(plain: Plain, by: Any) -> None:
    await plain.set("n", 1)
    with pytest.raises(OptionError, match="by is a number"):
        await plain.increment("n", by)
    assert await plain.get("n") == 1


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [101, 5_000, 20_000])
async def test_a_value_nested_too_deeply_is_refused_and_nothing_is_sent(
    store: type[AppStorage], mongo_proxy: FaultProxy, levels: int
) -> None:
    value = deep(levels)
    writes: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.set("a", value),
        lambda: store.set_many({"a": 1, "b": value}),
        lambda: store.set_default("a", value),
    ]
    with mongo_proxy.recording() as seen:
        for write in writes:
            with pytest.raises(EncodingError, match=r"nested.*for the key '[ab]'"):
                await write()
    assert not seen


class Volume(int):
    """Stored as a word."""


class Door(NamedTuple):
    x: int
    y: int


@pytest.fixture
def encoders() -> None:
    """Encoders for these tests alone."""
    register_encoder(Volume, lambda volume: f"{int(volume)} dB")
    register_encoder(Door, lambda door: f"{door.x}/{door.y}")


@pytest.mark.usefixtures("encoders")
async def test_an_encoder_holds_for_values_whose_base_bson_knows(store: type[AppStorage]) -> None:
    await store.set("a", Volume(3))
    assert await store.get("a") == "3 dB"
    assert await store.set_default("b", [Door(1, 2)]) == ["1/2"]
    await store.set_many({"c": {"at": Door(3, 4), "loud": Volume(5)}})
    assert await store.get("c") == {"at": "3/4", "loud": "5 dB"}
    assert await store.count({"value": Volume(3)}) == 1


async def test_a_lone_surrogate_in_a_key_or_a_value_is_refused(store: Store) -> None:
    for call in (
        store.get("\ud800"),
        store.set("\ud800", 1),
        store.set("k", "\ud800"),
        store.set_many({"k": 1, "\ud800": 2}),
        store.delete_key("\ud800"),
        store.has("\ud800"),
    ):
        with pytest.raises(MongospecError):
            await call
    assert await store.get_all() == {}
