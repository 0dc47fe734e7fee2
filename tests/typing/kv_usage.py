"""What type checkers know of stores and items. Read by them, never run."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_type

import msgspec

import mongospec
from mongospec.contrib.kv_store import KVStore, KVStoreItem


class Document(mongospec.MongoDocument):
    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class AppStorage(KVStore, Document):
    __collection_name__ = "app_storage"


class Plain(KVStore):
    pass


class Typed(KVStore):
    value: int


async def the_store() -> None:
    assert_type(await AppStorage.set("theme", "dark"), None)
    assert_type(await AppStorage.get("theme"), Any)
    assert_type(await AppStorage.get_or_default("theme", 0), Any)
    assert_type(await AppStorage.set_default("theme", "light"), Any)
    assert_type(await AppStorage.set_many({"a": 1, "b": "two"}), None)
    assert_type(await AppStorage.get_all(), dict[str, Any])
    assert_type(await AppStorage.get_many(["a"]), dict[str, Any])
    assert_type(await AppStorage.keys(), list[str])
    assert_type(await AppStorage.has("a"), bool)
    assert_type(await AppStorage.delete_key("a"), bool)
    assert_type(await AppStorage.delete_keys({"a", "b"}), int)
    assert_type(await AppStorage.clear(), int)
    assert_type(await AppStorage.get("a", timeout=1.0, comment="why"), Any)


async def increments() -> None:
    assert_type(await AppStorage.increment("a"), int)
    assert_type(await AppStorage.increment("a", 2), int)
    assert_type(await AppStorage.increment("a", by=0.5), float)
    assert_type(await AppStorage.increment("a", Decimal("0.1")), Decimal)


async def entries() -> None:
    entry = await AppStorage.find_one({"key": "a"})
    assert_type(entry, AppStorage | None)
    if entry is not None:
        assert_type(entry.key, str)
        assert_type(entry.value, Any)
        assert_type(entry.created_at, datetime)
    assert_type(AppStorage(key="a", value=1), AppStorage)
    assert_type(Typed(key="a", value=1).value, int)


async def items() -> None:
    items = KVStoreItem.of(AppStorage)
    retries = items[int]("retries", default=3)
    assert_type(retries, KVStoreItem[int, int])
    assert_type(await retries.get(), int)
    assert_type(await retries.set_default(), int)
    assert_type(await retries.set(10), None)
    assert_type(await retries.has(), bool)
    assert_type(await retries.delete(), bool)
    assert_type(await items[int]("retries").get(), int | None)
    assert_type(await items[int]("retries", default=None).get(), int | None)
    assert_type(await items[list[str]]("names", default=[]).get(), list[str])


async def items_of_types_that_are_no_classes() -> None:
    items = KVStoreItem.of(AppStorage)
    assert_type(await items.typed(int | None)("limit", default=3).get(), int | None)
    assert_type(await items.typed(list[int])("limits", default=[]).get(), list[int])
    await items[int | None]("limit").get()  # any type, for the checkers that see a value here


async def misuse() -> None:
    await AppStorage.set("theme")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await AppStorage.set(1, "dark")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await AppStorage.get("theme", tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await AppStorage.set_many(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await AppStorage.increment("a", "b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    AppStorage(key="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AppStorage(key=1, value=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Typed(key="a", value="b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    KVStoreItem.of(Document)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    KVStoreItem.of(Plain)[int]("a", default="b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    retries = KVStoreItem.of(Plain)[int]("a", default=1)
    await retries.set("ten")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
