"""version_field=: a write of a document that somebody changed meanwhile is refused."""

import asyncio
import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from bson import ObjectId
from pymongo import InsertOne, ReplaceOne, UpdateMany, UpdateOne

from mongospec_core import (
    BulkWriteError,
    DefinitionError,
    DocumentNotFoundError,
    DuplicateKeyError,
    EncodingError,
    MongoDocument,
    MongospecError,
    OperationError,
    OptionError,
    StaleDocumentError,
    changes,
    init,
    transaction,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class Product(MongoDocument, version_field="version"):
    name: str = ""
    stock: int = 0
    tags: list[str] = []
    version: int = 0


class Renamed(MongoDocument, version_field="revision", rename="camel", omit_defaults=True):
    """Its version is stored under another name, and not at all while it is 0."""

    full_name: str = ""
    revision: int = msgspec.field(default=0, name="_rev")


async def two(cls: Any = Product, **fields: Any) -> tuple[Any, Any]:
    """One stored document, read twice."""
    made = await cls(**fields).insert()
    return await cls.get_by_id(made.id), await cls.get_by_id(made.id)


async def the_only[D: MongoDocument](cls: type[D]) -> dict[str, Any]:
    (raw,) = await stored(cls)
    return dict(raw)


def updates(seen: list[Any]) -> list[tuple[Any, Any]]:
    return [
        (each["q"], each["u"])
        for command in seen
        if command.name == "update"
        for each in command.body["updates"]
    ]


# -- save


async def test_a_save_sends_the_version_that_was_read_and_raises_it(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    with mongo_proxy.recording() as seen:
        one.name = "b"
        await one.save()
        one.stock = 5
        await one.save()
    assert updates(seen) == [
        ({"_id": one.id, "version": {"$in": [0, None]}}, {"$set": {"name": "b", "version": 1}}),
        ({"_id": one.id, "version": 1}, {"$set": {"stock": 5, "version": 2}}),
    ]
    assert one.version == 2
    assert changes(one) == {}
    assert await Product.find_all() == [one]


async def test_the_second_of_two_writers_is_told(bind: Bind) -> None:
    await bind(Product)
    mine, theirs = await two(stock=5)
    theirs.stock -= 1
    await theirs.save()
    mine.stock -= 1
    with pytest.raises(StaleDocumentError, match=r"its version is not 0 any more") as caught:
        await mine.save()
    assert caught.value.document is mine
    assert caught.value.expected == 0
    assert caught.value.outcome == "not_applied"
    assert (await the_only(Product))["stock"] == 4
    assert (mine.version, changes(mine)) == (0, {"stock": 4})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.expected, again.document, str(again)) == (0, mine, str(caught.value))
    await mine.reload()
    mine.stock -= 1
    await mine.save()
    assert (mine.stock, mine.version) == (3, 2)


async def test_a_save_without_changes_sends_nothing_and_leaves_the_version(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    with mongo_proxy.recording() as seen:
        await mine.save()
        await Product.save_many([mine])
    assert seen == []
    assert mine.version == 0
    await mine.save(upsert=True)  # it is there, whatever its version is
    assert (await the_only(Product))["version"] == 1
    assert mine.version == 0


async def test_a_document_that_is_gone_is_not_stale(bind: Bind) -> None:
    await bind(Product)
    one = await Product().insert()
    await Product.delete_by_id(one.id)
    one.stock = 1
    with pytest.raises(DocumentNotFoundError):
        await one.save()
    with pytest.raises(BulkWriteError, match="is not in the collection") as caught:
        await Product.save_many([one])
    assert not isinstance(caught.value, StaleDocumentError)
    assert caught.value.failures[0].expected is None
    assert await stored(Product) == []
    assert one.version == 0


async def test_a_duplicate_key_is_not_stale(bind: Bind) -> None:
    class Unique(MongoDocument, version_field="version"):
        __indexes__ = [{"key": {"name": 1}, "unique": True}]

        name: str
        version: int = 0

    await bind(Unique)
    await Unique(name="a").insert()
    two = await Unique(name="b").insert()
    two.name = "a"
    for upsert in (False, True):
        with pytest.raises(DuplicateKeyError):
            await two.save(upsert=upsert)
    with pytest.raises(BulkWriteError) as caught:
        await Unique.save_many([two])
    assert not isinstance(caught.value, StaleDocumentError)
    assert (caught.value.failures[0].code, caught.value.failures[0].expected) == (11000, None)
    assert two.version == 0


async def test_an_upsert_of_a_new_document_inserts_it(bind: Bind) -> None:
    await bind(Product)
    one = await Product(name="a").save(upsert=True)
    assert (await the_only(Product)) == {"_id": one.id, **one.dump()}
    one.stock = 1
    await one.save()
    assert await Product.find_all() == [one]


async def test_an_upsert_overwrites_nothing_that_was_not_read(bind: Bind) -> None:
    await bind(Product)
    mine, theirs = await two(stock=5)
    theirs.stock = 1
    await theirs.save()
    mine.name = "b"
    with pytest.raises(StaleDocumentError):
        await mine.save(upsert=True)
    with pytest.raises(StaleDocumentError):
        await Product(_id=mine.id, name="by hand").save(upsert=True)
    assert (await the_only(Product))["name"] == ""
    await Product.delete_by_id(mine.id)
    await mine.save(upsert=True)
    assert await Product.find_all() == [mine]


async def test_a_document_built_by_hand_says_its_version_itself(bind: Bind) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    one.stock = 1
    await one.save()
    body = b'{"_id": "%s", "name": "b", "stock": 1, "version": %d}'
    old, new = (
        Product.load(msgspec.json.decode(body % (str(one.id).encode(), version)) | {"_id": one.id})
        for version in (0, 1)
    )
    with pytest.raises(StaleDocumentError):
        await old.save()
    await new.save()
    assert (new.version, (await the_only(Product))["name"]) == (2, "b")


async def test_a_document_from_before_the_versions_counts_as_0(bind: Bind) -> None:
    db = await bind(Product)
    await db["Product"].insert_one({"name": "old", "stock": 1, "tags": []})
    mine = await Product.get_one()
    theirs = await Product.get_one()
    by_hand = Product(_id=mine.id, name="by hand")
    assert mine.version == 0
    theirs.stock = 2
    await theirs.save()
    assert (await the_only(Product))["version"] == 1
    for each in (mine, by_hand):
        each.stock = 3
        with pytest.raises(StaleDocumentError):
            await each.save()


async def test_an_upgrade_may_add_the_version(bind: Bind) -> None:
    class Grown(MongoDocument, version_field="version"):
        name: str
        version: int = 0

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any], /) -> dict[str, Any]:
            return {"name": raw.pop("title", None), "version": 0} | raw

    db = await bind(Grown)
    await db["Grown"].insert_one({"title": "a"})
    one, other = await Grown.get_one(), await Grown.get_one()
    await one.save()  # nothing changed
    one.name = "b"
    await one.save()
    assert await stored(Grown) == [{"_id": one.id, "name": "b", "version": 1}]
    other.name = "c"
    with pytest.raises(StaleDocumentError):
        await other.save()


