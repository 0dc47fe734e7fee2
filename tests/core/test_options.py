"""Options: the driver's, checked before anything is sent."""

import copy
import re
from collections.abc import Awaitable, Callable
from typing import Any

import mongojet
import pytest
from mongojet import ReadConcern, ReadPreference, WriteConcern
from pymongo import InsertOne

from mongospec_core import MongospecError, OptionError
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Numbered, Person

type Act = Callable[..., Awaitable[Any]]


async def find(**options: Any) -> Any:
    return await Numbered.find({}, **options).to_list()


async def aggregate(**options: Any) -> Any:
    return await Numbered.aggregate([], **options).to_list()


ACTS: dict[str, Act] = {
    "insert": lambda **o: Numbered(_id=2).insert(**o),
    "insert_one": lambda **o: Numbered.insert_one(Numbered(_id=2), **o),
    "insert_many": lambda **o: Numbered.insert_many([Numbered(_id=2)], **o),
    "insert_if_not_exists": lambda **o: Numbered.insert_if_not_exists(Numbered(_id=2), **o),
    "find": find,
    "find_one": lambda **o: Numbered.find_one({}, **o),
    "find_by_id": lambda **o: Numbered.find_by_id(1, **o),
    "find_all": lambda **o: Numbered.find_all({}, **o),
    "count": lambda **o: Numbered.count({}, **o),
    "count_documents": lambda **o: Numbered.count_documents({}, **o),
    "estimated_document_count": lambda **o: Numbered.estimated_document_count(**o),
    "exists": lambda **o: Numbered.exists({}, **o),
    "distinct": lambda **o: Numbered.distinct("text", **o),
    "aggregate": aggregate,
    "save": lambda **o: Numbered(_id=1, text="b").save(**o),
    "save_many": lambda **o: Numbered.save_many([Numbered(_id=1, text="b")], **o),
    "bulk_write": lambda **o: Numbered.bulk_write([InsertOne(Numbered(_id=2))], **o),
    "update_one": lambda **o: Numbered.update_one({}, {"$set": {"text": "b"}}, **o),
    "update_many": lambda **o: Numbered.update_many({}, {"$set": {"text": "b"}}, **o),
    "update_by_id": lambda **o: Numbered.update_by_id(1, {"$set": {"text": "b"}}, **o),
    "find_one_and_update": lambda **o: Numbered.find_one_and_update(
        {}, {"$set": {"text": "b"}}, **o
    ),
    "find_one_and_replace": lambda **o: Numbered.find_one_and_replace({}, Numbered(text="c"), **o),
    "find_one_and_delete": lambda **o: Numbered.find_one_and_delete({}, **o),
    "delete": lambda **o: Numbered(_id=1).delete(**o),
    "delete_one": lambda **o: Numbered.delete_one({}, **o),
    "delete_many": lambda **o: Numbered.delete_many({}, **o),
    "delete_by_id": lambda **o: Numbered.delete_by_id(1, **o),
}
each_act = pytest.mark.parametrize(("name", "act"), ACTS.items(), ids=ACTS.keys())


@each_act
async def test_an_unknown_option_is_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy, name: str, act: Act
) -> None:
    await bind(Numbered)
    await Numbered(_id=1).insert()
    with mongo_proxy.recording() as seen, pytest.raises(OptionError) as caught:
        await act(nope=1)
    assert seen == []
    named = name.replace("insert_one", "insert")  # one is the other, spelled as the driver does
    assert re.search(rf"Numbered\.{named} does not take nope=; it takes ", str(caught.value))
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, MongospecError)
    assert await stored(Numbered) == [{"_id": 1, "text": ""}]


@each_act
async def test_every_operation_takes_a_session(
    bind: Bind, mongo_client: mongojet.Client, mongo_proxy: FaultProxy, name: str, act: Act
) -> None:
    await bind(Numbered)
    await Numbered(_id=1).insert()
    session = await mongo_client.start_session()
    if name == "estimated_document_count":
        with pytest.raises(OptionError, match=r"session=.*count\(\)"):  # the driver's has none
            await act(session=session)
        return
    with mongo_proxy.recording() as seen:
        await act(session=session)
        await act(session=None, timeout=None) if name.startswith("find") else None
    assert len(seen) >= 1
    assert "lsid" in seen[0].body


@each_act
async def test_every_operation_takes_a_timeout_and_a_comment(
    bind: Bind, mongo_proxy: FaultProxy, name: str, act: Act
) -> None:
    await bind(Numbered)
    await Numbered(_id=1).insert()
    with mongo_proxy.recording() as seen:
        await act(timeout=30, comment="why")
    assert {each.body.get("comment") for each in seen} == {"why"}


