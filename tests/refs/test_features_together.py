"""Versions, families, pages, tenants, shard keys, lookups and JSON, all of one class at once.

Each test runs in the database of ``init()`` and in a tenant's, in a transaction and without one.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, ClassVar

import mongojet
import msgspec
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pydantic import BaseModel, TypeAdapter
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from mongospec_core import (
    BulkWriteError,
    DocumentNotFoundError,
    DocumentValidationError,
    Page,
    PageTokenError,
    StaleDocumentError,
    WrongDatabaseError,
    changes,
    create_indexes,
    dec_hook,
    enc_hook,
    outside_transaction,
    transaction,
    using,
)
from mongospec_discovery import collect_document_types
from mongospec_kv import KVStore, KVStoreItem
from mongospec_refs import MongoDocument, is_resolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Owner(MongoDocument, version_field="version"):
    __shard_key__ = ("city",)

    city: str
    name: str
    version: int = 0


class Animal(MongoDocument, tag_field="kind", tag="animal", version_field="version"):
    __shard_key__ = ("city",)
    __indexes__: ClassVar[Any] = [IndexModel([("city", 1), ("name", 1)])]

    city: str
    name: str
    owner: Owner | None = None
    version: int = 0


class Dog(Animal, tag="dog"):
    breed: str = "mutt"
    friends: list[Animal] = []


class Puppy(Dog, tag="puppy"):
    weeks: int = 0


class Settings(KVStore, MongoDocument):
    animal: Animal | None = None


class Limits(KVStore, MongoDocument):
    value: int | dict[str, Animal]


class Card(msgspec.Struct):
    name: str
    owner: Owner | None = None


ALL = (Owner, Animal, Dog, Puppy, Settings, Limits)


@pytest.fixture(params=["", "tenant", "transaction", "tenant and transaction"])
async def there(
    request: pytest.FixtureRequest, bind: Bind, mongo_client: mongojet.Client
) -> AsyncIterator[mongojet.Database]:
    """The database that the test's operations go to."""
    db = await bind(*ALL)
    async with AsyncExitStack() as stack:
        if "tenant" in request.param:
            db = mongo_client.get_database(f"{db.name}_tenant")
            stack.push_async_callback(db.drop)
            stack.enter_context(using(db))
            await create_indexes(db)
        if "transaction" in request.param:
            await stack.enter_async_context(transaction())
        yield db


def animals(owner: Owner | None = None) -> list[Animal]:
    return [
        Animal(city="Rome", name="ant", owner=owner),
        Dog(city="Rome", name="bob", owner=owner, breed="pug"),
        Puppy(city="Oslo", name="cid", owner=owner, weeks=3),
        Dog(city="Oslo", name="dan"),
    ]


async def filled() -> tuple[Owner, list[Animal]]:
    owner = await Owner(city="Rome", name="ann").insert()
    made = animals(owner)
    await Animal.insert_many(made)
    return owner, made


pytestmark = pytest.mark.usefixtures("there")


async def test_each_document_of_a_family_has_its_version(mongo_proxy: FaultProxy) -> None:
    owner, made = await filled()
    for each in made:
        read = await Animal.get_by_id(each.id)
        assert (type(read), read) == (type(each), each)
        read.name += "!"
        await read.save()
        each.name = "mine"
        with pytest.raises(StaleDocumentError) as caught:
            await each.save()
        assert (caught.value.document, caught.value.expected) == (each, 0)
        assert await each.reload() is each
        assert (each.name[-1], each.version, changes(each)) == ("!", 1, {})
        each.name = "mine"
        with mongo_proxy.recording() as seen:
            await each.save()
        (update,) = seen[0].body["updates"]
        assert update["q"] == {"_id": each.id, "city": each.city, "version": 1}
        assert update["u"] == {"$set": {"name": "mine", "version": 2}}
    assert owner.version == 0


async def test_operators_raise_the_versions_of_their_class_alone() -> None:
    _, made = await filled()
    assert await Dog.update_many({}, {"$set": {"name": "x"}}) == 3
    assert [each.version for each in await Animal.find_all(sort="_id")] == [0, 1, 1, 1]
    found = await Puppy.find_one_and_update({}, {"$inc": {"weeks": 1}})
    assert found is not None and (found.version, found.weeks, type(found)) == (2, 4, Puppy)
    with pytest.raises(StaleDocumentError):
        await made[1].delete()
    assert await made[0].delete() == 1
    assert await Animal.update_by_id(made[1].id, [{"$set": {"breed": "lab"}}]) == 1
    again = await Dog.get_by_id(made[1].id)
    assert (again.version, again.breed) == (2, "lab")


