"""References to families: a field typed as the root holds a document of any member."""

import copy
from typing import Any

import msgspec
import pytest

from mongospec_core import DocumentValidationError, OptionError
from mongospec_core.extension import is_new
from mongospec_kv import KVStore
from mongospec_refs import MissingReferenceError, MongoDocument, is_resolved
from mongospec_testing.proxy import FaultProxy
from tests.conftest import Bind


class Person(MongoDocument):
    name: str


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str


class Dog(Animal, tag="dog"):
    breed: str = "mutt"
    owner: Person | None = None
    friend: Animal | None = None


class Cat(Animal, tag="cat"):
    lives: int = 9
    toys: dict[str, int] = {}


class Box(msgspec.Struct):
    pet: Animal
    label: str = ""


class Home(MongoDocument):
    pet: Animal
    dog: Dog | None = None
    pets: list[Animal] = []
    named: dict[str, Animal] = {}
    pair: tuple[Animal, Animal] | None = None
    box: Box | None = None


ALL = (Person, Animal, Dog, Cat, Home)


@pytest.fixture
async def home(bind: Bind) -> Home:
    await bind(*ALL)
    ann = await Person(name="Ann").insert()
    ant, rex, tom = Animal(name="Ant"), Dog(name="Rex", owner=ann), Cat(name="Tom")
    await Animal.insert_many([ant, rex, tom])
    return await Home(
        pet=rex,
        dog=rex,
        pets=[ant, rex, tom],
        named={"t": tom},
        pair=(tom, rex),
        box=Box(pet=rex),
    ).insert()


async def test_a_reference_typed_as_the_root_is_resolved_to_the_documents_own_class(
    home: Home,
) -> None:
    found = await Home.get_one()
    rex = found.pet
    assert isinstance(rex, Dog)
    assert rex.owner is not None
    assert rex.owner.name == "Ann"
    assert [type(each) for each in found.pets] == [Animal, Dog, Cat]
    assert found.pair is not None
    assert found.box is not None
    assert found.dog is found.pets[1] is found.pair[1] is found.box.pet is rex
    assert found.named["t"] is found.pets[2] is found.pair[0]
    assert found == home
    everything = [*found.pets, *found.named.values(), *found.pair]
    assert all(is_resolved(each) and not is_new(each) for each in everything)


