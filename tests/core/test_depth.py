"""Values nested more deeply than MongoDB takes are refused before the driver sees them."""

import datetime as dt
import random
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import bson
import msgspec
import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from mongospec_core import EncodingError, MongoDocument, MongospecError, changes
from mongospec_core.codec.codec_options import decode, encode, encode_trusted
from mongospec_core.codec.depth import NestingError
from mongospec_core.limits import MAX_NESTING
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Tree(MongoDocument):
    name: str = ""
    any: Any = None


class Key(MongoDocument):
    _id: Any = None
    name: str = ""


class Box(msgspec.Struct):
    content: list[Any]


def deep(levels: int, *, array: bool = False) -> Any:
    """A value of that many levels."""
    value: Any = [] if array else {}
    for _ in range(levels - 1):
        value = [value] if array else {"a": value}
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


type Call = Callable[[Any], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "find_one": lambda value: Tree.find_one({"any": value}),
    "find_all": lambda value: Tree.find_all({"any": value}),
    "find": lambda value: Tree.find({"any": value}).to_list(),
    "explain": lambda value: Tree.find({}, hint={"any": value}).explain(),
    "find_by_id": Key.find_by_id,
    "count": lambda value: Tree.count({"any": value}),
    "exists": lambda value: Tree.exists({"any": value}),
    "distinct": lambda value: Tree.distinct("name", {"any": value}),
    "aggregate": lambda value: Tree.aggregate([{"$match": {"any": value}}]).to_list(),
    "hint": lambda value: Tree.find_one({}, hint={"any": value}),
    "comment": lambda value: Tree.find_one({}, comment=value),
    "comment of a bulk write": lambda value: Tree.bulk_write([DeleteOne({})], comment=value),
    "let": lambda value: Tree.delete_many({}, let={"any": value}),
    "insert": lambda value: Tree(any=value).insert(),
    "insert without a check": lambda value: Tree(any=value).insert(validate_on_write=False),
    "insert with a deep _id": lambda value: Key(_id=value).insert(),
    "insert_many": lambda value: Tree.insert_many([Tree(), Tree(any=value)]),
    "insert_if_not_exists": lambda value: Tree.insert_if_not_exists(Tree(any=value), {"name": ""}),
    "filter of insert_if_not_exists": lambda value: Tree.insert_if_not_exists(
        Tree(), {"name": "", "any": {"$ne": value}}
    ),
    "upsert": lambda value: Tree(any=value).save(upsert=True),
    "update_one": lambda value: Tree.update_one({}, {"$set": {"any": value}}),
    "update_many by a pipeline": lambda value: Tree.update_many({}, [{"$set": {"any": value}}]),
    "update_by_id": lambda value: Key.update_by_id(1, {"$set": {"any": value}}),
    "array_filters": lambda value: Tree.update_one(
        {}, {"$set": {"any.$[x]": 1}}, array_filters=[{"x": value}]
    ),
    "find_one_and_update": lambda value: Tree.find_one_and_update(
        {"any": value}, {"$set": {"a": 1}}
    ),
    "find_one_and_replace": lambda value: Tree.find_one_and_replace({}, Tree(any=value)),
    "find_one_and_delete": lambda value: Tree.find_one_and_delete({"any": value}),
    "delete_one": lambda value: Tree.delete_one({"any": value}),
    "delete_by_id": Key.delete_by_id,
    "InsertOne": lambda value: Tree.bulk_write([InsertOne(Tree(any=value))]),
    "InsertOne of a dict": lambda value: Tree.bulk_write([InsertOne({"any": value})]),
    "ReplaceOne": lambda value: Tree.bulk_write([ReplaceOne({}, Tree(any=value))]),
    "UpdateOne": lambda value: Tree.bulk_write([UpdateOne({}, {"$set": {"any": value}})]),
    "array_filters of UpdateOne": lambda value: Tree.bulk_write(
        [UpdateOne({}, {"$set": {"any.$[x]": 1}}, array_filters=[{"x": value}])]
    ),
    "DeleteOne": lambda value: Tree.bulk_write([DeleteOne({"any": value})]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "value",
    [deep(MAX_NESTING + 1), deep(5_000, array=True), deep(20_000), endless()],
    ids=["101", "5000", "20000", "endless"],
)
async def test_what_is_nested_too_deeply_is_refused_and_nothing_is_sent(
    bind: Bind, mongo_proxy: FaultProxy, call: Call, value: Any
) -> None:
    await bind(Tree, Key)
    with (
        mongo_proxy.recording() as seen,
        pytest.raises(MongospecError, match=r"Tree|Key") as raised,
    ):
        await call(value)
    assert raised.value.outcome == "not_applied"
    assert not [each for each in seen if each.name not in ("hello", "isMaster", "ping")]


async def test_a_saved_change_that_is_nested_too_deeply_is_refused_and_named(bind: Bind) -> None:
    await bind(Tree)
    tree = await Tree(any=1).insert()
    tree.any = deep(MAX_NESTING)
    for write in (tree.save, lambda: Tree.save_many([tree])):
        with pytest.raises(
            EncodingError, match=r"100 levels deep.*at any\.a\.a.*nothing was written"
        ):
            await write()
    with pytest.raises(EncodingError, match=r"Tree of _id=.*100 levels"):
        changes(tree)
    assert (await Tree.find_one()) is not None


async def test_a_document_of_100_levels_is_stored_by_every_way(bind: Bind) -> None:
    await bind(Tree)
    value = deep(MAX_NESTING - 1)
    tree = await Tree(any=value).insert()
    await Tree.insert_many([Tree(any=value)])
    other = await Tree().insert()
    other.any = value
    await other.save()
    third = await Tree().insert()
    third.any = value
    await Tree.save_many([third])
    await Tree.bulk_write(
        [InsertOne(Tree(any=value)), ReplaceOne({"_id": tree.id}, Tree(any=value))]
    )
    assert [each.any == value for each in await Tree.find_all()] == [True] * 5


async def test_a_large_flat_document_is_not_taken_for_a_deep_one(bind: Bind) -> None:
    await bind(Tree)
    value = [{"n": n, "list": [n, {"three": 3}], "text": "\x03\x04" * n} for n in range(300)]
    await Tree(any=value).insert()
    found = await Tree.find_one()
    assert found is not None
    assert found.any == value


def levels(value: Any) -> int:
    """How many levels a raw value has, in plain Python."""
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Code):
        value = value.scope
    if not isinstance(value, dict | list):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return 1 + max(map(levels, parts), default=0)


