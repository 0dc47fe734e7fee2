"""save(): what is sent is what changed, and nothing of the others is lost."""

import copy
import datetime as dt
from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    InvalidIdError,
    MissingIdError,
    MongoDocument,
    MongospecError,
    OperationError,
    changes,
    transaction,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Address, Numbered, Person, Place


class Bag(MongoDocument):
    items: list[int] = []
    anything: Any = None
    names: set[str] = set()
    real: float = 0.0
    when: dt.datetime | None = None


def sent(seen: list[Any]) -> list[Any]:
    """The update documents that went out."""
    return [each["u"] for command in seen for each in command.body["updates"]]


async def test_save_sends_exactly_the_changed_fields(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    one = await Person(name="a", age=1, address=Address(city="Rome")).insert()
    (read,) = await Person.find_all()
    for each in (one, read):
        with mongo_proxy.recording() as seen:
            each.name += "x"
            assert await each.save() is each
            each.age += 1
            each.tags.append("t")
            await each.save()
        (first, _) = seen
        assert first.name == "update"
        (update,) = first.body["updates"]
        assert update["q"] == {"_id": one.id}
        assert not update.get("upsert")
        assert sent(seen) == [
            {"$set": {"name": each.name}},
            {"$set": {"age": each.age, "tags": each.tags}},
        ]
        assert changes(each) == {}


async def test_save_sends_nothing_where_nothing_changed(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"]).insert()
    with mongo_proxy.recording() as seen:
        await one.save()
        (read,) = await Person.find_all()
        await read.save()
        read.name, read.tags = "a", ["x"]
        await read.save()
    assert [each.name for each in seen] == ["find"]


async def test_changes_in_place_are_seen(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Bag, Person)
    await Bag(items=[1], anything={"a": [{"b": 1}]}, names={"x"}).insert()
    (bag,) = await Bag.find_all()
    with mongo_proxy.recording() as seen:
        bag.items.append(2)
        await bag.save()
        bag.anything["a"][0]["b"] = 2
        await bag.save()
        bag.names.add("y")
        await bag.save()
    assert sent(seen) == [
        {"$set": {"items": [1, 2]}},
        {"$set": {"anything": {"a": [{"b": 2}]}}},
        {"$set": {"names": ["x", "y"]}},
    ]
    person = await Person(name="a", address=Address(city="Rome", place=Place("Via", 1))).insert()
    assert person.address is not None
    assert person.address.place is not None
    person.address.place.zip = 2
    await person.save()
    assert await Person.find_all() == [person]


async def test_another_writers_increment_survives(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a", age=1).insert()
    await Person.update_one({"_id": one.id}, {"$inc": {"age": 10}, "$push": {"tags": "new"}})
    one.name = "b"
    await one.save()
    (found,) = await Person.find_all()
    assert (found.name, found.age, found.tags) == ("b", 11, ["new"])


async def test_fields_that_the_class_does_not_declare_survive(bind: Bind) -> None:
    await bind(Person)
    extra = {"secret": 1, "deep": {"kept": True}}
    _id = ObjectId()
    await Person.get_collection().insert_one({"_id": _id, "name": "a", **extra})
    (one,) = await Person.find_all()
    one.name = "b"
    await one.save()
    built = Person(_id=_id, name="c")  # its stored content is not known
    await built.save()
    await Person(_id=_id, name="d").save(upsert=True)
    (found,) = await stored(Person)
    assert found == {"_id": _id, "name": "d", "age": 0, "tags": [], "address": None, **extra}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"items": [1], "names": ["b", "a"]},
        {"real": 1},
        {"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "unknown": 5},
        {"anything": {"b": 1, "a": [1, {"x": None}]}},
        {"real": float("nan")},
    ],
)
async def test_a_document_just_read_has_no_changes(
    bind: Bind, mongo_proxy: FaultProxy, document: dict[str, Any]
) -> None:
    await bind(Bag)
    await Bag.get_collection().insert_one(document)
    (one,) = await Bag.find_all()
    assert changes(one) == {}
    with mongo_proxy.recording() as seen:
        await one.save()
    assert seen == []


async def test_a_new_default_is_no_change_until_it_is_changed(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"name": "a"})
    (one,) = await Person.find_all()
    one.name = "b"
    assert changes(one) == {"name": "b"}
    one.tags.append("x")
    assert changes(one) == {"name": "b", "tags": ["x"]}
    await one.save()
    assert [set(each) for each in await stored(Person)] == [{"_id", "name", "tags"}]


