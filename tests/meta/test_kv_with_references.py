"""The key-value store over a base with references: both packages, which do not know each other."""

import mongojet
import pytest

import mongospec
from mongospec.contrib.kv_store import KVStore, KVStoreItem


class User(mongospec.MongoDocument):
    name: str


class Owned(mongospec.MongoDocument, abstract=True):
    owner: User | None = None


class OwnedStore(KVStore, Owned):
    pass


class Favourites(KVStore, mongospec.MongoDocument):
    value: User


@pytest.fixture
async def alice(mongo_db: mongojet.Database, unbound: None) -> User:
    await mongospec.init(mongo_db, [User, OwnedStore, Favourites], close_client=False)
    return await User(name="Alice").insert()


async def test_entries_have_the_bases_references(alice: User) -> None:
    await OwnedStore.set("k", 1)
    entry = await OwnedStore.find_one({"key": "k"})
    assert entry is not None
    entry.owner = alice
    await entry.save()
    await OwnedStore.set("k", 2)
    again = await OwnedStore.find_one({"key": "k"})
    assert again is not None
    assert again.owner is not None
    assert (again.value, again.owner.name) == (2, "Alice")


async def test_a_document_as_a_value_of_any_type_is_stored_as_its_id(alice: User) -> None:
    await OwnedStore.set("k", alice)
    assert await OwnedStore.get("k") == alice.id


async def test_values_typed_as_documents_are_references(alice: User) -> None:
    await Favourites.set("a", alice)
    await Favourites.set_many({"b": alice})
    stored = await Favourites.get_collection().find_one({"key": "a"})
    assert stored is not None
    assert stored["value"] == alice.id
    assert (await Favourites.get("a")).name == "Alice"
    both = await Favourites.get_all()
    assert both["a"] is both["b"]
    assert (await Favourites.set_default("a", alice)).name == "Alice"


async def test_items_typed_as_documents_are_references(alice: User) -> None:
    item = KVStoreItem.of(OwnedStore)[User]("favourite")
    await item.set(alice)
    found = await item.get()
    assert found is not None
    assert (found.id, found.name) == (alice.id, "Alice")
