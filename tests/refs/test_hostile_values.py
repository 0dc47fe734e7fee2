"""Values that BSON, MongoDB or Python treat in their own way, by every write: they come back equal, or are refused by name."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import bson
import pytest
from pymongo import InsertOne, ReplaceOne, UpdateOne

from mongospec import DocumentValidationError, EncodingError, MongoDocument
from mongospec.contrib.kv_store import KVStore
from mongospec_core.limits import MAX_DOCUMENT_BYTES
from tests.conftest import Bind
from tests.core.raw import alike


class Odd(MongoDocument):
    name: str = ""
    any: Any = None
    tags: list[str] = []


class Holder(MongoDocument):
    odd: Odd


class Store(KVStore):
    pass


async def saved(value: Any) -> None:
    odd = await Odd().insert()
    odd.any = value
    await odd.save()


async def saved_with_others(value: Any) -> None:
    odd = await Odd().insert()
    odd.any = value
    await Odd.save_many([odd])


async def saved_by_cascade(value: Any) -> None:
    holder = await Holder(odd=await Odd().insert()).insert()
    holder.odd.any = value
    await holder.save()


def on_a_stored_one(write: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def written(value: Any) -> None:
        await Odd().insert()
        await write(value)

    return written


WRITES: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
    "insert": lambda value: Odd(any=value).insert(),
    "insert_many": lambda value: Odd.insert_many([Odd(any=value)]),
    "insert_if_not_exists": lambda value: Odd.insert_if_not_exists(Odd(any=value), {"name": ""}),
    "insert_recursive": lambda value: Holder(odd=Odd(any=value)).insert_recursive(),
    "save": saved,
    "save(upsert=True)": lambda value: Odd(any=value).save(upsert=True),
    "save_many": saved_with_others,
    "a cascade": saved_by_cascade,
    "InsertOne": lambda value: Odd.bulk_write([InsertOne(Odd(any=value))]),
    "ReplaceOne": on_a_stored_one(lambda value: Odd.bulk_write([ReplaceOne({}, Odd(any=value))])),
    "UpdateOne": on_a_stored_one(
        lambda value: Odd.bulk_write([UpdateOne({}, {"$set": {"any": value}})])
    ),
    "update_one": on_a_stored_one(lambda value: Odd.update_one({}, {"$set": {"any": value}})),
    "find_one_and_update": on_a_stored_one(
        lambda value: Odd.find_one_and_update({}, {"$set": {"any": value}})
    ),
    "find_one_and_replace": on_a_stored_one(
        lambda value: Odd.find_one_and_replace({}, Odd(any=value))
    ),
}

UTC = dt.UTC
EARLY, LATE = (dt.timezone(dt.timedelta(hours=hours)) for hours in (14, -12))
STORED: Mapping[str, Any] = {
    "a key with a dot": {"a.b": 1},
    "a key with a dollar": {"$a": 1},
    "operators inside": {"x": [{"$set": {"a.b": 1}}]},
    "an empty key": {"": 1},
    "text with NUL": "a\0b",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "the largest integer": 2**63 - 1,
    "the smallest integer": -(2**63),
    "a Decimal that is not a number": Decimal("NaN"),
    "a large Decimal": Decimal("1e400"),
    "year 1": dt.datetime(1, 1, 1, tzinfo=UTC),
    "year 9999": dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
}
REFUSED: Mapping[str, Any] = {
    "a key with NUL": {"a\0b": 1},
    "a lone surrogate": "\ud800",
    "a key of a lone surrogate": {"\ud800": 1},
    "an integer beyond 64 bits": 2**63,
    "a negative integer beyond 64 bits": -(2**63) - 1,
    "an integer beyond 64 bits inside": {"a": [2**70]},
    "a Decimal beyond Decimal128": Decimal("1e7000"),
    "before year 1 in UTC": dt.datetime.min.replace(tzinfo=EARLY),
    "after year 9999 in UTC": dt.datetime.max.replace(tzinfo=LATE),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_what_bson_can_hold_comes_back_equal(
    bind: Bind, write: Callable[[Any], Awaitable[Any]]
) -> None:
    await bind(Odd, Holder)
    for name, value in STORED.items():
        await Odd.delete_many({})
        await write(value)
        (found,) = await Odd.find_all()
        assert alike(found.any, value) or repr(found.any) == repr(value), name  # NaN equals nothing


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_what_bson_cannot_hold_is_refused_by_every_write_with_its_field(
    bind: Bind, write: Callable[[Any], Awaitable[Any]]
) -> None:
    await bind(Odd, Holder)
    for name, value in REFUSED.items():
        await Odd.delete_many({})
        with pytest.raises(EncodingError, match=r"Odd(: an update: \$set)?\.any") as caught:
            await write(value)
        assert caught.value.outcome == "not_applied", name
        assert [each.any for each in await Odd.find_all()] in ([], [None]), name


@pytest.mark.parametrize("name", REFUSED)
async def test_a_filter_by_what_bson_cannot_hold_names_the_field(bind: Bind, name: str) -> None:
    await bind(Odd)
    with pytest.raises(EncodingError, match=r"Odd: a filter: \$or\[0\]\.any"):
        await Odd.find_all({"$or": [{"any": REFUSED[name]}]})


@pytest.mark.parametrize("name", STORED)
async def test_a_store_takes_it_too(bind: Bind, name: str) -> None:
    await bind(Store)
    await Store.set("k", STORED[name])
    found = await Store.get("k")
    assert alike(found, STORED[name]) or repr(found) == repr(STORED[name])


class Listed(MongoDocument):
    tags: list[str] = []


@pytest.mark.parametrize(
    "given", [(n for n in "a"), iter("a"), {"a": 1}, "a", b"a", 5], ids=lambda it: type(it).__name__
)
async def test_what_is_not_a_list_is_refused_where_a_list_is_expected(
    bind: Bind, given: Any
) -> None:
    await bind(Listed)
    stored = await Listed().insert()
    stored.tags = given
    wrong = Listed(tags=given)
    for write in (
        wrong.insert,
        stored.save,
        lambda: Listed.insert_many([wrong]),
        lambda: Listed.save_many([stored]),
        lambda: Listed.bulk_write([InsertOne(wrong)]),
        lambda: Listed.find_one_and_replace({}, wrong),
    ):
        with pytest.raises((DocumentValidationError, EncodingError), match=r"Listed.*tags"):
            await write()
    assert [each.tags for each in await Listed.find_all()] == [[]]


async def test_a_set_or_a_tuple_in_a_list_field_is_stored_as_a_list(bind: Bind) -> None:
    await bind(Listed)
    given: list[Any] = [{"a"}, ("a",), frozenset("a")]
    await Listed.insert_many([Listed(tags=each) for each in given])
    assert [each.tags for each in await Listed.find_all()] == [["a"], ["a"], ["a"]]


async def test_a_document_of_16_mb_is_stored_and_one_of_a_byte_more_is_refused(bind: Bind) -> None:
    await bind(Odd)
    odd = await Odd(any="").insert()
    room = MAX_DOCUMENT_BYTES - len(await _bson(odd))
    largest, too_large = "x" * room, "x" * (room + 1)
    stored = await Odd(any=largest).insert()
    for write in (Odd(any=too_large).insert, lambda: Odd.insert_many([Odd(any=too_large)])):
        with pytest.raises(EncodingError, match=r"Odd of _id=.*16,777,217 bytes.*16,777,216"):
            await write()
    assert len((await Odd.get_by_id(stored._id)).any) == room
    assert await Odd.count() == 2


async def _bson(odd: Odd) -> bytes:
    """What is stored of it, as BSON."""
    found = await Odd.get_collection().find_one({"_id": odd._id})
    assert found is not None
    return bson.encode(found)