async def test_a_replacement_of_a_family_compares_its_version(mongo_proxy: FaultProxy) -> None:
    _, made = await filled()
    dog = made[1]
    new = Dog(_id=dog.id, city="Rome", name="new")
    with mongo_proxy.recording() as seen:
        replaced = await Dog.find_one_and_replace({"name": "bob"}, new)
    assert seen[0].body["query"].items() >= {"_id": dog.id, "city": "Rome"}.items()
    assert replaced is not None and (replaced.name, replaced.version, new.version) == ("new", 1, 1)
    with pytest.raises(StaleDocumentError):
        await Dog.find_one_and_replace({}, Dog(_id=dog.id, city="Rome", name="old"))


async def test_many_of_a_family_are_saved_and_the_stale_one_is_named() -> None:
    _, made = await filled()
    await Animal.update_by_id(made[2].id, {"$set": {"name": "theirs"}})
    for each in made:
        each.name = "mine"
    made[3].city = "Rome"  # the shard key itself
    with pytest.raises(BulkWriteError) as caught:
        await Animal.save_many(made)
    assert isinstance(caught.value, StaleDocumentError)
    assert [(each.document, each.expected) for each in caught.value.failures] == [(made[2], 0)]
    found = {each.id: each for each in await Animal.find_all()}
    assert [found[each.id].name for each in made] == ["mine", "mine", "theirs", "mine"]
    assert [found[each.id].version for each in made] == [1, 1, 1, 1]
    assert found[made[3].id].city == "Rome"


async def test_bulk_operations_of_a_family() -> None:
    owner, made = await filled()
    result = await Dog.bulk_write(
        [
            InsertOne(Puppy(city="Rome", name="eve", owner=owner)),
            UpdateOne({"name": "bob"}, {"$set": {"breed": "lab"}}),
            UpdateMany({}, {"$set": {"friends": [made[0]]}}),
            ReplaceOne({"name": "dan"}, Dog(_id=made[3].id, city="Oslo", name="new", version=1)),
            DeleteOne({"name": "ant"}),  # no dog
        ]
    )
    assert (result.inserted_count, result.deleted_count) == (1, 0)
    found = {each.name: each for each in await Dog.find_all()}
    assert {name: each.version for name, each in found.items()} == {
        "bob": 2,
        "cid": 1,
        "eve": 1,
        "new": 2,
    }
    assert type(found["eve"]) is Puppy
    assert [type(each) for each in found["bob"].friends] == [Animal]


async def test_a_cascade_goes_through_a_family_with_versions(mongo_proxy: FaultProxy) -> None:
    owner, made = await filled()
    dog = await Dog.get_by_id(made[1].id)
    dog.friends = [made[2], made[0]]
    await dog.save(save_refs=False)
    dog = await Dog.get_by_id(dog.id)
    assert [type(each) for each in dog.friends] == [Puppy, Animal]
    dog.friends[0].name, dog.breed = "puppy", "lab"
    assert dog.owner is not None and dog.owner is dog.friends[0].owner
    dog.owner.name = "new"
    with mongo_proxy.recording() as seen:
        await dog.save()
    queries = [each["q"] for command in seen for each in command.body["updates"]]
    assert all(each.keys() == {"_id", "city", "version"} for each in queries)
    assert (dog.version, dog.friends[0].version, dog.owner.version) == (2, 1, 1)
    owner.name = "mine"
    with pytest.raises(StaleDocumentError):
        await owner.save()


async def test_pages_of_a_family_and_of_a_member() -> None:
    await filled()
    seen: list[Animal] = []
    page = await Animal.page(sort=[("city", -1), ("name", 1)], size=3, total=True)
    assert page.total == 4
    seen += page.items
    for each in page.items:
        if isinstance(each, Dog):
            each.breed = "seen"
            await each.save()
    page = await Animal.page(sort=[("city", -1), ("name", 1)], size=3, after=page.next)
    seen += page.items
    assert [(each.name, type(each)) for each in seen] == [
        ("ant", Animal),
        ("bob", Dog),
        ("cid", Puppy),
        ("dan", Dog),
    ]
    assert page.next is None and all(each.owner is None or is_resolved(each.owner) for each in seen)
    dogs = await Dog.page(sort="version", size=2, total=True)
    assert (dogs.total, [each.version for each in dogs.items]) == (3, [0, 1])
    with pytest.raises(PageTokenError):
        await Animal.page(sort="version", size=2, after=dogs.next)
    cards = await Dog.page(sort="name", projection=Card)
    assert [each.name for each in cards.items] == ["bob", "cid", "dan"]
    assert cards.items[0].owner is not None and cards.items[0].owner.name == "ann"


