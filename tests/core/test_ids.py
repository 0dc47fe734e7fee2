"""Ids are values: what looks like an operator is none, wherever an id is taken."""

import re
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
from bson import ObjectId, Regex

from mongospec_core import DefinitionError, InvalidIdError, MongoDocument, OptionError
from mongospec_core.model import ids
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Address, Numbered, Person, Place

NOT_NULL: dict[str, Any] = {"$ne": None}


class Pair(msgspec.Struct, frozen=True):
    a: int
    b: int = 0


class Free(MongoDocument):
    _id: Any
    x: int = 0


class Keyed(MongoDocument):
    _id: dict[str, Any]
    x: int = 0


class Paired(MongoDocument):
    _id: Pair
    x: int = 0


@pytest.mark.parametrize(("cls", "id_"), [(Free, 1), (Keyed, {"a": 1})])
async def test_an_operator_is_not_an_id(bind: Bind, cls: Any, id_: Any) -> None:
    await bind(Free, Keyed)
    await cls(_id=id_).insert()
    for operation in (cls.find_by_id, cls.delete_by_id):
        with pytest.raises(InvalidIdError, match=cls.__name__):
            await operation(NOT_NULL)
    with pytest.raises(InvalidIdError):
        await cls.update_by_id(NOT_NULL, {"$set": {"x": 9}})
    document = cls(_id=NOT_NULL, x=666)
    for write in (
        document.save(),
        document.save(upsert=True),
        document.delete(),
        cls.save_many([document]),
        cls.insert_if_not_exists(document),
    ):
        with pytest.raises(InvalidIdError):
            await write
    assert await stored(cls) == [{"_id": id_, "x": 0}]


async def test_a_pattern_is_not_an_id(bind: Bind) -> None:
    await bind(Free)
    await Free(_id="abc").insert()
    for operation in (Free.find_by_id, Free.delete_by_id):
        with pytest.raises(InvalidIdError, match=r"Free.*regular expression"):
            await operation(re.compile("a"))
    for id_ in (re.compile("a"), Regex("a")):
        with pytest.raises(InvalidIdError):
            await Free(_id=id_, x=2).save()
    assert await stored(Free) == [{"_id": "abc", "x": 0}]


async def test_ids_of_several_fields_are_found_as_they_are(bind: Bind) -> None:
    await bind(Keyed, Paired)
    keyed = await Keyed(_id={"a": 1}).insert()
    paired = await Paired(_id=Pair(a=1, b=2)).insert()
    for document in (keyed, paired):
        cls = type(document)
        document.x = 1
        await document.save()
        document.x = 2
        await cls.save_many([document])
        assert await cls.insert_if_not_exists(document) is None
        assert await cls.update_by_id(document.id, {"$inc": {"x": 1}}) == 1
        read = await cls.find_by_id(document.id)
        assert read is not None
        assert read.x == 3
        assert await document.delete() == 1
        assert await cls.insert_if_not_exists(document) is document
        assert await cls.delete_by_id(document.id) == 1


async def test_a_wrong_argument_is_an_error_of_ours(bind: Bind) -> None:
    await bind(Free)
    document: Any = await Free(_id=1).insert()
    with pytest.raises(OptionError, match="a filter is a dict"):
        await Free.insert_if_not_exists(document, 5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="has operators"):
        await Free.update_one({}, {5: 1})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="not a document"):
        await Free.update_one({}, {"$set": document})
    with pytest.raises(OptionError, match="StopAsyncIteration"):
        Free.aggregate([{"$changeStream": {}}])
    with pytest.raises(OptionError, match="list of stages"):
        Free.aggregate(5)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="which the results are read as"):
        Free.aggregate([], into=dict)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "id_type", [list[int], tuple[int, int], set[str] | None], ids=["list", "tuple", "set"]
)
async def test_an_id_that_is_an_array_is_refused_at_init(bind: Bind, id_type: Any) -> None:
    cls = type(MongoDocument)("Odd", (MongoDocument,), {"__annotations__": {"_id": id_type}})
    with pytest.raises(DefinitionError, match=r"Odd\._id.*array"):
        await bind(cls)