async def test_a_version_may_be_stored_under_another_name(bind: Bind) -> None:
    await bind(Renamed)
    mine, theirs = await two(Renamed, full_name="a")
    assert "_rev" not in await the_only(Renamed)
    theirs.full_name = "b"
    await theirs.save()
    assert theirs.revision == (await the_only(Renamed))["_rev"] == 1
    mine.full_name = "c"
    for write in (mine.save(), mine.delete(), Renamed.save_many([mine])):
        with pytest.raises(StaleDocumentError, match="its revision is not 0"):
            await write
    await Renamed.update_one({}, {"$set": {"fullName": "d"}})
    assert (await the_only(Renamed))["_rev"] == 2


async def test_copies_know_the_version(bind: Bind) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    one.stock = 1
    await one.save()
    copies: list[Callable[[Product], Product]] = [
        copy.copy,
        copy.deepcopy,
        lambda each: pickle.loads(pickle.dumps(each)),
    ]
    for copied in copies:
        twin = copied(one)
        twin.stock += 1
        await twin.save()
        with pytest.raises(StaleDocumentError):
            one.stock = 9
            await one.save()
        await one.reload()


async def test_two_saves_of_one_object_at_once_do_not_both_count(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product().insert()
    one.stock = 1
    # Held: a reply that is there at once ends the first save before the second one begins, which
    # then has nothing to send.
    with mongo_proxy.delay("update", 0.1), mongo_proxy.recording() as seen:
        done = await asyncio.gather(one.save(), one.save(), return_exceptions=True)
    assert len(updates(seen)) == 2
    assert sorted(type(each).__name__ for each in done) == ["Product", "StaleDocumentError"]
    assert one.version == (await the_only(Product))["version"] == 1
    one.stock = 2
    await one.save()


async def test_a_version_that_was_changed_by_hand_is_the_one_that_is_expected(bind: Bind) -> None:
    """What a client of a web service had read, for example."""
    await bind(Product)
    one = await Product().insert()
    one.stock = 1
    await one.save()
    (read,) = await Product.find_all()
    read.version, read.stock = 0, 2
    assert changes(read) == {"stock": 2}
    with pytest.raises(StaleDocumentError) as caught:
        await read.save()
    assert caught.value.expected == 0
    read.version = 1
    await read.save()
    assert read.version == 2


async def _save(one: Any) -> None:
    await one.save()


async def _upsert(one: Any) -> None:
    await one.save(upsert=True)


async def _save_many(one: Any) -> None:
    await type(one).save_many([one])


async def _delete(one: Any) -> None:
    await one.delete()


async def _replace(one: Any) -> None:
    await type(one).find_one_and_replace({"_id": one.id}, one)


@pytest.mark.parametrize("write", [_save, _upsert, _save_many, _delete, _replace])
@pytest.mark.parametrize("seen", [0, 77])
@pytest.mark.parametrize("cls", [Product, Renamed])
async def test_a_version_that_was_set_is_compared_if_nothing_else_was_changed(
    bind: Bind, write: Callable[[Any], Any], seen: int, cls: Any
) -> None:
    await bind(cls)
    one = await cls().insert()
    await cls.update_by_id(one.id, {"$set": {"stock": 1} if cls is Product else {"fullName": "a"}})
    read, before = await cls.get_by_id(one.id), await the_only(cls)
    setattr(read, cls.__version_field__, seen)
    with pytest.raises((StaleDocumentError, BulkWriteError)) as caught:
        await write(read)
    error = caught.value
    failures = error.failures if isinstance(error, BulkWriteError) else [error]
    assert [each.expected for each in failures] == [seen]
    assert error.outcome == "not_applied"
    assert await the_only(cls) == before


async def test_a_version_that_was_set_to_the_stored_one_is_written(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    mine.version = 1
    with mongo_proxy.recording() as seen:
        await mine.save()
        await mine.save()
    assert updates(seen) == [({"_id": mine.id, "version": 1}, {"$set": {"version": 2}})]
    assert (mine.version, (await the_only(Product))["stock"]) == (2, 1)


async def test_an_upsert_of_an_unchanged_document_accepts_any_version(bind: Bind) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    await mine.save(upsert=True)
    stored_ = await the_only(Product)
    assert (stored_["stock"], stored_["version"]) == (1, 1)


async def test_a_frozen_document_is_raised_as_well(bind: Bind) -> None:
    class Ice(MongoDocument, version_field="version", frozen=True):
        name: str = ""
        version: int = 0

    await bind(Ice)
    one = await Ice(name="a").insert()
    two = copy.replace(one, name="b")
    await two.save()
    assert two.version == 1
    with pytest.raises(StaleDocumentError):
        await copy.replace(one, name="c").save()


# -- save_many


async def test_save_many_names_the_stale_ones_and_saves_the_others(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    many = [await Product(name=name).insert() for name in "abcd"]
    await Product.update_by_id(many[1].id, {"$inc": {"stock": 5}})
    for _ in range(2):
        await Product.update_by_id(many[2].id, {"$set": {"stock": 7}})
    await Product.delete_by_id(many[3].id)
    for each in many:
        each.stock = 7
    with mongo_proxy.recording() as seen, pytest.raises(BulkWriteError) as caught:
        await Product.save_many(many)
    assert [command.name for command in seen] == ["update", "find"]
    error = caught.value
    assert isinstance(error, StaleDocumentError)
    assert (error.document, error.expected, error.outcome) == (many[1], 0, "partial")
    assert [(each.index, each.expected) for each in error.failures] == [(1, 0), (2, 0), (3, None)]
    assert [each.document for each in error.failures] == many[1:]
    assert error.results.matched_count == 1
    assert [(each["stock"], each["version"]) for each in await stored(Product)] == [
        (7, 1),
        (5, 1),
        (7, 2),
    ]
    assert [each.version for each in many] == [1, 0, 0, 0]
    assert changes(many[0]) == {}
    assert changes(many[1]) == {"stock": 7}
    await Product.save_many(many[:1])
    assert pickle.loads(pickle.dumps(error)).expected == 0


async def test_save_many_saves_a_document_that_is_listed_twice_once(bind: Bind) -> None:
    await bind(Product)
    one, two = await Product().insert(), await Product().insert()
    one.stock = two.stock = 1
    result = await Product.save_many([one, two, one])
    assert result.matched_count == 2
    assert (one.version, two.version) == (1, 1)


async def test_save_many_is_not_sent_twice(bind: Bind, mongo_proxy: FaultProxy) -> None:
    """The second time would find the version that the first had raised."""
    await bind(Product)
    one = await Product().insert()
    one.stock = 1
    with (
        mongo_proxy.recording() as seen,
        mongo_proxy.cut("update", at="reply", times=1),
        pytest.raises(BulkWriteError) as caught,
    ):
        await Product.save_many([one])
    assert [command.name for command in seen] == ["update"]
    assert caught.value.outcome == "unknown"
    assert not isinstance(caught.value, StaleDocumentError)
    assert (one.version, (await the_only(Product))["version"]) == (0, 1)


async def test_save_many_that_was_cancelled_knows_what_was_written(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one, stale = await Product().insert(), await Product().insert()
    await Product.update_by_id(stale.id, {"$set": {"stock": 5}})
    one.stock = stale.stock = 1
    with mongo_proxy.delay("update", 0.1) as delayed:
        task = asyncio.create_task(Product.save_many([one, stale]))
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (one.version, changes(one)) == (1, {})
    assert (stale.version, changes(stale)) == (0, {"stock": 1})


async def test_save_many_of_a_thousand_is_one_command(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Product)
    await Product.insert_many([Product(stock=n) for n in range(1000)])
    many = await Product.find_all()
    for each in many:
        each.stock += 1
    with mongo_proxy.recording() as seen:
        result = await Product.save_many(many)
    assert [len(command.body["updates"]) for command in seen] == [1000]
    assert (result.matched_count, result.modified_count, result.upserted_ids) == (1000, 1000, {})
    assert await Product.count({"version": 1}) == 1000


async def test_save_many_that_cannot_learn_who_is_gone_says_stale(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one, two = await Product().insert(), await Product().insert()
    await Product.delete_by_id(two.id)
    one.stock = two.stock = 1
    with mongo_proxy.fail("find", 13), pytest.raises(StaleDocumentError) as caught:
        await Product.save_many([one, two])
    assert (caught.value.outcome, caught.value.document) == ("partial", two)
    assert one.version == 1


# -- delete


async def test_a_delete_of_a_changed_document_is_refused(bind: Bind) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    with pytest.raises(StaleDocumentError) as caught:
        await mine.delete()
    assert (caught.value.document, caught.value.expected) == (mine, 0)
    assert len(await stored(Product)) == 1
    mine.stock = 2
    with pytest.raises(StaleDocumentError):  # it is a stored document as before
        await mine.save()
    assert await theirs.delete() == 1
    assert await theirs.delete() == 0
    assert await mine.delete() == 0


@pytest.mark.parametrize("stale", [False, True])
async def test_a_delete_whose_write_concern_failed_says_what_is_so(
    bind: Bind, mongo_proxy: FaultProxy, stale: bool
) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    one = mine if stale else theirs
    with mongo_proxy.write_concern_error("delete", 64), pytest.raises(OperationError) as caught:
        await one.delete()
    assert caught.value.outcome == ("not_applied" if stale else "applied")
    assert len(await stored(Product)) == stale


# -- operators


async def test_every_update_raises_the_version(bind: Bind) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    two = await Product(name="b").insert()
    await Product.update_one({"_id": one.id}, {"$set": {"name": "c"}})
    await Product.update_by_id(one.id, {"$inc": {"stock": 2}})
    await Product.update_by_id(one.id, [{"$set": {"stock": {"$add": ["$stock", 1]}}}])
    await Product.update_many({}, {"$push": {"tags": "t"}})
    read = await Product.find_one_and_update({"_id": two.id}, {"$unset": {"name": ""}})
    assert read is not None
    assert read.version == 2
    await Product.bulk_write(
        [
            UpdateOne({"_id": one.id}, {"$set": {"name": "d"}}),
            UpdateMany({}, [{"$unset": "tags"}]),
            UpdateOne({"name": "e"}, {"$set": {"stock": 0}}, upsert=True),
        ]
    )
    await Product.update_one({"name": "f"}, {"$set": {"stock": 0}}, upsert=True)
    found = {each.name: (each.stock, each.version) for each in await Product.find_all()}
    assert found == {"d": (3, 6), "": (0, 3), "e": (0, 1), "f": (0, 1)}
    for each in (one, two):
        each.stock = 9
        with pytest.raises(StaleDocumentError):
            await each.save()
    read.stock = 9
    with pytest.raises(StaleDocumentError):
        await read.save()


async def test_an_update_hook_may_add_to_an_update_that_raises_the_version(bind: Bind) -> None:
    class Hooked(MongoDocument, version_field="version"):
        changed: int = 0
        name: str = ""
        other: int = 0
        version: int = 0

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update.setdefault("$set", {})["changed"] = 1
            return update

    await bind(Hooked)
    await Hooked().insert()
    given = {"$inc": {"other": 1}}
    await Hooked.update_one({}, given)
    await Hooked.update_one({}, [{"$set": {"name": "b"}}])
    assert given == {"$inc": {"other": 1}}
    assert (await the_only(Hooked)) == {
        "_id": (await the_only(Hooked))["_id"],
        "changed": 1,
        "name": "b",
        "version": 2,
        "other": 1,
    }


@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"version": 5}},
        {"$inc": {"stock": 1, "version": 1}},
        {"$unset": {"version": ""}},
        {"$setOnInsert": {"version": 3}},
        {"$rename": {"version": "old"}},
        {"$rename": {"stock": "version"}},
        [{"$set": {"version": 5}}],
        [{"$set": {"stock": 1}}, {"$addFields": {"version": 1}}],
        [{"$unset": "version"}],
        [{"$unset": ["stock", "version"]}],
        [{"$replaceWith": {"stock": 1}}],
        [{"$project": {"stock": 1}}],
    ],
    ids=str,
)
async def test_an_update_that_writes_the_version_itself_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, update: Any
) -> None:
    await bind(Product)
    await Product().insert()
    with mongo_proxy.recording() as seen:
        for write in (
            Product.update_one({}, update),
            Product.find_one_and_update({}, update),
            Product.bulk_write([UpdateMany({}, update)]),
        ):
            with pytest.raises(OptionError, match=r"Product: .*version"):
                await write
    assert seen == []


