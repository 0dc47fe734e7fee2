"""Deleting documents."""

import pytest
from bson import ObjectId

from mongospec_core import MissingIdError, changes
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Numbered, Person


async def fill() -> None:
    await Person.insert_many(
        [Person(name="Ann", age=30), Person(name="Bob", age=20), Person(name="Cid", age=30)]
    )


async def test_delete_removes_this_document_only(bind: Bind) -> None:
    await bind(Person)
    await fill()
    ann = await Person.find_one({"name": "Ann"})
    assert ann is not None
    _id = ann.id
    assert await ann.delete() == 1
    assert ann.id == _id
    assert await ann.delete() == 0
    assert [each.name for each in await Person.find_all()] == ["Bob", "Cid"]


async def test_delete_of_a_changed_document_goes_by_its_id(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    assert await one.delete() == 1
    assert await Person.count() == 0


async def test_delete_without_an_id_is_refused(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen, pytest.raises(MissingIdError, match="Person"):
        await Person(name="a").delete()
    assert seen == []


async def test_delete_one_many_and_by_id_give_counts(bind: Bind) -> None:
    await bind(Person, Numbered)
    await fill()
    assert await Person.delete_one({"age": 30}) == 1
    assert await Person.delete_one({"age": 31}) == 0
    await fill()
    assert await Person.delete_many({"age": 30}) == 3
    assert await Person.delete_many({"age": 30}) == 0
    assert await Person.delete_many({}) == 2
    one = await Person(name="a").insert()
    assert await Person.delete_by_id(ObjectId()) == 0
    assert await Person.delete_by_id(str(one.id)) == 1
    await Numbered(_id=5).insert()
    assert await Numbered.delete_by_id("5") == 1


async def test_what_is_sent_is_one_delete(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    with mongo_proxy.recording() as seen:
        await one.delete(comment="why")
        await Person.delete_many({"name": "b"})
    assert [each.name for each in seen] == ["delete", "delete"]
    assert seen[0].body["deletes"] == [{"q": {"_id": one.id}, "limit": 1}]
    assert seen[0].body["comment"] == "why"
    assert seen[1].body["deletes"] == [{"q": {"name": "b"}, "limit": 0}]


async def test_a_deleted_document_counts_as_new(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    await one.delete()
    assert set(changes(one)) == {"name", "age", "tags", "address"}
    await one.insert()
    assert await Person.find_all() == [one]