async def test_what_does_not_fit_is_left_out_of_a_page_of_a_family(
    there: mongojet.Database,
) -> None:
    _, made = await filled()
    await Dog.update_by_id(made[1].id, {"$set": {"breed": 5}}, check=False)
    await Animal.update_by_id(made[3].id, {"$set": {"kind": "wolf"}}, check=False)
    with pytest.raises(DocumentValidationError) as caught:
        await Animal.page(sort="name")
    assert {each.id for each in caught.value.failures} == {made[1].id, made[3].id}
    page = await Animal.page(sort="name", size=4, on_invalid="skip")
    assert [each.name for each in page.items] == ["ant", "cid"]
    with pytest.raises(DocumentValidationError, match="wolf"):
        await Animal.get_by_id(made[3].id)
    with pytest.raises(DocumentValidationError):
        await made[1].reload()
    assert await Animal.get_one({"name": "cid"}) == made[2]


class Body(BaseModel):
    pets: list[Animal]
    favourite: Dog | None = None


async def test_json_of_a_family_keeps_versions_and_references() -> None:
    _, made = await filled()
    page = await Animal.page(sort="name", size=2)
    adapter = TypeAdapter(Page[Animal])
    text = adapter.dump_json(page)
    raw = json.loads(text)["items"][1]
    assert (raw["kind"], raw["version"], raw["owner"]["name"]) == ("dog", 0, "ann")
    again = adapter.validate_json(text)
    assert (again, type(again.items[1])) == (page, Dog)
    union: Any = Page[Animal | Dog | Puppy]
    assert msgspec.json.decode(text, type=union, dec_hook=dec_hook) == page
    assert json.loads(msgspec.json.encode(page, enc_hook=enc_hook)) == json.loads(text)
    body = Body(pets=made, favourite=made[1])  # type: ignore[arg-type]
    assert Body.model_validate_json(body.model_dump_json()).pets == made


async def test_a_document_of_json_is_saved_by_its_version() -> None:
    """What a form of a web page sends back: the whole document, as it was read."""
    owner, made = await filled()
    adapter = TypeAdapter(Animal)
    sent = json.loads(adapter.dump_json(await Animal.get_by_id(made[1].id)))
    form = adapter.validate_python({**sent, "name": "edited", "owner": sent["owner"]["_id"]})
    assert type(form) is Dog
    await form.save()
    assert (await Dog.get_by_id(made[1].id)).name == "edited"
    sent = json.loads(adapter.dump_json(await Animal.get_by_id(made[1].id)))
    sent["owner"]["name"] = "of the form"  # which is about the dog alone
    form = adapter.validate_python({**sent, "name": "again"})
    await form.save()
    read = await Dog.get_by_id(made[1].id)
    assert (read.name, read.version, read.owner) == ("again", 2, owner)
    assert read.owner is not None and read.owner.name == "ann"
    late = adapter.validate_python({**sent, "name": "late"})
    with pytest.raises(StaleDocumentError):
        await late.save()
    with pytest.raises(StaleDocumentError):
        await Animal.find_one_and_replace({}, late)


async def test_what_is_not_there_is_told_by_its_class() -> None:
    _, made = await filled()
    for act in (
        lambda: Dog.get_by_id(made[0].id),  # an animal, no dog
        lambda: Dog.get_one({"name": "ant"}),
        lambda: Puppy.get_by_id(made[1].id),
        lambda: Dog.get_one({"kind": "puppy", "name": "bob"}),
    ):
        with pytest.raises(DocumentNotFoundError) as caught:
            await act()
        assert issubclass(caught.value.document_class, Dog)
    assert type(await Dog.get_by_id(str(made[2].id))) is Puppy
    await Animal.delete_by_id(made[2].id)
    with pytest.raises(DocumentNotFoundError):
        await made[2].reload()
    made[2].name = "x"
    with pytest.raises(DocumentNotFoundError):
        await made[2].save()
    await made[2].save(upsert=True)
    again = await Animal.get_by_id(made[2].id)
    assert (type(again), again.name, again.version) == (Puppy, "x", made[2].version)


