"""Ids are values: what looks like an operator is none, wherever an id is taken."""

import re
from typing import Any

import msgspec
import pytest

from mongospec_core import InvalidIdError, MongoDocument, OptionError
from tests.conftest import Bind
from tests.core.raw import stored

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
    assert await Free.find_by_id(re.compile("a")) is None
    assert await Free.delete_by_id(re.compile("a")) == 0


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
    with pytest.raises(OptionError, match="made of operators"):
        await Free.update_one({}, {5: 1})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="not a document"):
        await Free.update_one({}, {"$set": document})
    with pytest.raises(OptionError, match="StopAsyncIteration"):
        Free.aggregate([{"$changeStream": {}}])
    with pytest.raises(OptionError, match="list of stages"):
        Free.aggregate(5)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="which the results are read as"):
        Free.aggregate([], into=dict)  # type: ignore[type-var]
