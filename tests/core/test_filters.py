"""Filters: what they may hold and what is refused."""

import datetime as dt
from typing import Any

import pytest
from bson import ObjectId

from mongospec_core import MongoDocument, MongospecError, OptionError
from tests.conftest import Bind
from tests.zoo.people import Account, Address, Person, Place, Role


async def test_a_write_must_say_that_it_means_all(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    nothing: Any = None
    for act in (
        lambda: Person.delete_many(nothing),
        lambda: Person.delete_one(nothing),
        lambda: Person.update_many(nothing, {"$set": {"name": "b"}}),
        lambda: Person.find_one_and_delete(nothing),
        lambda: Person.exists(nothing),
    ):
        with pytest.raises(OptionError, match=r"Person.*\{\} means all"):
            await act()
    assert await Person.count(None) == 1
    assert await Person.delete_many({}) == 1


PEOPLE = [
    Person(name="Ann", age=30, tags=["a"], address=Address(city="Rome", place=Place("Via", 1))),
    Person(name="Bob", age=20, tags=["a", "b"]),
    Person(name="Cid", age=40, address=Address(city="Oslo")),
]


async def fill() -> list[Person]:
    people = [Person(name=p.name, age=p.age, tags=p.tags, address=p.address) for p in PEOPLE]
    await Person.insert_many(people)
    return people


async def test_a_filter_takes_enums_dates_and_structs(bind: Bind) -> None:
    await bind(Account, Person)
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    one = await Account(email="a", role=Role.WRITER, since=since).insert()
    assert await Account.find_all({"role": Role.WRITER, "since": {"$gte": since}}) == [one]
    ann = (await fill())[0]
    assert await Person.find_all({"address": Address(city="Rome", place=Place("Via", 1))}) == [ann]
    assert await Person.find_all({"address.place": Place("Via", 1)}) == [ann]


async def test_a_document_in_a_filter_stands_for_its_id(bind: Bind) -> None:
    await bind(Person)
    ann, bob, _ = await fill()
    assert await Person.find_one({"_id": ann}) == ann
    assert await Person.find_all({"_id": {"$in": [ann, bob]}}) == [ann, bob]


async def test_a_filter_that_is_no_dict_is_refused(bind: Bind) -> None:
    await bind(Person)
    for wrong in ("abc", ObjectId(), 5, ["a"]):
        bad: Any = wrong
        with pytest.raises(OptionError, match="find_by_id"):
            await Person.find_one(bad)
        with pytest.raises(OptionError, match="find_by_id"):
            await Person.find(bad).to_list()


@pytest.mark.parametrize("check", [True, False])
async def test_a_lone_surrogate_in_a_filter_or_an_update_is_refused(
    bind: Bind, check: bool
) -> None:
    class Loose(MongoDocument):
        name: str = ""
        age: int = 0
        more: dict[str, Any] = {}

    await bind(Loose)
    await Loose(name="a").insert()
    for bad in ({"name": "\ud800"}, {"age": "\ud800"}, {"more.\ud800": 1}, {"more": {"\ud800": 1}}):
        for call in (
            Loose.find_one(bad, check=check),
            Loose.count(bad, check=check),
            Loose.delete_many(bad, check=check),
            Loose.update_one(bad, {"$set": {"age": 1}}, check=check),
            Loose.update_many({}, {"$set": bad}, check=check),
        ):
            with pytest.raises(MongospecError) as told:
                await call
            assert told.value.outcome == "not_applied"
    text: Any = "\ud800"
    for unfit in (
        Loose(name=text),
        Loose(age=text),
        Loose(more={text: 1}),
        Loose(more={"x": [text]}),
    ):
        with pytest.raises(MongospecError, match="Loose"):
            await unfit.insert()
    assert [each.name for each in await Loose.find_all({})] == ["a"]