async def test_an_upsert_makes_a_whole_member_of_the_family() -> None:
    made = await Puppy.find_one_and_update(
        {"city": "Bern", "name": "new"}, {"$inc": {"weeks": 2}}, upsert=True
    )
    assert made == Puppy(_id=made.id, city="Bern", name="new", weeks=2, version=1)
    assert await Animal.count({"kind": "puppy", "breed": "mutt"}) == 1
    one = Dog(_id=ObjectId(), city="Bern", name="old")
    await one.save(upsert=True)
    assert (await Animal.get_by_id(one.id)) == one
    assert await Dog.insert_if_not_exists(Dog(city="x", name="old"), {"name": "old"}) is None
    assert await Dog.insert_recursive(
        Dog(city="Bern", name="r", friends=[Animal(city="a", name="b")])
    )
    assert await Animal.distinct("city") == ["Bern", "a"]


async def test_a_shard_key_that_changes_within_a_family(mongo_proxy: FaultProxy) -> None:
    _, made = await filled()
    puppy = await Animal.get_by_id(made[2].id)
    puppy.city, puppy.name = "Bern", "moved"
    with mongo_proxy.recording() as seen:
        await puppy.save()
    (update,) = seen[0].body["updates"]
    assert update["q"] == {"_id": puppy.id, "city": "Oslo", "version": {"$in": [0, None]}}
    puppy.name = "again"
    with mongo_proxy.recording() as seen:
        await puppy.save()
    assert seen[0].body["updates"][0]["q"]["city"] == "Bern"
    with pytest.raises(StaleDocumentError):
        await made[2].delete()
    with mongo_proxy.recording() as seen:
        assert await puppy.delete() == 1
    assert seen[0].body["deletes"][0]["q"] == {"_id": puppy.id, "city": "Bern", "version": 2}


async def test_a_store_has_documents_of_a_family_as_values(there: mongojet.Database) -> None:
    _, made = await filled()
    await Limits.set_many({"dog": {"it": made[1]}, "n": 2})
    found = await Limits.get("dog")
    assert (type(found["it"]), found["it"].id, is_resolved(found["it"])) == (Dog, made[1].id, True)
    assert await Limits.increment("n", 4) == 6
    item = KVStoreItem.of(Settings)[Animal]("favourite")
    await item.set(made[2])
    favourite = await item.get()
    assert (type(favourite), favourite) == (Puppy, made[2])
    page = await Limits.page(sort="key", size=1)
    assert [each.key for each in page.items] == ["dog"]
    entry = await Settings.get_one({"key": "favourite"})
    entry.animal = made[1]
    await entry.save()
    assert type((await Settings.get_by_id(entry.id)).animal) is Dog
    assert Settings.get_collection().database.name == there.name


async def test_another_tenant_sees_nothing_of_it(mongo_client: mongojet.Client, there: Any) -> None:
    owner, made = await filled()
    dog = await Animal.get_by_id(made[1].id)
    page = await Dog.page(sort="name", size=1)
    other = mongo_client.get_database(f"{there.name}_other")
    try:
        with outside_transaction(), using(other):
            assert await Animal.count() == 0
            assert (await Dog.page(sort="name", after=page.next)).items == []
            with pytest.raises(DocumentNotFoundError):
                await Animal.get_by_id(dog.id)
            for act in (
                dog.save,
                dog.reload,
                dog.delete,
                lambda: Animal.save_many([dog]),
                lambda: Animal(city="x", name="y", owner=owner).insert(),
                lambda: Dog.find_one_and_replace({}, dog),
                lambda: Animal.find_all({"owner": owner}),
            ):
                with pytest.raises(WrongDatabaseError):
                    await act()
            free = TypeAdapter(Animal).validate_json(
                TypeAdapter(Animal).dump_json(Dog(city="x", name="y"))
            )
            assert (await free.insert()).version == 0
            assert type(await Animal.get_one()) is Dog
    finally:
        with outside_transaction():
            await other.drop()


def test_discovery_finds_families_with_all_of_it() -> None:
    found = collect_document_types(__name__)
    assert set(ALL) <= set(found)
