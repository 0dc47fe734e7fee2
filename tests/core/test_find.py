"""Finding documents, whole or in smaller shapes."""

import datetime as dt
import gc
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentValidationError,
    MongoDocument,
    OptionError,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Address, Person, Place

PEOPLE = [
    Person(name="Ann", age=30, tags=["a"], address=Address(city="Rome", place=Place("Via", 1))),
    Person(name="Bob", age=20, tags=["a", "b"]),
    Person(name="Cid", age=40, address=Address(city="Oslo")),
]


async def fill() -> list[Person]:
    people = [Person(name=p.name, age=p.age, tags=p.tags, address=p.address) for p in PEOPLE]
    await Person.insert_many(people)
    return people


async def test_find_one_gives_the_document_or_none(bind: Bind) -> None:
    await bind(Person)
    ann, bob, _ = await fill()
    assert await Person.find_one({"name": "Bob"}) == bob
    assert await Person.find_one({"name": "Eve"}) is None
    assert await Person.find_one() == ann
    assert await Person.find_one(sort=[("age", 1)]) == bob
    assert await Person.find_one({}, skip=1, sort="name") == bob


async def test_find_all_and_find_give_what_matches(bind: Bind) -> None:
    await bind(Person)
    ann, bob, cid = await fill()
    assert await Person.find_all() == [ann, bob, cid] == await Person.find_all({})
    assert await Person.find_all({"age": {"$gt": 25}}) == [ann, cid]
    assert await Person.find({"tags": "a"}).to_list() == [ann, bob]
    assert await Person.find_all(sort={"age": -1}, limit=2) == [cid, ann]
    assert await Person.find_all({"name": "Eve"}) == []
    found = await Person.find_one({"name": "Ann"})
    assert found is not None
    assert isinstance(found.address, Address)
    assert isinstance(found.address.place, Place)
    assert changes(found) == {}


# -- by id


# -- sort


@pytest.mark.parametrize(
    "sort",
    [
        [("tags", 1), ("age", -1)],
        (("tags", 1), ("age", -1)),
        {"tags": 1, "age": -1},
        ["tags", ("age", -1)],
    ],
)
async def test_sort_takes_all_of_pymongos_forms(
    bind: Bind, mongo_proxy: FaultProxy, sort: Any
) -> None:
    await bind(Person)
    await fill()
    with mongo_proxy.recording() as seen:
        for names in (
            [each.name for each in await Person.find_all(sort=sort)],
            [each.name async for each in Person.find(sort=sort)],
        ):
            assert names == ["Cid", "Ann", "Bob"]
        await Person.find_one(sort=sort)
        await Person.find_one_and_update({}, {"$set": {"age": 9}}, sort=sort)
    for command in seen:
        assert list(command.body["sort"].items()) == [("tags", 1), ("age", -1)]


async def test_sort_by_one_name(bind: Bind) -> None:
    await bind(Person)
    await fill()
    assert [each.age for each in await Person.find_all(sort="age")] == [20, 30, 40]
    assert [each.age for each in await Person.find_all(sort=["age"])] == [20, 30, 40]


@pytest.mark.parametrize("sort", [5, [1, 2], [("a",)], [("a", 1, 2)]])
async def test_a_sort_that_is_none_is_refused(bind: Bind, sort: Any) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="sort="):
        await Person.find_all(sort=sort)
    with pytest.raises(OptionError, match="sort="):
        Person.find(sort=sort)


# -- smaller shapes


class Card(msgspec.Struct):
    name: str
    age: int


class City(msgspec.Struct):
    city: str


class Where(msgspec.Struct, rename={"where": "address"}):
    where: City | None
    _id: ObjectId


class Lenient(msgspec.Struct):
    name: str
    nope: int = 7
    tags: list[str] = []


