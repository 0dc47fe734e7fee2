"""Stores over a project's base document: its fields, defaults, hooks and indexes."""

import pickle
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    BulkWriteError,
    DefinitionError,
    DocumentValidationError,
    DuplicateKeyError,
    MongoDocument,
    transaction,
)
from mongospec_kv import KeyNotFoundError, KVStore, StoredValueError
from mongospec_testing import FaultProxy

from .conftest import AppStorage, Bind, Document, PlainStore

type Store = type[AppStorage]
type Plain = type[PlainStore]

OLD = datetime(2020, 1, 1, tzinfo=UTC)


async def raw(store: type[KVStore], key: str) -> dict[str, Any]:
    found = await store.get_collection().find_one({"key": key})
    assert found is not None
    return dict(found)


async def make(store: Store, how: str) -> None:
    if how == "set":
        await store.set("k", 1)
    elif how == "set_many":
        await store.set_many({"k": 1})
    elif how == "set_default":
        await store.set_default("k", 1)
    else:
        await store.increment("k")


each_way = pytest.mark.parametrize("how", ["set", "set_many", "set_default", "increment"])


@each_way
async def test_a_new_entry_has_the_bases_defaults_and_is_a_document(store: Store, how: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    await make(store, how)
    stored = await raw(store, "k")
    assert list(stored) != []
    assert {*stored} == {"_id", "key", "value", "created_at", "updated_at", "revision"}
    assert stored["revision"] == 7
    assert type(stored["_id"]) is ObjectId
    entry = await store.find_one({"key": "k"})
    assert entry is not None
    assert (entry.value, entry.revision) == (1, 7)
    assert entry.created_at >= before


@each_way
async def test_an_old_entry_keeps_what_the_base_added(store: Store, how: str) -> None:
    await store.set("k", 0)
    kept = {"created_at": OLD, "updated_at": OLD, "revision": 8}
    await store.get_collection().update_one({"key": "k"}, {"$set": kept})
    before = await raw(store, "k")
    await make(store, how)
    after = await raw(store, "k")
    assert after["_id"] == before["_id"]
    assert after["created_at"] == before["created_at"]
    assert after["revision"] == 8


@pytest.mark.parametrize("how", ["set", "set_many", "increment"])
async def test_a_change_runs_the_bases_pre_update(store: Store, how: str) -> None:
    await store.set("k", 0)
    await store.get_collection().update_one({"key": "k"}, {"$set": {"updated_at": OLD}})
    await make(store, how)
    assert (await raw(store, "k"))["updated_at"].year > OLD.year


async def test_set_default_of_a_key_that_is_there_changes_nothing(store: Store) -> None:
    await store.set("k", 0)
    before = await raw(store, "k")
    await store.set_default("k", 1)
    assert await raw(store, "k") == before


async def test_the_stores_index_and_the_bases_are_both_made(store: Store) -> None:
    indexes = await store.get_collection().list_indexes()
    found = {index["name"]: bool(index.get("unique")) for index in indexes}
    assert found == {"_id_": False, "key_1": True, "created_at_1": False}


async def test_a_store_may_add_indexes_of_its_own(bind: Bind) -> None:
    class Indexed(KVStore, Document):
        __indexes__: ClassVar[Any] = [{"key": {"revision": -1}}]

    await bind(Indexed)
    indexes = await Indexed.get_collection().list_indexes()
    names = {index["name"] for index in indexes}
    assert names == {"_id_", "key_1", "created_at_1", "revision_-1"}


async def test_the_order_of_the_bases_does_not_matter(bind: Bind) -> None:
    class Reversed(Document, KVStore):
        pass

    await bind(Reversed)
    await Reversed.set("k", 1)
    assert (await Reversed.get("k"), (await raw(Reversed, "k"))["revision"]) == (1, 7)


async def test_post_init_of_the_base_makes_its_entries(bind: Bind) -> None:
    class Stamped(MongoDocument, abstract=True):
        stamp: str = ""

        def __post_init__(self) -> None:
            self.stamp = self.stamp or "made"

    class StampedStore(KVStore, Stamped):
        pass

    await bind(StampedStore)
    await StampedStore.set("k", 1)
    assert (await raw(StampedStore, "k"))["stamp"] == "made"


async def test_frozen_bases_and_other_ids_work(bind: Bind) -> None:
    class Frozen(MongoDocument, abstract=True, frozen=True):
        level: int = 1

    class FrozenStore(KVStore, Frozen, frozen=True):
        pass

    class ById(MongoDocument, abstract=True):
        _id: UUID = msgspec.field(default_factory=uuid4)

    class ByIdStore(KVStore, ById):
        pass

    await bind(FrozenStore, ByIdStore)
    for store in (FrozenStore, ByIdStore):
        await store.set("a", 1)
        await store.set_many({"b": 2})
        assert await store.set_default("c", 3) == 3
        assert {entry.value for entry in await store.find_all()} == {1, 2, 3}


async def test_an_asynchronous_pre_update_may_rewrite_values(bind: Bind) -> None:
    class Sealed(KVStore):
        @classmethod
        async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update["$set"]["value"] = f"sealed {update['$set']['value']}"
            return update

    await bind(Sealed)
    await Sealed.set("a", 1)
    await Sealed.set_many({"b": 2})
    assert await Sealed.get_all() == {"a": "sealed 1", "b": "sealed 2"}


async def test_a_hooks_own_operators_do_not_collide_with_the_defaults(bind: Bind) -> None:
    class Counted(KVStore):
        writes: int = 0
        origin: str = "default"

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return update | {"$inc": {"writes": 1}, "$setOnInsert": {"origin": "hook"}}

    await bind(Counted)
    await Counted.set("k", 1)
    await Counted.set_many({"k": 2})
    stored = await raw(Counted, "k")
    assert (stored["value"], stored["writes"], stored["origin"]) == (2, 2, "hook")


async def test_pre_find_does_not_concern_keys(bind: Bind) -> None:
    class Scoped(KVStore):
        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {"$and": [filter, {"value": "nothing has this"}]}

    await bind(Scoped)
    await Scoped.set("k", 1)
    assert await Scoped.get_all() == {"k": 1}
    assert await Scoped.has("k")
    assert await Scoped.set_default("k", 2) == 1
    assert await Scoped.keys() == ["k"]
    assert await Scoped.find_all() == []
    assert await Scoped.delete_key("k")


async def test_rename_does_not_move_key_and_value(bind: Bind) -> None:
    class Renamed(KVStore, rename="upper"):
        other: int = 1

    await bind(Renamed)
    await Renamed.set("k", 1)
    stored = await raw(Renamed, "k")
    assert {*stored} == {"_id", "key", "value", "OTHER"}
    assert await Renamed.get("k") == 1


async def test_a_field_that_moves_key_away_from_its_index_is_refused(bind: Bind) -> None:
    class Moved(KVStore):
        key: str = msgspec.field(name="k")

    with pytest.raises(DefinitionError, match=r"Moved\.key would be stored as 'k'"):
        await bind(Moved)


async def test_omitted_defaults_are_read_as_such(bind: Bind) -> None:
    class Sparse(KVStore, omit_defaults=True):
        level: int = 0

    await bind(Sparse)
    await Sparse.set("k", None)
    assert await Sparse.get("k") is None
    assert "level" not in await raw(Sparse, "k")


async def test_a_base_with_a_field_without_default_is_refused_by_name(bind: Bind) -> None:
    class Tenant(MongoDocument, abstract=True):
        tenant: str

    class TenantStore(KVStore, Tenant):
        pass

    with pytest.raises(DefinitionError, match=r"TenantStore\.tenant has no default"):
        await bind(TenantStore)


def test_the_mixin_itself_has_no_instances() -> None:
    with pytest.raises(DefinitionError, match="KVStore is a mixin"):
        KVStore()


async def test_the_mixin_itself_cannot_be_bound(bind: Bind) -> None:
    with pytest.raises(DefinitionError, match="KVStore is abstract"):
        await bind(KVStore)


# -- a store whose values are of one type


class Settings(msgspec.Struct):
    theme: str
    sizes: list[int] = []


class SettingsStore(KVStore):
    value: Settings


@pytest.fixture
async def settings(bind: Bind) -> type[SettingsStore]:
    await bind(SettingsStore)
    return SettingsStore


async def test_values_of_an_annotated_store_are_read_as_that_type(
    settings: type[SettingsStore],
) -> None:
    dark = Settings("dark", [1])
    await settings.set("a", dark)
    await settings.set_many({"b": dark})
    assert await settings.get("a") == dark
    assert await settings.get_all() == await settings.get_many(["a", "b"]) == {"a": dark, "b": dark}
    assert await settings.set_default("c", dark) == dark


async def test_an_annotated_store_refuses_other_values_by_key_and_sends_nothing(
    settings: type[SettingsStore],
) -> None:
    with pytest.raises(DocumentValidationError, match=r"SettingsStore\.value.*for the key 'a'"):
        await settings.set("a", 5)
    with pytest.raises(DocumentValidationError, match=r"for the key 'bad'") as caught:
        await settings.set_many({"good": Settings("x"), "bad": 5})
    assert [each.path for each in caught.value.failures] == ["value"]
    assert await settings.keys() == []


@pytest.mark.parametrize("wrong", ["text", {"theme": 5}, {"theme": "x", "sizes": [1, "2"]}])
async def test_a_stored_value_that_does_not_fit_names_store_and_key(
    settings: type[SettingsStore], wrong: Any
) -> None:
    await settings.set("good", Settings("x"))
    await settings.get_collection().insert_one({"key": "bad", "value": wrong})
    for read in (settings.get("bad"), settings.get_all(), settings.get_many(["bad"])):
        with pytest.raises(StoredValueError, match=r"SettingsStore: .* key 'bad'") as caught:
            await read
        assert (caught.value.store, caught.value.key) == (SettingsStore, "bad")
    assert await settings.get("good") == Settings("x")


# -- failures


async def test_failed_keys_of_set_many_are_named_and_the_others_stored(bind: Bind) -> None:
    class Unique(KVStore):
        __indexes__: ClassVar[Any] = [{"key": {"value": 1}, "unique": True}]

    await bind(Unique)
    await Unique.set("taken", 1)
    with pytest.raises(BulkWriteError) as caught:
        await Unique.set_many({"a": 1, "b": 2, "c": 1})
    assert [each.document for each in caught.value.failures] == ["a", "c"]
    assert await Unique.get_all() == {"taken": 1, "b": 2}


async def test_a_transaction_takes_the_store_back(store: Store) -> None:
    await store.set("k", "before")
    with suppress(LookupError):
        async with transaction():
            await store.set("k", "after")
            await store.set_many({"new": 1})
            await store.set_default("other", 1)
            assert await store.get("k") == "after"
            raise LookupError
    assert await store.get_all() == {"k": "before"}
    async with transaction():
        await store.set("k", "after")
    assert await store.get("k") == "after"


async def test_in_a_transaction_a_refused_upsert_is_not_repeated(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    with mongo_proxy.fail("findAndModify", 11000) as rule, pytest.raises(DuplicateKeyError):
        async with transaction():
            await plain.set_default("k", 1)
    assert len(rule.hits) == 1


async def test_a_lost_reply_of_set_many_is_made_up_for(
    mongo_proxy: FaultProxy, plain: Plain
) -> None:
    with mongo_proxy.cut("update", at="reply", times=1) as rule:
        await plain.set_many({"a": 1, "b": 2})
    assert len(rule.hits) == 1
    assert await plain.get_all() == {"a": 1, "b": 2}


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(KeyNotFoundError(PlainStore, "k")))
    assert str(error) == "PlainStore has no key 'k'"
    value_error = StoredValueError(PlainStore, "k", "a.b", "no")
    assert str(pickle.loads(pickle.dumps(value_error))) == str(value_error)


async def test_two_stores_share_a_database_and_no_key(bind: Bind) -> None:
    await bind(AppStorage, PlainStore)
    await AppStorage.set("k", 1)
    await PlainStore.set("k", 2)
    assert (await AppStorage.get("k"), await PlainStore.get("k")) == (1, 2)


async def test_a_store_has_no_versions(bind: Bind) -> None:
    class Versioned(KVStore, MongoDocument, version_field="version"):
        version: int = 0

    with pytest.raises(DefinitionError, match="leave version_field= out"):
        await bind(Versioned)