PEOPLE = [
    Person(name="Ann", age=30, tags=["a"], address=Address(city="Rome", place=Place("Via", 1))),
    Person(name="Bob", age=20, tags=["a", "b"]),
    Person(name="Cid", age=40, address=Address(city="Oslo")),
]


async def fill() -> list[Person]:
    people = [Person(name=p.name, age=p.age, tags=p.tags, address=p.address) for p in PEOPLE]
    await Person.insert_many(people)
    return people


async def test_find_by_id_takes_a_string(bind: Bind) -> None:
    await bind(Person, Numbered)
    ann = (await fill())[0]
    assert await Person.find_by_id(ann.id) == ann
    assert await Person.find_by_id(str(ann.id)) == ann
    assert await Person.find_by_id(ObjectId()) is None
    seven = await Numbered(_id=7).insert()
    assert await Numbered.find_by_id("7") == seven == await Numbered.find_by_id(7)


@pytest.mark.parametrize("_id", ["abc", 7, None, "", b"abc", {"a": 1}, [1]])
async def test_by_id_methods_refuse_what_cannot_be_an_id(
    bind: Bind, mongo_proxy: FaultProxy, _id: Any
) -> None:
    await bind(Person)
    calls = [
        lambda: Person.find_by_id(_id),
        lambda: Person.update_by_id(_id, {"$set": {"age": 1}}),
        lambda: Person.delete_by_id(_id),
    ]
    with mongo_proxy.recording() as seen:
        for call in calls:
            with pytest.raises(InvalidIdError, match="Person") as caught:
                await call()
            assert isinstance(caught.value, ValueError)
    assert seen == []


async def test_an_int_id_is_not_made_of_a_word(bind: Bind) -> None:
    await bind(Numbered)
    for _id in ("seven", 1.5, "1.5"):
        with pytest.raises(InvalidIdError, match="int"):
            await Numbered.find_by_id(_id)


async def test_find_by_id_of_a_documents_id_that_is_a_document(bind: Bind) -> None:
    class Grid(MongoDocument):
        _id: dict[str, int] | None = None

    await bind(Grid)
    one = await Grid(_id={"x": 1, "y": 2}).insert()
    assert await Grid.find_by_id({"x": 1, "y": 2}) == one
    assert await Grid.find_by_id({"x": 1, "y": 3}) is None


async def test_ids_are_in_one_order_whoever_made_them(bind: Bind) -> None:
    before = int(time.time())
    made = [ObjectId(), *ids.new_ids(2_500), ObjectId()]
    assert len(made) == 2_502
    assert made == sorted(set(made))
    assert before <= made[1].generation_time.timestamp() <= time.time()

    class Line(MongoDocument):
        n: int

    await bind(Line)
    await Line(n=0).insert()
    await Line.insert_many([Line(n=1), Line(n=2, _id=ObjectId()), Line(n=3)])
    await Line(_id=ObjectId(), n=4).insert()
    await Line(n=5).save(upsert=True)
    found = [each.n for each in await Line.find_all(sort="_id")]
    assert found == [0, 2, 1, 3, 4, 5], "a list's ids are made when it is sent"


def test_ids_are_unique_when_their_counter_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectId, "_inc", 0xFFFFFE)
    made = [*ids.new_ids(3), ObjectId()]
    assert [each.binary[-3:].hex() for each in made] == ["fffffe", "ffffff", "000000", "000001"]
    assert len(set(made)) == 4


FORKING = """
import os
from mongospec_core.model.ids import new_ids
next(new_ids(1))
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, next(new_ids(1)).binary)
    os._exit(0)
os.waitpid(child, 0)
assert os.read(read, 12)[4:9] != next(new_ids(1)).binary[4:9]
"""


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True)