async def test_a_projection_to_a_struct_reads_its_fields_only(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await fill()
    with mongo_proxy.recording() as seen:
        cards = await Person.find_all(projection=Card, sort="age")
        assert cards == [Card("Bob", 20), Card("Ann", 30), Card("Cid", 40)]
        assert await Person.find(projection=Card, sort="age").to_list(1) == cards[:1]
        assert await Person.find_one({"name": "Ann"}, projection=Card) == Card("Ann", 30)
        assert [each async for each in Person.find(projection=Card, sort="age")] == cards
    for command in seen:
        if command.name != "find":
            continue
        assert command.body["projection"] == {"name": 1, "age": 1, "_id": 0}


async def test_a_projection_may_be_nested_renamed_and_have_the_id(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ann, bob, cid = await fill()
    with mongo_proxy.recording() as seen:
        found = await Person.find_all(projection=Where, sort="name")
    assert found == [
        Where(_id=ann.id, where=City("Rome")),
        Where(_id=bob.id, where=None),
        Where(_id=cid.id, where=City("Oslo")),
    ]
    # a stored None has no paths inside, so the whole field is asked for
    assert seen[0].body["projection"] == {"address": 1, "_id": 1}
    assert await Person.find_by_id(bob.id, projection=Where) == found[1]


async def test_a_projections_required_struct_is_read_by_its_paths(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Inner(msgspec.Struct):
        town: City

    class Outer(MongoDocument):
        home: dict[str, Any]
        past: list[dict[str, Any]] = []

    class Shape(msgspec.Struct):
        home: Inner
        past: list[Inner]

    await bind(Outer)
    home = {"town": {"city": "Rome", "more": 1}, "more": 2}
    await Outer(home=home, past=[home]).insert()
    with mongo_proxy.recording() as seen:
        (found,) = await Outer.find_all(projection=Shape)
    assert found == Shape(Inner(City("Rome")), [Inner(City("Rome"))])
    assert seen[0].body["projection"] == {"home.town.city": 1, "past.town.city": 1, "_id": 0}


async def test_a_projections_defaults_fill_what_is_not_stored(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"name": "a"})
    assert await Person.find_all(projection=Lenient, check=False) == [Lenient("a")]


async def test_a_projection_that_does_not_fit_names_its_struct(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"name": "a", "age": "old"})
    with pytest.raises(DocumentValidationError) as caught:
        await Person.find_all(projection=Card)
    assert caught.value.path == "age"
    assert caught.value.document_class is Card
    assert await Person.find_all(projection=Card, on_invalid="skip") == []


async def test_a_projection_by_dict_gives_plain_dicts_through_the_codec(bind: Bind) -> None:
    class Priced(MongoDocument):
        price: Decimal
        day: dt.date

    await bind(Priced)
    await Priced(price=Decimal("1.50"), day=dt.date(2026, 1, 1)).insert()
    (found,) = await Priced.find_all(projection={"price": 1, "_id": 0})
    assert found == {"price": Decimal("1.50")}
    assert type(found) is dict
    one = await Priced.find_one(projection={"day": 1, "_id": 0})
    assert one == {"day": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    async for each in Priced.find(projection={"_id": 0}):
        assert set(each) == {"price", "day"}


async def test_an_empty_projection_by_dict_gives_whole_documents_as_dicts(bind: Bind) -> None:
    await bind(Person)
    (ann, *_) = await fill()
    assert (await Person.find_all(projection={}))[0] == ann.dump()


# -- on_invalid, __upgrade__


async def test_on_invalid_refuses_other_words(bind: Bind) -> None:
    await bind(Person)
    wrong: Any = "ignore"
    with pytest.raises(OptionError, match="on_invalid"):
        await Person.find_all(on_invalid=wrong)
    with pytest.raises(OptionError, match="on_invalid"):
        Person.find(on_invalid=wrong)


class Watched(MongoDocument):
    """Notes whether the garbage collector may run while its documents are decoded."""

    seen: ClassVar[set[bool]] = set()

    number: int

    def __post_init__(self) -> None:
        self.seen.add(gc.isenabled())


async def test_the_garbage_collector_pauses_for_large_reads_alone(bind: Bind) -> None:
    await bind(Watched)
    await Watched.insert_many([Watched(number=number) for number in range(1_200)])
    Watched.seen.clear()
    assert len(await Watched.find_all(limit=100)) == 100
    assert Watched.seen == {True}
    Watched.seen.clear()
    assert len(await Watched.find_all()) == 1_200
    assert Watched.seen == {False}
    assert gc.isenabled()

    await Watched.update_one({"number": 700}, {"$set": {"number": "seven"}}, check=False)
    with pytest.raises(DocumentValidationError, match="number"):
        await Watched.find_all()
    assert gc.isenabled(), "also if the read fails"


async def test_a_large_read_does_not_start_a_garbage_collector_that_was_stopped(bind: Bind) -> None:
    await bind(Watched)
    await Watched.insert_many([Watched(number=number) for number in range(600)])
    gc.disable()
    try:
        assert len(await Watched.find_all()) == 600
        assert not gc.isenabled()
    finally:
        gc.enable()