async def test_what_upgrade_did_is_no_change(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Upgraded(MongoDocument):
        first: str
        last: str = ""

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            if "name" in raw:
                raw = {**raw}
                raw["first"], raw["last"] = raw.pop("name").split()
            return raw

    await bind(Upgraded)
    await Upgraded.get_collection().insert_one({"name": "Ada Lovelace"})
    (one,) = await Upgraded.find_all()
    assert (one.first, one.last) == ("Ada", "Lovelace")
    assert changes(one) == {}
    one.last = "King"
    with mongo_proxy.recording() as seen:
        await one.save()
    # the whole of today's shape goes out where some of it does: "first" was never stored
    (update,) = sent(seen)
    assert update["$set"]["last"] == "King"
    (found,) = await Upgraded.find_all()
    assert found.first == "Ada"


async def test_a_nested_structs_new_default_is_no_change(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"name": "a", "address": {"city": "Rome", "old": 1}})
    (one,) = await Person.find_all()
    assert changes(one) == {}
    assert one.address is not None
    one.address.city = "Oslo"
    assert changes(one) == {"address": {"city": "Oslo", "place": None}}


async def test_a_change_and_its_undoing_are_no_change(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"]).insert()
    one.tags.append("y")
    one.tags.pop()
    assert changes(one) == {}


async def test_an_int_is_not_a_bool_and_not_a_float(bind: Bind) -> None:
    class Odd(MongoDocument):
        value: Any = None

    await bind(Odd)
    one = await Odd(value=1).insert()
    for value in (True, 1.0, "1"):
        one.value = value
        assert changes(one) == {"value": value}
        await one.save()
        (found,) = await stored(Odd)
        assert type(found["value"]) is type(value)


async def test_a_document_built_by_hand_sends_all_its_fields(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    stored_one = await Person(name="a", age=5).insert()
    built = Person(_id=stored_one.id, name="b")
    with mongo_proxy.recording() as seen:
        await built.save()
    assert sent(seen) == [{"$set": {"name": "b", "age": 0, "tags": [], "address": None}}]
    assert changes(built) == {}


async def test_a_class_with_nothing_but_an_id_can_be_saved(bind: Bind) -> None:
    class Mark(MongoDocument):
        _id: str | None = None

    await bind(Mark)
    one = Mark(_id="a")
    with pytest.raises(DocumentNotFoundError):
        await one.save()
    await one.save(upsert=True)
    await one.save()
    await Mark(_id="a").save()
    assert await stored(Mark) == [{"_id": "a"}]


async def test_save_of_a_document_without_an_id_says_to_insert_it(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(MissingIdError, match=r"Person.*insert\(\)") as caught:
        await Person(name="a").save()
    assert isinstance(caught.value, ValueError)
    assert await Person.count() == 0


async def test_save_of_a_document_that_is_gone_raises(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    await Person.get_collection().delete_one({"_id": one.id})
    one.name = "b"
    with pytest.raises(DocumentNotFoundError, match=r"Person.*upsert=True") as caught:
        await one.save()
    assert repr(one.id) in str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, MongospecError)
    assert changes(one) != {}
    assert await Person.count() == 0
    await one.save(upsert=True)
    assert await Person.find_all() == [one]


async def test_save_with_upsert_inserts_the_whole_document(bind: Bind) -> None:
    await bind(Numbered, Person)
    one = await Numbered(_id=5, text="a").save(upsert=True)
    assert await Numbered.find_all() == [one]
    assert changes(one) == {}
    person = await Person(name="a", age=3).insert()
    await Person.get_collection().delete_many({})
    person.age = 4
    await person.save(upsert=True)  # all of it, not only what changed
    assert await Person.find_all() == [person]


async def test_save_after_a_rejected_save_sends_the_change_again(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    with mongo_proxy.fail("update", 13), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "not_applied"
    assert changes(one) == {"name": "b"}
    await one.save()
    assert (await stored(Person))[0]["name"] == "b"


async def test_save_after_a_lost_reply_sends_all_fields(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    with mongo_proxy.cut("update", at="reply"), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "unknown"
    with mongo_proxy.recording() as seen:
        await one.save()
    assert sent(seen) == [{"$set": {"name": "b", "age": 0, "tags": [], "address": None}}]
    assert changes(one) == {}


async def test_a_failed_validation_keeps_the_changes(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    wrong: Any = 5
    one.name = wrong
    with pytest.raises(DocumentValidationError):
        await one.save()
    one.name = "c"
    assert changes(one) == {"name": "c"}
    await one.save()
    assert await Person.find_all() == [one]


async def test_a_field_set_to_unset_is_removed(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Thin(MongoDocument):
        note: str | msgspec.UnsetType = msgspec.UNSET

    await bind(Thin)
    one = await Thin(note="a").insert()
    one.note = msgspec.UNSET
    assert changes(one) == {"note": msgspec.UNSET}
    with mongo_proxy.recording() as seen:
        await one.save()
    assert sent(seen) == [{"$unset": {"note": ""}}]
    assert await stored(Thin) == [{"_id": one.id}]


async def test_names_that_look_like_operators_are_data_inside_of_a_field(bind: Bind) -> None:
    await bind(Bag)
    one = await Bag(anything={}).insert()
    one.anything = {"$inc": {"a.b": 1}, "x.y": 2}
    await one.save()
    (found,) = await Bag.find_all()
    assert found.anything == {"$inc": {"a.b": 1}, "x.y": 2}


async def test_an_id_that_was_changed_is_refused(bind: Bind) -> None:
    await bind(Numbered)
    one = await Numbered(_id=1, text="a").insert()
    one._id, one.text = 2, "b"
    with pytest.raises(InvalidIdError, match=r"Numbered.*2.*copy\.replace"):
        await one.save()
    assert await stored(Numbered) == [{"_id": 1, "text": "a"}]
    await copy.replace(one, _id=3).insert()
    assert await stored(Numbered) == [{"_id": 1, "text": "a"}, {"_id": 3, "text": "b"}]


async def test_a_document_may_be_deleted_and_inserted_again(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    assert await one.delete() == 1
    assert changes(one) == {"name": "a", "age": 0, "tags": [], "address": None}
    await one.insert()
    assert await Person.find_all() == [one]


async def test_save_with_upsert_inserts_a_new_document_and_gives_it_an_id(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").save(upsert=True)
    assert one.id is not None
    assert await Person.find_all() == [one]
    assert changes(one) == {}


async def test_save_with_upsert_of_a_refused_document_takes_the_id_back(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    second = Account(email="a")
    with pytest.raises(DuplicateKeyError):
        await second.save(upsert=True)
    assert second.id is None


async def test_save_with_upsert_leaves_another_writers_change_alone(bind: Bind) -> None:
    await bind(Person)
    mine = await Person(name="a", age=5).insert()
    await Person.update_by_id(mine.id, {"$inc": {"age": 100}})
    mine.name = "b"
    await mine.save(upsert=True)
    assert await Person.find_one({}, projection={"_id": 0, "name": 1, "age": 1}) == {
        "name": "b",
        "age": 105,
    }


async def test_save_with_upsert_of_an_unchanged_document_brings_it_back_whole(bind: Bind) -> None:
    await bind(Person)
    mine = await Person(name="a", age=5, tags=["x"]).insert()
    await Person.delete_many({})
    await mine.save(upsert=True)
    assert await Person.find_all() == [mine]


async def test_an_aborted_upsert_takes_its_id_back(bind: Bind) -> None:
    await bind(Person)
    person = Person(name="a")
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await person.save(upsert=True)
            raise ZeroDivisionError
    assert person.id is None
    assert await Person.count() == 0
