"""The CRUD contract: what every document class of these packages does, over each base."""

import copy
import datetime as dt
import pickle
import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    BulkInsertError,
    CursorClosedError,
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    EncodingError,
    InvalidIdError,
    MissingIdError,
    NotBoundError,
    OptionError,
    UpdateResult,
    changes,
    close,
)
from mongospec_testing import FaultProxy
from tests.contract.conftest import Box, Kind


async def raw(cls: Any) -> list[dict[str, Any]]:
    cursor = await cls.get_collection().find({}, sort={"_id": 1})
    return [each async for each in cursor]


# -- insert


async def test_insert_gives_the_document_with_an_id_and_stores_its_dump(models: Any) -> None:
    thing = models.Thing(code="a", price=Decimal("1.50"), box=Box(1, dt.date(2026, 1, 1)))
    assert await thing.insert() is thing
    assert isinstance(thing.id, ObjectId)
    assert await raw(models.Thing) == [thing.dump()]
    assert await models.Thing.insert_one(other := models.Thing(code="b")) is other
    assert changes(thing) == {} == changes(other)


async def test_insert_many_gives_ids_in_order(models: Any) -> None:
    things = [models.Thing(code=str(n)) for n in range(100)]
    ids = await models.Thing.insert_many(things)
    assert ids == [each.id for each in things]
    assert len(set(ids)) == 100
    assert await models.Thing.find_by_id(ids[37]) == things[37]
    assert await models.Thing.insert_many([]) == []


async def test_insert_many_unordered_names_each_failure(models: Any) -> None:
    things = [models.Thing(code=code) for code in ("a", "b", "a", "c", "b")]
    with pytest.raises(BulkInsertError) as caught:
        await models.Thing.insert_many(things, ordered=False)
    assert [(each.index, each.code) for each in caught.value.failures] == [(2, 11000), (4, 11000)]
    assert caught.value.inserted == [things[0], things[1], things[3]]
    assert [each.id is None for each in things] == [False, False, True, False, True]
    assert await models.Thing.count() == 3


async def test_a_duplicate_is_refused_and_leaves_the_document_new(models: Any) -> None:
    await models.Thing(code="a").insert()
    twin = models.Thing(code="a")
    with pytest.raises(DuplicateKeyError) as caught:
        await twin.insert()
    assert caught.value.key_value == {"code": "a"}
    assert twin.id is None
    twin.code = "b"
    await twin.insert()
    assert await models.Thing.count() == 2


async def test_insert_if_not_exists_inserts_once(models: Any) -> None:
    first, second = models.Thing(code="a"), models.Thing(code="a")
    assert await models.Thing.insert_if_not_exists(first, {"code": "a"}) is first
    assert await models.Thing.insert_if_not_exists(second, {"code": "a"}) is None
    assert await raw(models.Thing) == [first.dump()]
    assert await models.Numbered.insert_if_not_exists(models.Numbered(_id=1)) is not None
    assert await models.Numbered.insert_if_not_exists(models.Numbered(_id=1)) is None


# -- find


async def test_every_finder_gives_equal_documents_without_changes(models: Any) -> None:
    one = await models.Thing(
        code="a",
        price=Decimal("2.0"),
        kind=Kind.LARGE,
        tags=["x"],
        box=Box(5),
        extra={"deep": [1, {"a": None}]},
    ).insert()
    await models.Thing(code="b").insert()
    found = [
        await models.Thing.find_one({"code": "a"}),
        await models.Thing.find_by_id(one.id),
        await models.Thing.find_by_id(str(one.id)),
        *await models.Thing.find_all({"kind": Kind.LARGE}),
        *await models.Thing.find({"price": Decimal(2)}).to_list(),
        *await models.Thing.find({"box": Box(5)}).to_list(5),
        *[each async for each in models.Thing.find({"tags": "x"})],
        *[each async for batch in models.Thing.find({"code": "a"}).batches() for each in batch],
    ]
    assert found == [one] * 8
    assert [changes(each) for each in found] == [{}] * 8
    assert {type(each) for each in found} == {models.Thing}
    assert await models.Thing.find_one({"code": "nope"}) is None
    assert await models.Thing.find_by_id(ObjectId()) is None


async def test_sort_skip_and_limit(models: Any) -> None:
    await models.Numbered.insert_many([models.Numbered(_id=n) for n in range(10)])
    found = await models.Numbered.find_all({}, sort=[("_id", -1)], skip=2, limit=3)
    assert [each.id for each in found] == [7, 6, 5]
    cursor = models.Numbered.find(sort="_id", batch_size=4)
    assert [each.id for each in await cursor.to_list(6)] == list(range(6))
    assert [each.id async for each in cursor] == list(range(6, 10))


async def test_a_closed_cursor_refuses(models: Any) -> None:
    async with models.Numbered.find() as cursor:
        assert await cursor.to_list() == []
    with pytest.raises(CursorClosedError):
        await cursor.to_list()