def test_levels_are_counted_through_every_type_of_bson() -> None:
    scalars: list[Any] = [
        *(None, True, 1, Int64(3), 1.5, "\x03\x04\0", b"\x03\0\4", uuid.UUID(int=3), ObjectId()),
        *(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), Decimal128("3.4"), Timestamp(3, 4), MinKey()),
        *(
            MaxKey(),
            Regex("\x03", "i"),
            re.compile("a"),
            Code("x"),
            Code("x", {}),
            {},
            [],
            {"a": 1},
        ),
        *(DBRef("a", 1), DBRef("a", {"b": 1}), RawBSONDocument(bson.encode({"a": [3]}))),
    ]
    chance = random.Random(20251125)
    for _ in range(400):
        value: Any = chance.choice(scalars)
        for _ in range(chance.randrange(95, 103)):
            beside = [chance.choice(scalars) for _ in range(chance.randrange(3))]
            value = chance.choice(
                [
                    [*beside, value, *beside],
                    {"x": beside, "in": value, "y": 3},
                    {"code": Code("f", {"scope": value})},
                    Box([value]),
                    {"ref": DBRef("a", value)},
                    RawBSONDocument(encode_trusted({"raw": value})),
                ]
            )
        data = encode_trusted({"value": value})
        expected = levels(decode(data))
        try:
            encode({"value": value})
        except NestingError:
            assert expected > MAX_NESTING
        else:
            assert expected <= MAX_NESTING


async def test_a_raw_document_is_looked_into_as_well(bind: Bind) -> None:
    await bind(Tree)
    raw = RawBSONDocument(bson.encode({"a": deep(200)}))
    with pytest.raises(EncodingError, match="100 levels"):
        await Tree.find_one({"any": raw})
