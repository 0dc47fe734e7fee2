"""What an upsert by operators inserts: its filter, its update, and the defaults of the class."""

import datetime as dt
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from pymongo import UpdateMany, UpdateOne

from mongospec_core import DocumentValidationError, MongoDocument, MongospecError, OptionError
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Address(msgspec.Struct):
    city: str
    street: str
    floor: int = 0


class Counter(MongoDocument):
    name: str
    downloads: int = 0
    state: str = "new"
    created_at: dt.datetime = msgspec.field(
        default_factory=lambda: dt.datetime.now(dt.UTC), name="createdAt"
    )
    tags: list[str] = []
    seen: int | msgspec.UnsetType = msgspec.UNSET
    address: Address | None = None


type Upsert = Callable[..., Awaitable[Any]]

BY_UPSERT: dict[str, Upsert] = {
    "update_one": lambda f, u, **o: Counter.update_one(f, u, upsert=True, **o),
    "update_many": lambda f, u, **o: Counter.update_many(f, u, upsert=True, **o),
    "find_one_and_update": lambda f, u, **o: Counter.find_one_and_update(f, u, upsert=True, **o),
    "bulk UpdateOne": lambda f, u, **o: Counter.bulk_write([UpdateOne(f, u, upsert=True)], **o),
    "bulk UpdateMany": lambda f, u, **o: Counter.bulk_write([UpdateMany(f, u, upsert=True)], **o),
}


async def stored() -> dict[str, Any]:
    (raw,) = await (await Counter.get_collection().find({})).to_list()
    return dict(raw)


@pytest.mark.parametrize("upsert", BY_UPSERT.values(), ids=BY_UPSERT)
async def test_an_upsert_stores_the_defaults_of_the_class_once(bind: Bind, upsert: Upsert) -> None:
    await bind(Counter)
    for _ in range(2):
        await upsert({"name": "a"}, {"$inc": {"downloads": 1}})
    raw = await stored()
    assert raw.keys() == {"_id", "name", "downloads", "state", "createdAt", "tags", "address"}
    assert (raw["downloads"], raw["state"], raw["tags"], raw["address"]) == (2, "new", [], None)
    first, second = await Counter.get_one(), await Counter.get_one()
    assert first == second
    assert await Counter.count({"createdAt": first.created_at}) == 1


@pytest.mark.parametrize("upsert", BY_UPSERT.values(), ids=BY_UPSERT)
async def test_defaults_stay_out_if_they_are_not_wanted(bind: Bind, upsert: Upsert) -> None:
    await bind(Counter)
    await upsert({"name": "a"}, {"$inc": {"downloads": 1}}, on_insert=False)
    assert (await stored()).keys() == {"_id", "name", "downloads"}


@pytest.mark.parametrize("upsert", BY_UPSERT.values(), ids=BY_UPSERT)
async def test_a_required_field_that_nobody_says_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, upsert: Upsert
) -> None:
    await bind(Counter)
    with mongo_proxy.recording() as seen, pytest.raises(DocumentValidationError) as caught:
        await upsert({"state": "old"}, {"$inc": {"downloads": 1}})
    assert seen == []
    assert (caught.value.path, caught.value.outcome) == ("name", "not_applied")
    assert "$setOnInsert" in str(caught.value)
    with suppress(DocumentValidationError):  # of the read of what it returns
        await upsert({"state": "old"}, {"$inc": {"downloads": 1}}, check=False)
    assert "name" not in await stored()


async def test_update_by_id_stores_defaults_too(bind: Bind) -> None:
    await bind(Counter)
    result = await Counter.update_by_id(
        "65f0c0ffee65f0c0ffee0001", {"$set": {"name": "a"}}, upsert=True
    )
    assert (await stored())["_id"] == result.upserted_id
    assert (await Counter.get_one()).state == "new"


async def test_what_filter_and_update_say_is_no_default(bind: Bind) -> None:
    await bind(Counter)
    for query, update in (
        ({"name": "a", "state": {"$eq": "old"}}, {"$push": {"tags": "x"}}),
        ({"$and": [{"name": "a"}, {"$or": [{"state": "old"}]}]}, {"$addToSet": {"tags": "x"}}),
        ({"name": "a"}, {"$setOnInsert": {"state": "old"}, "$set": {"tags": ["x"]}}),
    ):
        await Counter.delete_many({})
        await Counter.update_one(query, update, upsert=True)
        raw = await stored()
        assert (raw["state"], raw["tags"]) == ("old", ["x"])
    await Counter.update_one(
        {"name": "b", "downloads": {"$gt": 5}}, {"$pull": {"tags": "x"}}, upsert=True
    )
    other = await Counter.get_one({"name": "b"})
    assert (other.downloads, other.tags) == (0, [])
    assert "tags" not in (await Counter.get_collection().find_one({"name": "b"}) or {})