async def test_smaller_shapes(models: Any) -> None:
    class Tag(msgspec.Struct):
        code: str
        tags: list[str]

    await models.Thing(code="a", tags=["x"]).insert()
    assert await models.Thing.find_all(projection=Tag) == [Tag("a", ["x"])]
    assert await models.Thing.find_one(projection=Tag) == Tag("a", ["x"])
    assert await models.Thing.find(projection=Tag).to_list() == [Tag("a", ["x"])]
    plain = await models.Thing.find_all(projection={"code": 1, "_id": 0})
    assert plain == [{"code": "a"}]


async def test_ids_are_converted_or_refused(models: Any) -> None:
    await models.Numbered(_id=7).insert()
    assert (await models.Numbered.find_by_id("7")).id == 7
    for call in (
        models.Thing.find_by_id("abc"),
        models.Thing.update_by_id("abc", {"$set": {"code": "b"}}),
        models.Thing.delete_by_id("abc"),
        models.Numbered.find_by_id("x"),
    ):
        with pytest.raises(InvalidIdError):
            await call


async def test_a_stored_document_that_does_not_fit_is_named_or_skipped(models: Any) -> None:
    good = await models.Thing(code="good").insert()
    bad = ObjectId()
    await models.Thing.get_collection().insert_one({"_id": bad, "code": 5})
    with pytest.raises(DocumentValidationError) as caught:
        await models.Thing.find_all()
    assert (caught.value.id, caught.value.path) == (bad, "code")
    assert await models.Thing.find_all(on_invalid="skip") == [good]


# -- save


async def test_save_sends_the_changed_fields_only(mongo_proxy: FaultProxy, models: Any) -> None:
    one = await models.Numbered(_id=1, text="a").insert()
    with mongo_proxy.recording() as seen:
        await one.save()
        one.text = "b"
        assert await one.save() is one
    assert [each.body["updates"][0]["u"] for each in seen] == [{"$set": {"text": "b"}}]


async def test_save_keeps_what_others_wrote(models: Any) -> None:
    one = await models.Thing(code="a").insert()
    await models.Thing.get_collection().update_one(
        {}, {"$set": {"unknown": 1}, "$push": {"tags": "theirs"}}
    )
    one.extra = "mine"
    await one.save()
    (found,) = await raw(models.Thing)
    assert (found["unknown"], found["tags"], found["extra"]) == (1, ["theirs"], "mine")
    assert one.saves == found["saves"] == 2  # the hook ran at insert and at save


async def test_save_of_what_is_not_there(models: Any) -> None:
    with pytest.raises(MissingIdError):
        await models.Thing(code="a").save()
    lost = models.Thing(_id=ObjectId(), code="a")
    with pytest.raises(DocumentNotFoundError):
        await lost.save()
    await lost.save(upsert=True)
    assert await models.Thing.find_all() == [lost]


async def test_save_many_sends_all_changes(models: Any) -> None:
    numbers = [models.Numbered(_id=n) for n in range(3)]
    await models.Numbered.insert_many(numbers)
    numbers[0].text, numbers[2].text = "a", "c"
    result = await models.Numbered.save_many(numbers)
    assert result.modified_count == 2
    assert [each["text"] for each in await raw(models.Numbered)] == ["a", "", "c"]


async def test_a_write_that_does_not_fit_writes_nothing(models: Any) -> None:
    one = await models.Thing(code="a").insert()
    before = await raw(models.Thing)
    one.box = Box("large")
    for write in (one.save(), models.Thing(code="b", box=one.box).insert()):
        with pytest.raises(DocumentValidationError) as caught:
            await write
        assert caught.value.path == "box.size"
    with pytest.raises(EncodingError, match=r"Thing\.extra"):
        await models.Thing(code="c", extra=2**70).insert()
    assert await raw(models.Thing) == before


# -- update, delete, count


async def test_updates_give_what_they_did(models: Any) -> None:
    things = [models.Thing(code=str(n)) for n in range(3)]
    await models.Thing.insert_many(things)
    one = await models.Thing.update_one({"code": "0"}, {"$set": {"kind": Kind.LARGE}})
    assert isinstance(one, UpdateResult)
    assert (one, one.matched_count, one.upserted_id) == (1, 1, None)
    assert await models.Thing.update_many({}, {"$push": {"tags": "t"}}) == 3
    assert await models.Thing.update_by_id(things[1].id, {"$inc": {"saves": 5}}) == 1
    made = await models.Thing.update_one({"code": "new"}, {"$set": {"saves": 1}}, upsert=True)
    assert (await models.Thing.find_by_id(made.upserted_id)).code == "new"
    after = await models.Thing.find_one_and_update({"code": "0"}, {"$set": {"extra": 1}})
    assert (after.extra, after.kind, after.tags) == (1, Kind.LARGE, ["t"])
    before = await models.Thing.find_one_and_update(
        {"code": "0"}, {"$set": {"extra": 2}}, return_updated=False
    )
    assert before == after
    gone = await models.Thing.find_one_and_delete({"code": "0"})
    assert gone.extra == 2
    new = await models.Thing.find_one_and_replace({"code": "1"}, models.Thing(code="9"))
    assert new.id == things[1].id
    assert new.tags == []