@each_act
async def test_options_of_other_operations_are_refused(bind: Bind, name: str, act: Act) -> None:
    await bind(Numbered)
    wrong = {"cursor_type": "tailable"} if name.startswith("find") else {"batch_sizes": 5}
    with pytest.raises(OptionError, match=next(iter(wrong))):
        await act(**wrong)


async def test_tailable_cursors_are_not_offered_and_the_error_says_so(bind: Bind) -> None:
    await bind(Numbered)
    options: Any = {"cursor_type": "tailable"}
    with pytest.raises(OptionError, match=r"tailable.*get_collection"):
        Numbered.find({}, **options)


async def test_an_option_is_refused_when_a_cursor_is_made_not_when_it_is_read(bind: Bind) -> None:
    await bind(Numbered)
    options: Any = {"nope": 1}
    with pytest.raises(OptionError, match="nope"):
        Numbered.find({}, **options)


async def test_the_drivers_options_reach_the_server(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await Person(name="a").insert()
    with mongo_proxy.recording() as seen:
        await Person.find_all(
            {},
            hint="_id_",
            skip=1,
            limit=2,
            collation={"locale": "en"},
            let={"x": 1},
            allow_disk_use=True,
            max_time_ms=5_000,
            read_concern=ReadConcern(level="local"),
            read_preference=ReadPreference(mode="primary"),
        )
        await Person.update_one(
            {}, {"$set": {"age": 1}}, collation={"locale": "en"}, write_concern=WriteConcern(w=1)
        )
        await Person.delete_one({}, hint="_id_")
    find_, update, delete = (each.body for each in seen)
    assert (find_["hint"], find_["skip"], find_["limit"]) == ("_id_", 1, 2)
    assert find_["collation"]["locale"] == "en"
    assert find_["let"] == {"x": 1}
    assert find_["allowDiskUse"] is True
    assert find_["maxTimeMS"] <= 5_000
    assert find_["readConcern"] == {"level": "local"}
    assert update["updates"][0]["collation"]["locale"] == "en"
    assert update["writeConcern"] == {"w": 1}
    assert delete["deletes"][0]["hint"] == "_id_"


async def test_the_callers_options_are_never_changed(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    options: dict[str, Any] = {
        "sort": [("name", 1)],
        "hint": {"_id": 1},
        "collation": {"locale": "en"},
        "let": {"x": 1},
    }
    before = copy.deepcopy(options)
    await Person.find_all({}, **options)
    await Person.find_one({}, **options)
    await Person.find({}, **options).to_list()
    await Person.find_one_and_update({}, {"$set": {"age": 1}}, **options)
    assert options == before


async def test_the_callers_filter_update_and_pipeline_are_never_changed(bind: Bind) -> None:
    await bind(Person, Account)
    await Person(name="a").insert()
    where: dict[str, Any] = {"name": {"$in": ["a", "b"]}, "tags": {"$ne": "x"}}
    update: dict[str, Any] = {"$set": {"address": {"city": "Rome"}}, "$push": {"tags": "y"}}
    pipeline: list[dict[str, Any]] = [{"$set": {"age": 5}}, {"$unset": "nope"}]
    stages: list[dict[str, Any]] = [{"$match": {"name": "a"}}, {"$limit": 1}]
    projection: dict[str, Any] = {"name": 1}
    before = copy.deepcopy((where, update, pipeline, stages, projection))
    await Person.update_one(where, update)
    await Person.update_many(where, pipeline)
    await Person.find_one_and_update(where, update)
    await Person.find_all(where, projection=projection)
    await Person.find(where, projection=projection).to_list()
    await Person.aggregate(stages).to_list()
    await Person.distinct("name", where)
    await Person.count(where)
    await Person.delete_many(where)
    assert (where, update, pipeline, stages, projection) == before


@pytest.mark.parametrize(
    ("option", "value"), [("limit", "3"), ("skip", -3), ("batch_size", 1.5), ("max_time_ms", True)]
)
async def test_a_count_that_is_none_names_the_option(bind: Bind, option: str, value: Any) -> None:
    await bind(Person)
    given: Any = {option: value}
    with pytest.raises(OptionError, match=rf"{option}={value!r}"):
        Person.find({}, **given)


@pytest.mark.parametrize("timeout", [None, 5])
async def test_an_option_that_bson_cannot_hold_names_the_operation(
    bind: Bind, timeout: float | None
) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match=r"Person\.find_one: cannot write a object"):
        await Person.find_one(collation={"locale": object()}, timeout=timeout)