async def test_a_default_that_the_caller_writes_out_gives_way_to_the_update(bind: Bind) -> None:
    await bind(Counter)
    written = Counter(name="b").dump()
    await Counter.update_one(
        {"name": "b"}, {"$inc": {"downloads": 3}, "$setOnInsert": written}, upsert=True
    )
    assert (await stored())["downloads"] == 3
    await Counter.delete_many({})
    await Counter.update_one(
        {"name": "b"},
        {
            "$set": {"address.city": "Rome", "address.street": "x"},
            "$push": {"tags": "new"},
            "$setOnInsert": written,
        },
        upsert=True,
    )
    assert (await Counter.get_one()).address == Address("Rome", "x")
    with pytest.raises(Exception, match="conflict"):  # another value than the default is kept
        await Counter.update_one(
            {"name": "c"}, {"$inc": {"downloads": 1}, "$setOnInsert": {"downloads": 7}}, upsert=True
        )


@pytest.mark.parametrize(
    ("query", "update", "path"),
    [
        ({"name": "a", "downloads": None}, {"$set": {"state": "x"}}, "downloads"),
        ({"name": "a", "tags": "x"}, {"$set": {"state": "x"}}, "tags"),
        ({"name": "a", "address.city": "Rome"}, {"$set": {"state": "x"}}, "address.street"),
        ({"name": "a"}, {"$set": {"address.street": "x"}}, "address.city"),
        ({"name": {"$ne": "a"}}, {"$set": {"state": "x"}}, "name"),
        ({"name": {"$regex": "a"}}, {"$unset": {"tags": ""}}, "name"),
        ({}, {"$rename": {"state": "name"}}, "name"),
    ],
)
async def test_what_no_read_would_take_is_not_inserted(
    bind: Bind, mongo_proxy: FaultProxy, query: dict[str, Any], update: dict[str, Any], path: str
) -> None:
    await bind(Counter)
    with mongo_proxy.recording() as seen, pytest.raises(DocumentValidationError) as caught:
        await Counter.update_one(query, update, upsert=True)
    assert (seen, caught.value.path) == ([], path)


async def test_what_the_filter_stores_is_judged_as_it_is_stored(bind: Bind) -> None:
    class Shift(MongoDocument):
        wall: Annotated[dt.datetime, msgspec.Meta(tz=False)]
        took: dt.timedelta
        day: dt.date
        price: Decimal
        number: int = 0

    values = {
        "wall": dt.datetime(2026, 1, 1, 5),
        "took": dt.timedelta(minutes=5),
        "day": dt.date(2026, 1, 1),
        "price": Decimal("1.5"),
    }
    await bind(Shift)
    await Shift.update_one(values, {"$inc": {"number": 1}}, upsert=True)
    made = await Shift.get_one(values)
    assert made == Shift(_id=made._id, **values, number=1)


async def test_whole_paths_into_a_document_make_it(bind: Bind) -> None:
    await bind(Counter)
    await Counter.update_one(
        {"name": "a", "address.city": "Rome"}, {"$set": {"address.street": "x"}}, upsert=True
    )
    assert (await Counter.get_one()).address == Address("Rome", "x")


async def test_a_filter_that_the_hook_scopes_is_stored_not_the_default(bind: Bind) -> None:
    class Scoped(MongoDocument):
        tenant: str = "nobody"
        name: str = ""

        @classmethod
        def __pre_find__(cls, query: dict[str, Any]) -> dict[str, Any]:
            return {**query, "tenant": "acme"}

    await bind(Scoped)
    await Scoped.update_one({"name": "a"}, {"$set": {"name": "a"}}, upsert=True)
    assert (await Scoped.get_one()).tenant == "acme"