async def test_an_update_without_operators_is_refused(models: Any) -> None:
    await models.Thing(code="a").insert()
    before = await raw(models.Thing)
    with pytest.raises(OptionError):
        await models.Thing.update_one({}, {"code": "b"})
    assert await raw(models.Thing) == before


async def test_deletes_give_counts(models: Any) -> None:
    numbers = [models.Numbered(_id=n) for n in range(6)]
    await models.Numbered.insert_many(numbers)
    assert await numbers[0].delete() == 1
    assert await numbers[0].delete() == 0
    assert await models.Numbered.delete_one({"_id": 1}) == 1
    assert await models.Numbered.delete_by_id("2") == 1
    assert await models.Numbered.delete_many({"_id": {"$gt": 3}}) == 2
    assert [each["_id"] for each in await raw(models.Numbered)] == [3]


async def test_counts(models: Any) -> None:
    await models.Thing.insert_many([models.Thing(code=str(n)) for n in range(4)])
    assert await models.Thing.count() == await models.Thing.count_documents({}) == 4
    assert await models.Thing.count({"code": "1"}) == 1
    assert await models.Thing.estimated_document_count() == 4
    assert await models.Thing.exists({"code": "1"})
    assert not await models.Thing.exists({"code": "9"})
    assert sorted(await models.Thing.distinct("code")) == ["0", "1", "2", "3"]
    grouped = models.Thing.aggregate([{"$group": {"_id": "$kind", "n": {"$sum": 1}}}])
    assert await grouped.to_list() == [{"_id": "small", "n": 4}]


# -- hooks, options, copies, life


async def test_hooks_run_and_can_be_skipped(models: Any) -> None:
    cls = models.Numbered
    await cls.get_collection().insert_many([{"_id": 1}, {"_id": 2, "hidden": True}])
    assert [each.id for each in await cls.find_all()] == [1]
    assert await cls.find_by_id(2) is None
    assert await cls.update_many({}, {"$set": {"text": "b"}}) == 1
    assert await cls.count(skip_hooks=True) == 2
    assert await cls.update_by_id(2, {"$set": {"text": "c"}}, skip_hooks=True) == 1
    first, second = await raw(cls)
    assert (first["updated"], "updated" in second, second["text"]) == (True, False, "c")


async def test_unknown_options_are_refused(models: Any) -> None:
    with pytest.raises(OptionError, match="nope"):
        await models.Thing.find_one({}, nope=1)
    with pytest.raises(OptionError, match="nope"):
        models.Thing.find({}, nope=1)
    with pytest.raises(OptionError, match="nope"):
        await models.Thing(code="a").insert(nope=1)
    assert await raw(models.Thing) == []


async def test_what_the_caller_gave_is_not_changed(models: Any) -> None:
    where: dict[str, Any] = {"text": {"$ne": "x"}}
    update: dict[str, Any] = {"$set": {"text": "y"}}
    await models.Numbered.insert_one(models.Numbered(_id=1))
    await models.Numbered.update_one(where, update)
    await models.Numbered.find_one(where)
    assert (where, update) == ({"text": {"$ne": "x"}}, {"$set": {"text": "y"}})


async def test_copies_know_what_is_stored(models: Any) -> None:
    one = await models.Thing(code="a", tags=["x"]).insert()
    for twin in (copy.copy(one), copy.deepcopy(one), copy.replace(one)):
        assert twin == one
        assert changes(twin) == {}
    assert changes(copy.replace(one, code="b")) == {"code": "b"}
    assert hash(one) == hash(one.id)


async def test_a_pickled_document_knows_what_is_stored(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = models.Numbered
    # pickle finds classes by their place in a module; this one is made anew for each base
    monkeypatch.setattr(sys.modules[cls.__module__], "Numbered", cls, raising=False)
    cls.__qualname__ = "Numbered"
    one = await cls(_id=1, text="a").insert()
    twin = pickle.loads(pickle.dumps(one))
    assert twin == one
    assert changes(twin) == {}
    twin.text = "b"
    assert changes(twin) == {"text": "b"}


async def test_load_and_dump_are_inverse(models: Any) -> None:
    thing = models.Thing(code="a", price=Decimal(1), kind=Kind.LARGE, box=Box(1))
    assert models.Thing.load(thing.dump()) == thing


async def test_after_close_every_use_names_the_class(models: Any) -> None:
    await close()
    for use in (models.Thing.find_one(), models.Thing(code="a").insert(), models.Thing.count()):
        with pytest.raises(NotBoundError, match="Thing"):
            await use
