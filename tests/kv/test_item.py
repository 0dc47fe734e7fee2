"""Typed items: a key with the type of its value."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest

from mongospec_core import DocumentValidationError, MongoDocument, OptionError
from mongospec_kv import KVStore, KVStoreItem, StoredValueError
from mongospec_testing import FaultProxy

from .conftest import AppStorage, Bind, PlainStore

type Plain = type[PlainStore]

Item = KVStoreItem.of(PlainStore)


async def test_the_readmes_lines_give_what_they_say(bind: Bind) -> None:
    await bind(AppStorage)
    items = KVStoreItem.of(AppStorage)
    max_retries = items[int]("max_retries", default=3)
    assert await max_retries.get() == 3
    assert await max_retries.has() is False
    assert await max_retries.set_default() == 3
    assert await AppStorage.get("max_retries") == 3
    await max_retries.set(10)
    assert await max_retries.get() == 10
    assert await max_retries.set_default() == 10
    assert await max_retries.has() is True
    assert await max_retries.delete() is True
    assert await max_retries.delete() is False


async def test_an_item_without_default_gives_none_where_the_key_is_missing(plain: Plain) -> None:
    assert await Item[int]("k").get() is None
    assert await Item[int]("k", default=None).get() is None


async def test_an_item_without_default_has_none_to_store(plain: Plain) -> None:
    with pytest.raises(OptionError, match=r"KVStoreItem\[int\]\(PlainStore, 'k'\) has no default"):
        await Item[int]("k").set_default()


async def test_a_default_of_none_is_stored_where_the_type_has_it(plain: Plain) -> None:
    item = Item.typed(int | None)("k", default=None)
    assert await item.set_default() is None
    assert await plain.get_all() == {"k": None}


async def test_changing_a_value_that_was_the_default_leaves_the_default_alone(
    plain: Plain,
) -> None:
    item = Item[list[int]]("k", default=[1])
    (await item.get()).append(2)
    assert await item.get() == [1]


class Color(Enum):
    RED = "red"


class Settings(msgspec.Struct):
    theme: str
    since: date


VALUES: list[tuple[Any, Any]] = [
    (str, "text"),
    (float, 1.5),
    (bytes, b"\0"),
    (datetime, datetime(2024, 5, 6, tzinfo=UTC)),
    (date, date(2024, 5, 6)),
    (timedelta, timedelta(seconds=5)),
    (Decimal, Decimal("1.10")),
    (UUID, UUID(int=5)),
    (Color, Color.RED),
    (Literal["a", "b"], "b"),
    (Settings, Settings("dark", date(2024, 5, 6))),
    (set[int], {1, 2}),
    (tuple[int, str], (1, "a")),
    (dict[int, Decimal], {1: Decimal(2)}),
    (list[Settings], [Settings("dark", date(2024, 5, 6))]),
    (int | None, None),
]


@pytest.mark.parametrize(("tp", "value"), VALUES, ids=[str(tp) for tp, _ in VALUES])
async def test_a_value_comes_back_as_the_items_type(plain: Plain, tp: Any, value: Any) -> None:
    item = Item[tp]("k", default=value)
    assert await item.get() == value
    assert await item.set_default() == value
    await item.delete()
    await item.set(value)
    found = await item.get()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("tp", "stored"), [(int, "3"), (list[int], [1, "x"]), (Settings, {"theme": 1}), (str, None)]
)
async def test_a_stored_value_of_another_type_names_store_and_key(
    plain: Plain, tp: Any, stored: Any
) -> None:
    await plain.set("k", stored)
    for read in (Item[tp]("k").get(), Item[tp]("k", default=_fit(tp)).set_default()):
        with pytest.raises(StoredValueError, match=r"PlainStore.*key 'k' does not fit") as caught:
            await read
        assert (caught.value.store, caught.value.key) == (PlainStore, "k")


def _fit(tp: Any) -> Any:
    return {int: 1, list[int]: [1], Settings: Settings("a", date(2024, 1, 1)), str: ""}[tp]


async def test_a_value_of_another_type_is_not_sent(mongo_proxy: FaultProxy, plain: Plain) -> None:
    wrong: Any = "ten"
    with mongo_proxy.recording() as seen:
        with pytest.raises(
            DocumentValidationError, match=r"PlainStore\.value.*Expected `int`.*for the key 'k'"
        ):
            await Item[int]("k").set(wrong)
        with pytest.raises(DocumentValidationError, match="for the key 'k'"):
            await Item[int]("k", default=wrong).set_default()
    assert seen == []


async def test_concurrent_set_defaults_of_items_agree(plain: Plain) -> None:
    items = [Item[int]("k", default=number) for number in range(10)]
    values = await asyncio.gather(*(item.set_default() for item in items))
    assert len(set(values)) == 1


async def test_items_go_through_the_stores_own_methods(bind: Bind) -> None:
    class Prefixed(KVStore):
        @classmethod
        async def get(cls, key: str, **options: Any) -> Any:
            return await super().get(f"app:{key}", **options)

        @classmethod
        async def set(cls, key: str, value: Any, **options: Any) -> None:
            await super().set(f"app:{key}", value, **options)

    await bind(Prefixed)
    item = KVStoreItem.of(Prefixed)[int]("k", default=1)
    await item.set(2)
    assert await item.get() == 2
    assert await Prefixed.keys() == ["app:k"]


async def test_items_work_where_a_field_hides_a_method(bind: Bind) -> None:
    with pytest.warns(UserWarning, match="hides KVStore.get"):

        class Hiding(KVStore):
            get: int = 0  # type: ignore[assignment]

    await bind(Hiding)
    item = KVStoreItem.of(Hiding)[int]("k")
    await item.set(2)
    assert await item.get() == 2
    assert await Hiding.get_all() == {"k": 2}


async def test_items_take_the_options_of_the_store(mongo_proxy: FaultProxy, plain: Plain) -> None:
    item = Item[int]("k", default=1)
    with mongo_proxy.recording() as seen:
        await item.set(1, comment="why")
        await item.get(comment="why")
        await item.set_default(comment="why")
        await item.has(comment="why")
        await item.delete(comment="why")
    assert [each.body.get("comment") for each in seen] == ["why"] * 5


def test_an_item_shows_itself() -> None:
    assert repr(Item[int]("k", default=3)) == "KVStoreItem[int](PlainStore, 'k', default=3)"
    assert repr(Item[list[int]]("k")) == "KVStoreItem[list[int]](PlainStore, 'k')"


def test_items_are_of_a_store() -> None:
    for given in (KVStore, MongoDocument, 5):
        with pytest.raises(OptionError, match="is not a store"):
            KVStoreItem.of(given)  # type: ignore[arg-type]


class Limits(msgspec.Struct):
    retries: int


class MoreLimits(Limits):
    seconds: float = 1.0


class LimitStore(KVStore):
    value: list[Limits]


async def test_a_value_of_another_class_than_the_items_is_refused(plain: Plain, bind: Bind) -> None:
    with pytest.raises(DocumentValidationError, match=r"value\[0\].*a MoreLimits in place of a Li"):
        await Item[list[Limits]]("k").set([MoreLimits(1)])
    assert await plain.get_all() == {}
    await bind(LimitStore)
    for write in (
        LimitStore.set("k", [MoreLimits(1)]),
        LimitStore.set_many({"a": [Limits(1)], "k": [MoreLimits(1)]}),
        LimitStore.set_default("k", [MoreLimits(1)]),
    ):
        with pytest.raises(DocumentValidationError, match=r"a MoreLimits in place of a Limits"):
            await write
    assert await LimitStore.get_all() == {}
