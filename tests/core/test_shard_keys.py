"""__shard_key__: a write of a document reaches one shard."""

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest
from bson import ObjectId
from pymongo import ReplaceOne

from mongospec_core import (
    BulkWriteError,
    DefinitionError,
    DocumentNotFoundError,
    MongoDocument,
    OperationError,
    changes,
    transaction,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.core.test_versions import updates


class Address(msgspec.Struct):
    country: str | None = None
    city: str = ""


class Order(MongoDocument):
    __shard_key__ = ("tenant", "_id")

    tenant: str
    total: int = 0


class Parcel(MongoDocument, version_field="version", rename={"address": "to"}):
    """A path into a part, and a version."""

    __shard_key__ = ("to.country",)

    address: Address = msgspec.field(default_factory=Address)
    weight: int = 0
    version: int = 0


# -- the values that are stored


async def test_every_write_of_a_document_names_its_shard_key(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one = await Order(tenant="a").insert()
    own = {"_id": one.id, "tenant": "a"}
    with mongo_proxy.recording() as seen:
        one.total = 1
        await one.save()
        one.total = 2
        await Order.save_many([one])
        one.total = 3
        await Order.find_one_and_replace({"total": 2}, one)
        one.total = 4
        await Order.bulk_write([ReplaceOne({"_id": one.id}, one)])
        await one.delete()
    assert [each for each, _ in updates(seen)] == [own, own, own]
    assert seen[2].body["query"] == {"total": 2} | own
    assert seen[4].body["deletes"][0]["q"] == own
    assert await stored(Order) == []


async def test_upserts_name_the_shard_key(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Order)
    with mongo_proxy.recording() as seen:
        new = await Order(tenant="a").save(upsert=True)
        other = Order(_id=ObjectId(), tenant="b")
        assert await Order.insert_if_not_exists(other) is other
        assert await Order.insert_if_not_exists(other) is None
        third = Order(_id=ObjectId(), tenant="c")
        await Order.find_one_and_replace({"_id": third.id}, third, upsert=True)
    assert [each for each, _ in updates(seen)] == [
        {"_id": new.id, "tenant": "a"},
        {"_id": other.id, "tenant": "b"},
        {"_id": other.id, "tenant": "b"},
    ]
    assert seen[-1].body["query"] == {"_id": third.id, "tenant": "c"}
    assert [each["tenant"] for each in await stored(Order)] == ["a", "b", "c"]


async def test_a_document_whose_content_is_not_known_says_its_own_values(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one = await Order(tenant="a").insert()
    by_hand = Order(_id=one.id, tenant="a", total=5)
    with mongo_proxy.recording() as seen:
        await by_hand.save()
    assert updates(seen)[0][0] == {"_id": one.id, "tenant": "a"}
    with pytest.raises(DocumentNotFoundError, match=r"and tenant='b' is not in the collection"):
        await Order(_id=one.id, tenant="b").save()


async def test_a_path_into_a_part_and_a_missing_value(bind: Bind, mongo_proxy: FaultProxy) -> None:
    """MongoDB takes a missing value for null, in the key and in the filter."""
    db = await bind(Parcel)
    one = await Parcel(address=Address(country="it")).insert()
    bare: Any = await db["Parcel"].insert_one({"weight": 1})
    two = await Parcel.get_by_id(
        bare["inserted_id"] if isinstance(bare, dict) else bare.inserted_id
    )
    with mongo_proxy.recording() as seen:
        one.weight = two.weight = 2
        await one.save()
        await two.save()
    versions = {"version": {"$in": [0, None]}}
    assert [each for each, _ in updates(seen)] == [
        {"_id": one.id, "to.country": "it"} | versions,
        {"_id": two.id, "to.country": None} | versions,
    ]
    assert {each["weight"] for each in await stored(Parcel)} == {2}


# -- a change of a value: by itself, in a retryable write or a transaction, by the old value


async def test_a_change_of_the_shard_key_is_sent_by_itself(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one, two, three = [await Order(tenant="a").insert() for _ in range(3)]
    for each in (one, two, three):
        each.total = 1
    two.tenant = "b"
    with mongo_proxy.recording() as seen:
        result = await Order.save_many([one, two, three])
    sent = [command.body["updates"] for command in seen]
    assert [[each["q"]["_id"] for each in batch] for batch in sent] == [
        [one.id],
        [two.id],
        [three.id],
    ]
    assert sent[1][0]["q"] == {"_id": two.id, "tenant": "a"}
    assert sent[1][0]["u"] == {"$set": {"tenant": "b", "total": 1}}
    assert not sent[1][0].get("multi")
    # The driver numbers what it may send again; MongoDB asks for that outside of transactions.
    assert ["txnNumber" in command.body for command in seen] == [False, True, False]
    assert (result.matched_count, result.modified_count) == (3, 3)
    assert [each["tenant"] for each in await stored(Order)] == ["a", "b", "a"]
    assert all(changes(each) == {} for each in (one, two, three))

    with mongo_proxy.recording() as seen:
        two.tenant = "c"
        await two.save()
        two.tenant = "d"
        await Order.find_one_and_replace({"_id": two.id}, two)
        two.tenant = "e"
        await Order.bulk_write([ReplaceOne({"_id": two.id}, two), ReplaceOne({"_id": one.id}, one)])
    assert ["txnNumber" in command.body for command in seen] == [True, True, True, False]
    assert [each["tenant"] for each, _ in updates(seen)] == ["b", "d", "a"]
    assert seen[1].body["query"] == {"_id": two.id, "tenant": "c"}
    assert (await Order.get_by_id(two.id)).tenant == "e"


async def test_a_change_of_the_shard_key_in_a_transaction(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one, two = [await Order(tenant="a").insert() for _ in range(2)]
    with mongo_proxy.recording() as seen:
        async with transaction():
            one.tenant, two.total = "b", 1
            await Order.save_many([one, two])
    sent = [command for command in seen if command.name == "update"]
    assert [len(command.body["updates"]) for command in sent] == [1, 1]
    assert all(command.body["autocommit"] is False for command in sent)
    assert [each["tenant"] for each in await stored(Order)] == ["b", "a"]


async def test_a_change_that_finds_nothing_is_told_and_the_others_are_saved(bind: Bind) -> None:
    await bind(Order)
    moved, gone, one = [await Order(tenant="a").insert() for _ in range(3)]
    await Order.update_by_id(moved.id, {"$set": {"tenant": "x"}})
    await Order.delete_by_id(gone.id)
    moved.tenant, gone.tenant, one.total = "b", "b", 1
    with pytest.raises(BulkWriteError) as caught:
        await Order.save_many([moved, gone, one])
    assert [each.index for each in caught.value.failures] == [0, 1]
    assert "tenant='a' is not in the collection" in caught.value.failures[0].message
    assert caught.value.outcome == "partial"
    assert [(each["tenant"], each["total"]) for each in await stored(Order)] == [("x", 0), ("a", 1)]
    assert changes(one) == {}
    assert changes(moved) == {"tenant": "b"}


async def test_an_error_of_a_change_that_is_sent_by_itself_is_noted(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one, two = [await Order(tenant="a").insert() for _ in range(2)]
    one.tenant, two.total = "b", 1
    with mongo_proxy.fail("update", 13, times=1), pytest.raises(BulkWriteError) as caught:
        await Order.save_many([one, two])
    assert [(each.index, each.code) for each in caught.value.failures] == [(0, 13)]
    assert (await Order.get_by_id(two.id)).total == 1
    with mongo_proxy.cut("update", at="reply"), pytest.raises(BulkWriteError) as caught:
        await Order.save_many([one])
    assert caught.value.unknown == [one]
    one.tenant = "c"
    with (
        mongo_proxy.write_concern_error("update", 64),
        pytest.raises(OperationError) as concern,
    ):
        await Order(_id=one.id, tenant="b").save()
    assert concern.value.outcome == "applied"


async def test_a_change_that_is_sent_by_itself_and_cancelled_is_known(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one, two = [await Order(tenant="a").insert() for _ in range(2)]
    one.tenant, two.total = "b", 1
    with mongo_proxy.delay("update", 0.1) as delayed:
        task = asyncio.create_task(Order.save_many([one, two]))
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (changes(one), changes(two)) == ({}, {"total": 1})
    assert [each["tenant"] for each in await stored(Order)] == ["b", "a"]


async def test_an_ordered_bulk_stops_at_a_replacement_that_fails(bind: Bind) -> None:
    class Unique(Order):
        __collection_name__ = "unique_orders"
        __indexes__: ClassVar = [{"key": {"total": 1}, "unique": True}]

    await bind(Unique)
    one, two = (
        await Unique(tenant="a", total=1).insert(),
        await Unique(tenant="a", total=2).insert(),
    )
    one.tenant, one.total = "b", 2
    two.total = 3
    operations = [ReplaceOne({"_id": each.id}, each) for each in (one, two)]
    with pytest.raises(BulkWriteError) as caught:
        await Unique.bulk_write(operations)
    assert [each.code for each in caught.value.failures] == [11000, None]
    assert caught.value.failures[0].key_pattern == {"total": 1}
    with pytest.raises(BulkWriteError) as caught:
        await Unique.bulk_write(operations[::-1], ordered=False)  # then 2 is free, and it works
        await Unique.bulk_write([ReplaceOne({"_id": one.id}, Unique(tenant="c", total=3))])
    assert [each.code for each in caught.value.failures] == [11000]
    assert [(each["tenant"], each["total"]) for each in await stored(Unique)] == [
        ("b", 2),
        ("a", 3),
    ]


async def test_an_upgraded_document_is_found_by_what_is_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Grown(MongoDocument):
        __shard_key__ = ("tenant",)
        tenant: str

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any], /) -> dict[str, Any]:
            return raw | {"tenant": raw["tenant"].lower()}

    db = await bind(Grown)
    await db["Grown"].insert_one({"tenant": "A"})
    one = await Grown.get_one()
    one.tenant = "b"
    with mongo_proxy.recording() as seen:
        await one.save()
    assert updates(seen) == [({"_id": one.id, "tenant": "A"}, {"$set": {"tenant": "b"}})]


async def test_a_version_is_compared_where_the_shard_key_changes(bind: Bind) -> None:
    await bind(Parcel)
    one = await Parcel(address=Address(country="it")).insert()
    stale = await Parcel.get_by_id(one.id)
    one.address.country = "fr"
    await Parcel.save_many([one])
    assert one.version == 1
    stale.address.country = "de"
    with pytest.raises(BulkWriteError) as caught:
        await Parcel.save_many([stale])
    assert caught.value.failures[0].expected == 0
    assert (await Parcel.get_by_id(one.id)).address.country == "fr"


# -- definitions


async def test_names_that_are_not_stored_are_refused_at_init(bind: Bind) -> None:
    class Unknown(MongoDocument):
        __shard_key__ = ("tennant",)
        tenant: str

    class PythonName(MongoDocument, rename="camel"):
        __shard_key__ = ("tenant_id",)
        tenant_id: str

    class Inner(msgspec.Struct, rename="camel"):
        post_code: str

    class Nested(MongoDocument):
        __shard_key__ = ("inner.post_code",)
        inner: Inner

    for cls, said in (
        (Unknown, r"no document has the field 'tennant'.* _id, tenant"),
        (PythonName, r"no document has the field 'tenant_id'.* tenantId"),
        (Nested, r"no document has the field 'inner.post_code'.* inner.postCode"),
    ):
        with pytest.raises(DefinitionError, match=rf"{cls.__name__}.__shard_key__.*{said}"):
            await bind(cls)


@pytest.mark.parametrize(
    ("wrong", "said"), [("tenant", r"write \('tenant',\)"), (5, "= 5 is not a")]
)
def test_a_shard_key_that_is_no_tuple_is_refused_with_the_class(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=f"Text.__shard_key__.*{said}"):

        class Text(MongoDocument):
            __shard_key__ = wrong
            tenant: str


async def test_a_change_of_the_shard_key_that_may_not_have_arrived_needs_a_reload(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Order)
    one = await Order(tenant="a").insert()
    one.tenant = "b"
    with mongo_proxy.cut("update"), pytest.raises(OperationError) as told:
        await one.save()
    assert told.value.outcome == "unknown"
    with pytest.raises(DocumentNotFoundError, match="tenant='b' is not in the collection"):
        await one.save()
    await one.reload()
    assert one.tenant == "a"
    one.tenant = "b"
    await one.save()
    assert [each["tenant"] for each in await stored(Order)] == ["b"]


@pytest.mark.parametrize("value", [{"$gt": ""}, {"$ne": None}, {"x": {"$gt": 1}}], ids=repr)
async def test_operators_that_are_stored_in_the_shard_key_stay_values(
    bind: Bind, mongo_proxy: FaultProxy, value: dict[str, Any]
) -> None:
    class Loose(MongoDocument):
        __shard_key__ = ("tenant",)

        tenant: Any = None
        total: int = 0

    await bind(Loose)
    await Loose.get_collection().insert_one({"tenant": value, "total": 0})
    one = await Loose.get_one({})
    one.total = 1
    with mongo_proxy.recording() as seen:
        await one.save()
        await one.delete()
    assert [query["tenant"] for query, _ in updates(seen)] == [{"$eq": value}]
    assert await stored(Loose) == []