async def test_an_id_is_the_default_of_the_class_or_refused(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Made(MongoDocument):
        _id: str = msgspec.field(default_factory=lambda: "made")  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
        name: str

    class Numbered(MongoDocument):
        _id: int | None = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
        name: str

    await bind(Made, Numbered)
    await Made.update_one({"name": "a"}, {"$set": {"name": "a"}}, upsert=True)
    assert (await Made.get_one())._id == "made"
    with mongo_proxy.recording() as seen, pytest.raises(DocumentValidationError) as caught:
        await Numbered.update_one({"name": "a"}, {"$set": {"name": "a"}}, upsert=True)
    assert (seen, caught.value.path) == ([], "_id")
    await Numbered.update_one({"_id": 7}, {"$set": {"name": "a"}}, upsert=True)
    assert (await Numbered.get_one())._id == 7


async def test_a_version_begins_at_1_and_omitted_defaults_stay_omitted(bind: Bind) -> None:
    class Short(MongoDocument, version_field="version", omit_defaults=True):
        version: int = 0
        name: str
        state: str = "new"
        made: dt.datetime = msgspec.field(
            default_factory=lambda: dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        )

    await bind(Short)
    await Short.update_one({"name": "a"}, {"$set": {"name": "a"}}, upsert=True)
    raw = await Short.get_collection().find_one({})
    assert raw is not None
    assert raw.keys() == {"_id", "name", "version", "made"}
    assert raw["version"] == 1


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str
    weight: int = 1


class Dog(Animal, tag="dog"):
    breed: str = "mutt"


class Bird(Animal, tag="bird"):
    wings: int


async def test_an_upsert_of_a_family_has_the_defaults_of_the_tag_it_stores(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Animal, Dog, Bird)
    await Animal.update_one({"name": "ant"}, {"$inc": {"weight": 1}}, upsert=True)
    await Dog.update_one({"name": "rex"}, {"$inc": {"weight": 1}}, upsert=True)
    await Animal.update_one({"name": "max", "kind": "dog"}, {"$inc": {"weight": 1}}, upsert=True)
    await Animal.update_one(
        {"name": "pim"}, {"$setOnInsert": {"kind": "bird", "wings": 2}}, upsert=True
    )
    found = await Animal.find_all(sort="name")
    assert found == [
        Animal(_id=found[0]._id, name="ant", weight=1),
        Dog(_id=found[1]._id, name="max", weight=1),
        Bird(_id=found[2]._id, name="pim", wings=2),
        Dog(_id=found[3]._id, name="rex", weight=1),
    ]
    raws = await (await Animal.get_collection().find({"kind": "dog"})).to_list()
    assert [each["breed"] for each in raws] == ["mutt", "mutt"]
    with mongo_proxy.recording() as seen, pytest.raises(DocumentValidationError) as caught:
        await Animal.update_one({"name": "x", "kind": "bird"}, {"$inc": {"weight": 1}}, upsert=True)
    assert (seen, caught.value.path) == ([], "wings")
    await Animal.update_one(
        {"name": "x", "kind": "cat"}, {"$inc": {"weight": 1}}, upsert=True, check=False
    )
    raw = await Animal.get_collection().find_one({"kind": "cat"})
    assert raw is not None
    assert raw.keys() == {"_id", "kind", "name", "weight"}


async def test_a_pipeline_and_a_loose_class_are_left_alone(bind: Bind) -> None:
    class Loose(MongoDocument, check_queries=False):
        name: str
        state: str = "new"

    await bind(Counter, Loose)
    await Counter.update_one({"name": "a"}, [{"$set": {"downloads": 1}}], upsert=True)
    assert (await stored()).keys() == {"_id", "name", "downloads"}
    await Loose.update_one({"other": 1}, {"$set": {"more": 2}}, upsert=True)
    raw = await Loose.get_collection().find_one({})
    assert raw is not None
    assert raw.keys() == {"_id", "other", "more", "state"}


async def test_set_on_insert_of_no_fields_is_left_to_the_server(bind: Bind) -> None:
    await bind(Counter)
    with suppress(MongospecError):
        await Counter.update_one({"name": "a"}, {"$setOnInsert": [1]}, upsert=True)
    assert await Counter.count({"state": "new"}) == 0


async def test_operations_that_insert_nothing_of_the_kind_do_not_take_on_insert(bind: Bind) -> None:
    await bind(Counter)
    acts: list[Callable[..., Awaitable[Any]]] = [
        lambda **o: Counter.find_one({}, **o),
        lambda **o: Counter.insert_if_not_exists(Counter(name="a"), {"name": "a"}, **o),
        lambda **o: Counter.find_one_and_replace({}, Counter(name="a"), **o),
    ]
    for act in acts:
        with pytest.raises(OptionError, match="on_insert"):
            await act(on_insert=False)