async def test_insert_if_not_exists_inserts_as_it_is_and_sees_every_version(bind: Bind) -> None:
    await bind(Product)
    one = Product(_id=ObjectId(), name="a")
    assert await Product.insert_if_not_exists(one) is one
    assert (await the_only(Product))["version"] == 0
    one.stock = 1
    await one.save()
    assert await Product.insert_if_not_exists(Product(_id=one.id)) is None
    assert await Product.insert_if_not_exists(Product(name="a"), {"name": "a"}) is None
    assert (await the_only(Product))["version"] == 1


# -- replacements


async def test_find_one_and_replace_of_a_read_document_compares_and_raises(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    mine, theirs = await two(name="a")
    theirs.name = "b"
    with mongo_proxy.recording() as seen:
        found = await Product.find_one_and_replace({"_id": theirs.id}, theirs)
    assert seen[0].body["query"] == {"_id": theirs.id, "version": {"$in": [0, None]}}
    assert found == theirs
    assert theirs.version == 1
    theirs.stock = 5
    await theirs.save()
    mine.name = "c"
    with pytest.raises(StaleDocumentError) as caught:
        await Product.find_one_and_replace({"_id": mine.id}, mine)
    assert (caught.value.document, caught.value.expected) == (mine, 0)
    with pytest.raises(StaleDocumentError):
        await Product.find_one_and_replace({"_id": mine.id}, mine, upsert=True)
    assert await Product.find_one_and_replace({"name": "other"}, theirs) is None  # by the filter
    assert (await the_only(Product))["version"] == theirs.version == 2
    assert await Product.find_one_and_replace({"name": "b"}, theirs) == theirs
    assert theirs.version == 3


async def test_a_replacement_whose_write_concern_failed_is_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one, stale = await Product().insert(), await Product().insert()
    await Product.update_by_id(stale.id, {"$set": {"stock": 5}})
    one.stock = stale.stock = 1
    operations = [ReplaceOne({"_id": each.id}, each) for each in (one, stale)]
    with mongo_proxy.write_concern_error("update", 64), pytest.raises(BulkWriteError) as caught:
        await Product.bulk_write(operations, ordered=False)
    assert caught.value.outcome == "partial"
    assert [each.index for each in caught.value.failures] == [1]
    assert [each.version for each in (one, stale)] == [1, 0]
    one.stock = 2
    await one.save()


async def test_a_replacement_that_is_upserted_is_raised(bind: Bind) -> None:
    await bind(Product)
    one = Product(_id=ObjectId(), name="a")
    found = await Product.find_one_and_replace({"_id": one.id}, one, upsert=True)
    assert found == one
    one.stock = 5
    await one.save()
    assert await Product.find_all() == [one]


async def test_a_replacement_of_nobody_knows_which_document_is_refused(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    await Product(name="a").insert()
    with mongo_proxy.recording() as seen:
        for write in (
            Product.find_one_and_replace({"name": "a"}, Product(name="b")),
            Product.bulk_write([ReplaceOne({"name": "a"}, Product(name="b"))]),
        ):
            with pytest.raises(OptionError, match="was not read; read it and save"):
                await write
    assert seen == []


async def test_replacements_in_bulk_compare_and_raise(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Product)
    fresh, stale, other = [await Product(name=name).insert() for name in "abc"]
    gone = Product(_id=ObjectId(), name="d")
    made = Product(_id=ObjectId(), name="e")
    await Product.update_by_id(stale.id, {"$set": {"stock": 1}})
    for each in (fresh, stale, other, gone):
        each.name += "!"
    operations = [
        ReplaceOne({"_id": fresh.id}, fresh),
        ReplaceOne({"_id": stale.id}, stale),
        ReplaceOne({"name": "nobody"}, other),
        ReplaceOne({"_id": gone.id}, gone),
        ReplaceOne({"_id": made.id}, made, upsert=True),
        InsertOne(Product(name="f")),
    ]
    with pytest.raises(BulkWriteError) as caught:
        await Product.bulk_write(operations, ordered=False)
    error = caught.value
    assert isinstance(error, StaleDocumentError)
    assert (error.document, error.expected, error.outcome) == (stale, 0, "partial")
    assert [(each.index, each.expected) for each in error.failures] == [(1, 0)]
    assert error.results.matched_count == 1
    assert error.results.upserted_ids == {4: made.id}
    assert [each.version for each in (fresh, stale, other, gone, made)] == [1, 0, 0, 0, 1]
    found = {each.name: each.version for each in await Product.find_all()}
    assert found == {"a!": 1, "b": 1, "c": 0, "e": 1, "f": 0}
    with pytest.raises(StaleDocumentError), mongo_proxy.recording() as seen:
        await Product.bulk_write(
            [
                ReplaceOne({"_id": stale.id}, stale, upsert=True),
                ReplaceOne({"_id": other.id}, other),
            ]
        )
    assert [command.name for command in seen] == ["update"]  # ordered: it stops at the first


# -- outcomes


async def test_a_save_whose_reply_was_lost_compares_the_version_that_was_read(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    """It was carried out: the next save says that a write came in between, and it was ours."""
    await bind(Product)
    one = await Product(name="a").insert()
    one.name = "b"
    with mongo_proxy.cut("update", at="reply"), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "unknown"
    assert (one.version, (await the_only(Product))["version"]) == (0, 1)
    with pytest.raises(StaleDocumentError) as stale:
        await one.save()
    assert stale.value.expected == 0
    await one.reload()
    assert (one.name, one.version) == ("b", 1)


async def test_a_save_that_did_not_arrive_can_be_made_again(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    one.name = "b"
    with mongo_proxy.cut("update", at="request"), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "unknown"
    await one.save()
    assert one.version == (await the_only(Product))["version"] == 1


@pytest.mark.parametrize("stale", [False, True])
async def test_a_save_whose_write_concern_failed_says_whether_it_found_its_version(
    bind: Bind, mongo_proxy: FaultProxy, stale: bool
) -> None:
    await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    one = mine if stale else theirs
    one.name = "b"
    with mongo_proxy.write_concern_error("update", 64), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == ("not_applied" if stale else "applied")
    assert one.version == (0 if stale else 2)
    one.name = "c"
    if stale:
        with pytest.raises(StaleDocumentError):
            await one.save()
    else:
        await one.save()


async def test_a_save_that_was_cancelled_knows_its_version(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product().insert()
    one.stock = 1
    with mongo_proxy.delay("update", 0.1) as delayed:
        task = asyncio.create_task(one.save())
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (one.version, changes(one)) == (1, {})
    one.stock = 2
    await one.save()


async def test_the_primary_is_asked_what_is_there(bind: Bind, mongo_proxy: FaultProxy) -> None:
    """A secondary may not have the write yet that this one met."""
    db = await bind(Product)
    mine, theirs = await two()
    theirs.stock = 1
    await theirs.save()
    mine.stock = 2
    secondary = db.client.get_database(db.name, read_preference={"mode": "secondaryPreferred"})
    await init(secondary, [Product], close_client=False)
    with mongo_proxy.recording() as seen, pytest.raises(StaleDocumentError):
        await mine.save()
    with mongo_proxy.recording() as many, pytest.raises(StaleDocumentError):
        await Product.save_many([mine])
    finds = [each for each in (*seen, *many) if each.name == "find"]
    assert len(finds) == 2
    for each in finds:
        assert each.body.get("$readPreference", {"mode": "primary"})["mode"] == "primary"


async def test_a_look_that_fails_says_that_nothing_was_written(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product().insert()
    await Product.update_by_id(one.id, {"$set": {"stock": 1}})
    one.stock = 2
    with mongo_proxy.fail("find", 13), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "not_applied"
    assert changes(one) == {"stock": 2}


async def test_in_a_session_of_the_callers_own_the_version_stays(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    """Its transaction may be aborted unseen: then the raised version would be somebody else's."""
    db = await bind(Product)
    one = await Product().insert()
    session = await db.client.start_session()
    one.stock = 1
    await one.save(session=session)
    assert (one.version, (await the_only(Product))["version"]) == (0, 1)
    with pytest.raises(StaleDocumentError):
        await one.save(session=session)
    other = await Product().insert()
    other.stock = 1
    with mongo_proxy.recording() as seen:
        await Product.save_many([other], session=session)
    assert [command.name for command in seen] == ["update"]
    await one.reload()
    assert (one.stock, one.version) == (1, 1)


# -- transactions


async def test_an_abort_takes_the_version_back(bind: Bind) -> None:
    await bind(Product)
    one, two, three = [await Product(name=name).insert() for name in "abc"]
    one.stock = 1
    await one.save()

    async def write() -> None:
        async with transaction():
            one.stock = 2
            await one.save()
            one.stock = 3
            await Product.save_many([one, two])
            two.stock = 1
            await Product.save_many([one, two])
            await Product.find_one_and_replace({"_id": three.id}, three)
            assert [each.version for each in (one, two, three)] == [3, 1, 1]
            raise KeyError

    with pytest.raises(KeyError):
        await write()
    assert [each.version for each in (one, two, three)] == [1, 0, 0]
    assert [each["version"] for each in await stored(Product)] == [1, 0, 0]
    for each in (one, two, three):
        each.name += "!"
        await each.save()
    assert [each.version for each in (one, two, three)] == [2, 1, 1]


async def test_after_an_unknown_commit_the_version_is_the_one_that_was_read(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product().insert()

    async def write() -> None:
        async with transaction():
            one.stock = 1
            await one.save()

    with mongo_proxy.cut("commitTransaction", at="reply"), pytest.raises(OperationError) as caught:
        await write()
    assert caught.value.outcome == "unknown"
    assert (one.version, (await the_only(Product))["version"]) == (0, 1)
    with pytest.raises(StaleDocumentError):
        await one.save()
    await one.reload()
    assert one.version == 1


async def test_a_committed_version_stays(bind: Bind) -> None:
    await bind(Product)
    one = await Product().insert()
    async with transaction():
        one.stock = 1
        await one.save()
    assert one.version == (await the_only(Product))["version"] == 1
    one.stock = 2
    await one.save()


async def test_a_stale_document_in_a_transaction_is_told_and_ends_nothing(bind: Bind) -> None:
    await bind(Product)
    one, two, gone = [await Product(name=name).insert() for name in "abc"]
    await Product.update_by_id(one.id, {"$set": {"stock": 1}})
    await Product.delete_by_id(gone.id)
    async with transaction():
        one.stock = gone.stock = two.stock = 2
        for write in (one.save, one.delete):
            with pytest.raises(StaleDocumentError):
                await write()
        with pytest.raises(StaleDocumentError) as caught:
            await Product.save_many([one, two, gone])
        assert isinstance(caught.value, BulkWriteError)
        assert [each.expected for each in caught.value.failures] == [0, None]
    assert [each["stock"] for each in await stored(Product)] == [1, 2]
    assert two.version == 1


# -- families


class Animal(MongoDocument, version_field="version", tag_field="kind", tag="animal"):
    __collection_name__ = "animals"
    __shard_key__ = ("zoo",)

    zoo: str = "a"
    name: str = ""
    version: int = 0


class Dog(Animal, tag="dog"):
    barks: int = 0


async def test_a_family_has_its_version_and_shard_key_from_its_root(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Animal, Dog)
    await Animal.insert_many([Animal(), Dog()])
    await Animal.update_many({}, {"$set": {"name": "x"}})
    await Dog.update_many({}, {"$inc": {"barks": 1}})
    mine, theirs = await Animal.find_all(sort="_id"), await Animal.find_all(sort="_id")
    assert [each.version for each in mine] == [1, 2]
    for each in (*mine, *theirs):
        each.name = "y"
    with mongo_proxy.recording() as seen:
        await Animal.save_many(theirs)
    assert [query for query, _ in updates(seen)] == [
        {"_id": each.id, "zoo": "a", "version": version}
        for each, version in zip(theirs, (1, 2), strict=True)
    ]
    with pytest.raises(StaleDocumentError):
        await mine[1].save()
    with pytest.raises(BulkWriteError) as caught:
        await Animal.save_many(mine)
    assert [each.expected for each in caught.value.failures] == [1, 2]


# -- what it is for


async def test_a_hundred_tasks_that_read_change_and_save_lose_nothing(bind: Bind) -> None:
    await bind(Product)
    one = await Product().insert()
    gates = asyncio.Semaphore(20)

    async def sell(number: int) -> int:
        for attempt in range(1000):
            async with gates:
                product = await Product.get_by_id(one.id)
                product.stock += 1
                try:
                    if number % 3 == 0:
                        await Product.save_many([product])
                    elif number % 3 == 1:
                        await Product.find_one_and_replace({"_id": one.id}, product)
                    else:
                        await product.save()
                except StaleDocumentError:
                    continue
                return attempt
        raise AssertionError("1,000 attempts")

    attempts = await asyncio.gather(*map(sell, range(100)))
    assert (await the_only(Product)) == {
        "_id": one.id,
        "name": "",
        "stock": 100,
        "tags": [],
        "version": 100,
    }
    assert sum(attempts) > 0  # they did meet


async def test_lost_replies_lose_nothing_that_was_said_to_be_done(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Product)
    one = await Product().insert()
    dice = random.Random(7)
    done = unknown = stale = 0

    async def sell(number: int) -> None:
        nonlocal done, unknown, stale
        while True:
            try:
                product = await Product.get_by_id(one.id)
                product.stock += 1
                if number % 3 == 0:
                    await Product.save_many([product])
                elif number % 3 == 1:
                    await Product.find_one_and_replace({"_id": one.id}, product)
                else:
                    await product.save()
            except StaleDocumentError:
                stale += 1
            except OperationError as error:
                if error.outcome == "unknown":
                    unknown += 1
                    return
            else:
                done += 1
                return

    names = ("update", "findAndModify")
    with (
        mongo_proxy.cut(names, at="reply", where=lambda _: dice.random() < 0.2),
        mongo_proxy.cut(names, at="request", where=lambda _: dice.random() < 0.2),
    ):
        await asyncio.gather(*map(sell, range(15)))
    found = await Product.get_by_id(one.id)
    assert found.stock == found.version
    assert done <= found.stock <= done + unknown
    assert done
    assert unknown
    assert stale


async def test_a_single_save_is_repeated_by_the_driver(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Product)
    one = await Product().insert()
    one.stock = 1
    with mongo_proxy.recording() as seen, mongo_proxy.cut("update", at="reply", times=1):
        await one.save()
    assert [command.name for command in seen] == ["update", "update"]
    assert len({command.body["txnNumber"] for command in seen}) == 1
    assert one.version == (await the_only(Product))["version"] == 1


# -- definitions


def test_a_subclass_inherits_the_version() -> None:
    class Base(MongoDocument, version_field="version", abstract=True):
        version: int = 0

    class Mixed(MongoDocument, version_field="version", mixin=True):
        version: int = 0

    class One(Base):
        name: str = ""

    class Two(Mixed, MongoDocument):
        name: str = ""

    assert One.__version_field__ == Two.__version_field__ == "version"


async def test_a_field_that_cannot_count_is_refused_at_init(bind: Bind) -> None:
    class Missing(MongoDocument, version_field="version"):
        name: str = ""

    class Text(MongoDocument, version_field="version"):
        version: str = ""

    class One(MongoDocument, version_field="version"):
        version: int = 1

    class Required(MongoDocument, version_field="version"):
        version: int

    class Optional(MongoDocument, version_field="version"):
        version: int | None = 0

    class Boolean(MongoDocument, version_field="version"):
        version: bool = False

    for cls in (Missing, Text, One, Required, Optional, Boolean):
        with pytest.raises(DefinitionError, match=rf"{cls.__name__}: .*declare version: int = 0"):
            await bind(cls)


# -- values that are not versions


@pytest.mark.parametrize(
    "version",
    [{"$gt": 0}, {"$ne": 5}, {}, "", "x", True, 1.5, -1, 2**63 - 1, 2**63],
    ids=repr,
)
async def test_a_version_that_was_set_to_another_value_changes_and_deletes_nothing(
    bind: Bind, version: Any
) -> None:
    await bind(Product)
    one = await Product(name="a").insert()
    await one.save()
    before = await stored(Product)
    one.name, one.version = "b", version
    for options in ({}, {"validate_on_write": False}):
        with pytest.raises(MongospecError):
            await one.save(**options)
        with pytest.raises(MongospecError):
            await Product.save_many([one], **options)
    with pytest.raises(MongospecError):
        await one.delete()
    assert await stored(Product) == before


async def test_the_greatest_version_is_named_if_it_cannot_be_raised(bind: Bind) -> None:
    await bind(Product)
    one = await Product(name="a", version=2**63 - 1).insert()
    one.name = "b"
    with pytest.raises(EncodingError, match=r"Product\.version of _id=.*can be raised"):
        await one.save()