async def test_a_level_of_references_to_a_family_is_one_query(
    home: Home, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.recording() as seen:
        await Home.find_all()
    asked = [each.body["find"] for each in seen if each.name == "find"]
    # Its fields are typed as Animal and as Dog: one query for each, and Person on the next level.
    assert asked == ["Home", "Animal", "Animal", "Person"]


async def test_cursors_and_projections_resolve_families_as_well(home: Home) -> None:
    class Pets(msgspec.Struct):
        pets: list[Animal]
        pet: Animal

    (found,) = await Home.find().to_list()
    assert type(found.pet) is Dog
    projected = await Home.get_one(projection=Pets)
    assert projected.pets[1] is projected.pet
    assert type(projected.pet) is Dog


async def test_documents_of_one_read_refer_to_each_other_across_a_family(bind: Bind) -> None:
    await bind(*ALL)
    rex = Dog(name="Rex")
    max_ = Dog(name="Max", friend=rex)
    rex.friend = max_
    await rex.insert_recursive()
    first, second = await Animal.find_all(sort="name")
    assert isinstance(first, Dog)
    assert isinstance(second, Dog)
    assert first.friend is second
    assert second.friend is first
    one = await Dog.get_one({"name": "Rex"})
    assert isinstance(one.friend, Dog)
    assert one.friend.friend is one
    assert one == rex


async def test_a_reference_to_a_class_does_not_find_its_relatives(home: Home) -> None:
    tom = await Cat.get_one()
    await Home.get_collection().update_one({}, {"$set": {"dog": tom.id}})
    found = await Home.get_one()
    assert found.dog is not None
    assert not is_resolved(found.dog)
    with pytest.raises(MissingReferenceError):
        await found.dog.fetch()


async def test_a_save_and_its_cascade_write_each_by_its_own_class(home: Home) -> None:
    found = await Home.get_one()
    rex, tom = found.pet, found.pets[2]
    assert isinstance(rex, Dog)
    assert isinstance(tom, Cat)
    assert rex.owner is not None
    rex.breed, tom.lives, rex.owner.name = "pug", 8, "Bea"
    await found.save()
    assert (await Dog.get_one()).breed == "pug"
    assert (await Cat.get_one()).lives == 8
    assert (await Person.get_one()).name == "Bea"
    rex.owner.name = "Cem"
    tom.lives = 7
    await Animal.save_many([tom, rex])  # of which only the Dog has references
    assert (await Person.get_one()).name == "Cem"
    assert (await Cat.get_one()).lives == 7


async def test_what_is_not_of_the_family_is_refused(bind: Bind) -> None:
    await bind(*ALL)
    ann = await Person(name="Ann").insert()
    ant = await Animal(name="Ant").insert()
    home = Home(pet=ann)  # type: ignore[arg-type]
    with pytest.raises(DocumentValidationError, match="Expected `Animal`, got `Person`"):
        await home.insert()
    with pytest.raises(DocumentValidationError, match="Expected `Dog`, got `Animal`"):
        await Home(pet=ant, dog=ant).insert()  # type: ignore[arg-type]
    bad = Dog(name="x", owner=Person(name="new"))
    with pytest.raises(Exception, match="unsaved"):
        await Animal.insert_many([ant, bad])


async def test_an_unresolved_reference_to_a_family_equals_its_document(home: Home) -> None:
    found = await Home.get_one(resolve_refs=False)
    assert isinstance(found.pet, Animal)
    assert not is_resolved(found.pet)
    assert found == home
    assert found.pet == home.pet
    assert home.pet == found.pet
    assert found.pet != home.pets[0]
    assert copy.deepcopy(found) == found
    await found.save()


async def test_fetch_returns_the_document_of_a_subclass(home: Home) -> None:
    found = await Home.get_one(resolve_refs=False)
    found.pet = await found.pet.fetch()
    assert isinstance(found.pet, Dog)
    assert found.pet.owner is not None
    ant = found.pets[0]
    assert await ant.fetch() is ant  # of the annotated class itself: in place, as ever
    assert ant.name == "Ant"
    assert type(await Animal.ref(home.pet.id).fetch()) is Dog
    assert type(await Animal.ref(home.pet.id).reload()) is Dog
    new = await Home(pet=Animal.ref(home.pet.id)).insert()
    assert type((await Home.get_by_id(new.id)).pet) is Dog


async def test_an_unknown_tag_behind_a_reference_is_told_with_its_path(home: Home) -> None:
    await Animal.get_collection().update_one({"name": "Tom"}, {"$set": {"kind": "lion"}})
    with pytest.raises(
        DocumentValidationError, match=r"pets\[2\].kind.*'lion' is not the tag of a"
    ):
        await Home.get_one()
    found = await Home.get_one(on_invalid="skip")
    assert [is_resolved(each) for each in found.pets] == [True, True, False]


async def test_an_unfit_document_behind_a_subclass_is_told_with_its_path(home: Home) -> None:
    await Person.get_collection().update_one({}, {"$set": {"name": 5}})
    with pytest.raises(DocumentValidationError, match=r"(pet|dog).owner.name.*str"):
        await Home.get_one()


async def test_a_pipeline_that_joins_a_family_gives_documents_of_their_own_classes(
    home: Home,
) -> None:
    class Joined(msgspec.Struct):
        pet: Animal
        pets: list[Animal]

    stages: list[dict[str, Any]] = []
    for field in ("pet", "pets"):
        join = {"from": "Animal", "localField": field, "foreignField": "_id", "as": field}
        stages.append({"$lookup": join})
    stages.append({"$unwind": "$pet"})
    (found,) = await Home.aggregate(stages, into=Joined).to_list()
    assert type(found.pet) is Dog
    assert {type(each) for each in found.pets} == {Animal, Dog, Cat}


async def test_a_projection_into_a_members_reference_is_refused(home: Home) -> None:
    class Name(msgspec.Struct):
        name: str

    class Owner(msgspec.Struct):
        owner: Name

    with pytest.raises(OptionError, match=r"Dog.owner is a reference"):
        await Animal.find_all(projection=Owner)


# -- the key-value store in a family


class Settings(KVStore, MongoDocument, tag_field="kind", tag="settings"):
    __collection_name__ = "settings"


class UserSettings(Settings, tag="user"):
    pass


async def test_a_store_of_a_family_sees_its_own_keys(bind: Bind) -> None:
    await bind(Settings, UserSettings)
    await Settings.set("theme", "dark")
    await UserSettings.set_many({"font": "mono", "size": 3})
    assert await UserSettings.increment("size") == 4
    assert await UserSettings.get("font") == "mono"
    assert await UserSettings.get_or_default("theme", None) is None
    assert sorted(await Settings.keys()) == ["font", "size", "theme"]
    assert sorted(await UserSettings.keys()) == ["font", "size"]
    assert not await UserSettings.has("theme")
    assert await UserSettings.get_many(["theme", "font"]) == {"font": "mono"}
    assert await UserSettings.delete_keys(["theme", "font"]) == 1
    assert not await UserSettings.delete_key("theme")
    assert await UserSettings.clear() == 1
    assert await Settings.keys() == ["theme"]
    assert await Settings.clear() == 1
