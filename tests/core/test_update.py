"""Updates by operators and pipelines, and the find_one_and_* family."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from bson import ObjectId
from pymongo import UpdateMany

from mongospec_core import (
    BulkWriteError,
    DocumentValidationError,
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    OptionError,
    UpdateResult,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Address, Numbered, Person, Role


async def fill() -> None:
    await Person.insert_many(
        [Person(name="Ann", age=30), Person(name="Bob", age=20), Person(name="Cid", age=30)]
    )


class Key(msgspec.Struct):
    part: int


class Keyed(MongoDocument):
    _id: Key
    n: int = 0


async def test_an_upserted_id_is_the_callers_alone(bind: Bind) -> None:
    await bind(Keyed)
    results = []
    for _ in range(2):
        await Keyed.delete_many({})
        results.append(await Keyed.update_one({"_id": Key(1)}, {"$set": {"n": 1}}, upsert=True))
    results[0].upserted_id["part"] = 2
    assert results[1].upserted_id == {"part": 1}


async def test_update_one_gives_an_int_with_the_servers_answer(bind: Bind) -> None:
    await bind(Person)
    await fill()
    result = await Person.update_one({"age": 30}, {"$inc": {"age": 1}})
    assert isinstance(result, UpdateResult)
    assert isinstance(result, int)
    assert result == 1
    assert (result.matched_count, result.modified_count, result.upserted_id) == (1, 1, None)
    same = await Person.update_one({"name": "Bob"}, {"$set": {"age": 20}})
    assert (int(same), same.matched_count) == (0, 1)
    none = await Person.update_one({"name": "Eve"}, {"$set": {"age": 20}})
    assert (int(none), none.matched_count, none.upserted_id) == (0, 0, None)
    assert "matched_count=0" in repr(none)


async def test_update_many_changes_all_that_match(bind: Bind) -> None:
    await bind(Person)
    await fill()
    result = await Person.update_many({"age": 30}, {"$set": {"age": 31}, "$push": {"tags": "x"}})
    assert (result, result.matched_count, result.modified_count) == (2, 2, 2)
    assert [(each.age, each.tags) for each in await Person.find_all()] == [
        (31, ["x"]),
        (20, []),
        (31, ["x"]),
    ]
    assert await Person.update_many({}, {"$set": {"age": 1}}) == 3


async def test_update_by_id_takes_an_id_or_its_text(bind: Bind) -> None:
    await bind(Person, Numbered)
    one = await Person(name="a").insert()
    assert await Person.update_by_id(one.id, {"$set": {"age": 1}}) == 1
    assert await Person.update_by_id(str(one.id), {"$inc": {"age": 1}}) == 1
    assert await Person.update_by_id(ObjectId(), {"$inc": {"age": 1}}) == 0
    assert (await Person.find_all())[0].age == 2
    await Numbered(_id=5).insert()
    assert await Numbered.update_by_id("5", {"$set": {"text": "b"}}) == 1


async def test_an_upsert_says_the_id_that_it_inserted(bind: Bind) -> None:
    await bind(Person, Numbered)
    result = await Person.update_one({"name": "new"}, {"$set": {"age": 3}}, upsert=True)
    assert (result, result.matched_count) == (0, 0)
    assert await Person.find_by_id(result.upserted_id) == Person(
        _id=result.upserted_id, name="new", age=3
    )
    by_id = await Numbered.update_by_id("7", {"$set": {"text": "a"}}, upsert=True)
    assert by_id.upserted_id == 7
    many = await Numbered.update_many({"_id": 8}, {"$set": {"text": "b"}}, upsert=True)
    assert many.upserted_id == 8
    again = await Numbered.update_by_id(7, {"$set": {"text": "c"}}, upsert=True)
    assert (again, again.upserted_id) == (1, None)


async def test_an_update_takes_the_values_that_documents_do(bind: Bind) -> None:
    await bind(Account, Person)
    one = await Account(email="a").insert()
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    await Account.update_by_id(one.id, {"$set": {"role": Role.WRITER, "since": since}})
    assert await Account.find_all() == [
        Account(_id=one.id, email="a", role=Role.WRITER, since=since)
    ]
    person = await Person(name="a").insert()
    await Person.update_by_id(person.id, {"$set": {"address": Address(city="Rome")}})
    assert (await Person.find_all())[0].address == Address(city="Rome")


async def test_a_pipeline_may_be_an_update(bind: Bind) -> None:
    await bind(Person)
    await fill()
    result = await Person.update_many(
        {"age": 30}, [{"$set": {"age": {"$add": ["$age", 1]}}}, {"$unset": "tags"}]
    )
    assert result == 2
    assert sorted(each["age"] for each in await stored(Person)) == [20, 31, 31]
    assert sum("tags" in each for each in await stored(Person)) == 1


@pytest.mark.parametrize(
    "update",
    [{}, {"name": "b"}, {"$set": {"name": "b"}, "age": 1}, [], "name", None, {"name": {"$set": 1}}],
)
async def test_an_update_that_would_replace_the_document_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, update: Any
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    calls = [
        lambda: Person.update_one({}, update),
        lambda: Person.update_many({}, update),
        lambda: Person.update_by_id(one.id, update),
        lambda: Person.find_one_and_update({}, update),
    ]
    with mongo_proxy.recording() as seen:
        for call in calls:
            with pytest.raises(OptionError, match="Person"):
                await call()
    assert seen == []
    assert await stored(Person) == [one.dump()]


async def test_array_filters_and_other_options_are_passed_on(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person(name="a", tags=["x", "y"]).insert()
    with mongo_proxy.recording() as seen:
        await Person.update_one(
            {}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": "x"}], comment="why"
        )
    assert (await Person.find_all())[0].tags == ["z", "y"]
    assert seen[0].body["comment"] == "why"
    assert seen[0].body["updates"][0]["arrayFilters"] == [{"t": "x"}]


async def test_an_update_that_a_unique_index_refuses_says_so(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    two = await Account(email="b").insert()
    for call in (
        Account.update_by_id(two.id, {"$set": {"email": "a"}}),
        Account.find_one_and_update({"email": "b"}, {"$set": {"email": "a"}}),
    ):
        with pytest.raises(DuplicateKeyError) as caught:
            await call
        assert caught.value.key_pattern == {"email": 1}
        assert caught.value.key_value == {"email": "a"}
        assert caught.value.outcome == "not_applied"


async def test_an_update_that_the_server_refuses_names_the_operation(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    with pytest.raises(OperationError, match=r"Person\.update_by_id") as caught:
        await Person.update_by_id(one.id, {"$inc": {"name": 1}}, check=False)
    assert caught.value.code is not None
    assert caught.value.outcome == "not_applied"


# -- find_one_and_*


async def test_find_one_and_update_gives_the_document_after(bind: Bind) -> None:
    await bind(Person)
    await fill()
    after = await Person.find_one_and_update({"name": "Ann"}, {"$inc": {"age": 1}})
    assert after is not None
    assert (after.name, after.age) == ("Ann", 31)
    before = await Person.find_one_and_update(
        {"name": "Ann"}, {"$inc": {"age": 1}}, return_updated=False
    )
    assert before is not None
    assert before.age == 31
    assert await Person.find_one_and_update({"name": "Eve"}, {"$inc": {"age": 1}}) is None
    assert changes(after) == {}
    oldest = await Person.find_one_and_update({}, {"$inc": {"age": 1}}, sort=[("age", -1)])
    assert oldest is not None
    assert oldest.age == 33


async def test_find_one_and_update_can_upsert(bind: Bind) -> None:
    await bind(Numbered)
    made = await Numbered.find_one_and_update({"_id": 1}, {"$set": {"text": "a"}}, upsert=True)
    assert made == Numbered(_id=1, text="a")
    none = await Numbered.find_one_and_update(
        {"_id": 2}, {"$set": {"text": "a"}}, upsert=True, return_updated=False
    )
    assert none is None
    assert await Numbered.count() == 2


async def test_return_document_is_refused_with_the_packages_own_spelling(bind: Bind) -> None:
    await bind(Person)
    option: Any = {"return_document": "after"}
    with pytest.raises(OptionError, match="return_updated"):
        await Person.find_one_and_update({}, {"$set": {"age": 1}}, **option)
    with pytest.raises(OptionError, match="return_updated"):
        await Person.find_one_and_replace({}, Person(name="b"), **option)


async def test_find_one_and_replace_puts_a_document_in_anothers_place(bind: Bind) -> None:
    await bind(Person)
    _id = ObjectId()
    await Person.get_collection().insert_one({"_id": _id, "name": "Ann", "more": 1})
    after = await Person.find_one_and_replace({"name": "Ann"}, Person(name="Eve", age=5))
    assert after == Person(_id=_id, name="Eve", age=5)
    assert await stored(Person) == [after.dump()]
    before = await Person.find_one_and_replace(
        {"name": "Eve"}, Person(_id=_id, name="Joe"), return_updated=False
    )
    assert before == after
    assert await Person.find_one_and_replace({"name": "Nobody"}, Person(name="x")) is None


async def test_find_one_and_delete_gives_what_it_deleted(bind: Bind) -> None:
    await bind(Person)
    await fill()
    gone = await Person.find_one_and_delete({"age": 30}, sort=[("name", -1)])
    assert gone is not None
    assert gone.name == "Cid"
    assert await Person.count() == 2
    assert await Person.find_one_and_delete({"name": "Cid"}) is None


async def test_a_document_that_does_not_fit_after_the_update_is_named(bind: Bind) -> None:
    await bind(Person)
    await fill()
    with pytest.raises(DocumentValidationError) as caught:
        await Person.find_one_and_update({"name": "Ann"}, {"$set": {"age": "old"}})
    assert caught.value.path == "age"


async def test_an_upsert_by_a_filter_of_the_codec(bind: Bind) -> None:
    class Day(MongoDocument):
        day: dt.date
        hits: int = 0

    await bind(Day)
    for _ in range(2):
        await Day.update_one({"day": dt.date(2026, 1, 1)}, {"$inc": {"hits": 1}}, upsert=True)
    assert [(each.day, each.hits) for each in await Day.find_all()] == [(dt.date(2026, 1, 1), 2)]


async def test_an_update_many_that_failed_in_the_middle_may_have_changed_some(bind: Bind) -> None:
    await bind(Person)
    collection = Person.get_collection()
    await collection.insert_many([{"name": "a", "age": 1}, {"name": "b", "age": "text"}])
    for ordered in (True, False):
        with pytest.raises(BulkWriteError) as caught:
            await Person.bulk_write([UpdateMany({}, {"$inc": {"age": 1}})], ordered=ordered)
        assert caught.value.outcome == "unknown"
        assert [each.index for each in caught.value.failures] == [0]
