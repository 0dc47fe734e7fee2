"""``__upgrade__``: old documents come in today's shape, and a save leaves no old shape behind."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentValidationError,
    HookError,
    InvalidDocument,
    MongoDocument,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class RenamedNote(MongoDocument):
    text: str
    stars: int = 0

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "body" in raw:  # the obvious way: it would run again on whatever still has a body
            raw["text"] = raw.pop("body")
            raw["origin"] = "upgraded"  # a field that the class does not declare
        return raw


async def _stored_old() -> ObjectId:
    old = {"_id": ObjectId(), "body": "old", "extra": 1}
    await RenamedNote.get_collection().insert_one(old)
    return old["_id"]


async def test_a_renamed_field_that_is_changed_stays_changed(bind: Bind) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    note.text = "new"
    await note.save()
    again = await RenamedNote.find_by_id(note.id)
    assert again is not None
    assert again.text == "new"


async def test_a_save_of_any_change_stores_the_new_shape_and_keeps_undeclared_fields(
    bind: Bind,
) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    note.stars = 5
    await note.save()
    assert await RenamedNote.get_collection().find_one({}) == {
        "_id": note.id,
        "extra": 1,
        "text": "old",
        "origin": "upgraded",
        "stars": 5,
    }
    assert changes(note) == {}


async def test_an_upgraded_document_just_read_has_no_changes_nor_have_its_copies(
    bind: Bind,
) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    for each in (note, copy.copy(note), copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert changes(each) == {}
        each.stars += 1
        assert changes(each).keys() == {"body", "text", "origin", "stars"}
        each.stars -= 1


REPLIES = ["find", "aggregate", "getMore"]


def id_of(number: int) -> ObjectId:
    return ObjectId(f"{number:024}")


def broken_text(reply: bytes) -> bytes:
    return reply.replace(b"kaputt", b"kap\xfftt")


class Person(MongoDocument):
    first: str
    last: str = ""
    version: int = 2

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "version" not in raw:
            raw["first"], raw["last"] = raw.pop("name").split(" ")
            raw["version"] = 2
        return raw


async def test_old_and_new_documents_are_read_together(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_many(
        [
            {"_id": id_of(1), "name": "Ada Lovelace"},
            {"_id": id_of(2), "first": "Alan", "last": "Turing", "version": 2},
        ]
    )
    expected = [
        Person(_id=id_of(1), first="Ada", last="Lovelace"),
        Person(_id=id_of(2), first="Alan", last="Turing"),
    ]
    assert await Person.find_all(sort="_id") == expected
    assert await Person.find(sort="_id").to_list() == expected
    assert await Person.find_one({"name": "Ada Lovelace"}, check=False) == expected[0]
    assert await Person.find_by_id(id_of(1)) == expected[0]
    assert await Person.aggregate([{"$sort": {"_id": 1}}], into=Person).to_list() == expected
    updated = await Person.find_one_and_update(
        {"_id": id_of(1)}, {"$set": {"seen": True}}, check=False
    )
    assert updated == expected[0]
    assert Person.load({"_id": id_of(1), "name": "Ada Lovelace"}) == expected[0]


async def test_an_upgraded_document_can_be_saved(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"_id": id_of(1), "name": "Ada Lovelace"})
    (one,) = await Person.find_all()
    assert changes(one) == {}
    one.last = "King"
    await one.save()
    (raw,) = await stored(Person)
    assert raw["last"] == "King"
    (again,) = await Person.find_all()
    assert again.last == "King"


async def test_an_upgrade_that_raises_names_its_documents(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_many(
        [
            {"_id": id_of(1), "name": "Ada Lovelace"},
            {"_id": id_of(2), "nom": "Ada"},  # KeyError
            {"_id": id_of(3), "name": "Plato"},  # ValueError
            {"_id": id_of(4), "name": 5},  # AttributeError
        ]
    )
    with pytest.raises(
        DocumentValidationError, match=r"Person of _id=.*__upgrade__ raised"
    ) as caught:
        await Person.find_all()
    assert [each.id for each in caught.value.failures] == [id_of(2), id_of(3), id_of(4)]
    assert "KeyError" in caught.value.failures[0].reason
    found = await Person.find_all(on_invalid="skip")
    assert [each.first for each in found] == ["Ada"]

    def kept(failure: InvalidDocument, raw: Mapping[str, Any]) -> Person:
        return Person(_id=failure.id, first=str(raw.get("name", "?")))

    found = await Person.find_all(on_invalid=kept, sort="_id")
    assert [each.first for each in found] == ["Ada", "?", "Plato", "5"]


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


@pytest.mark.parametrize(
    "returned",
    [
        None,
        [1],
        "text",
        {"data": object()},
        {"data": "\ud800"},
        {"data": 2**70},
        {"data": {5: object()}},
        {"\ud800": 1},
        {"a\0b": 1},
        {"data": endless()},
        {"name": {}},
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_upgrade_that_returns_no_document_names_it_and_spares_the_others(
    bind: Bind, returned: Any
) -> None:
    class Forgetful(MongoDocument):
        name: str = ""
        data: Any = None

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> Any:
            if raw["name"] != "bad":
                return raw
            raw.clear()
            return {"_id": id_of(2), **returned} if isinstance(returned, dict) else returned

    await bind(Forgetful)
    await Forgetful.get_collection().insert_many(
        [{"_id": id_of(n), "name": "bad" if n == 2 else "good"} for n in (1, 2, 3)]
    )
    with pytest.raises(DocumentValidationError, match=r"Forgetful(\.name)? of _id=") as told:
        await Forgetful.find_all()
    assert [each.id for each in told.value.failures] == [id_of(2)]
    with pytest.raises(DocumentValidationError):
        await Forgetful.find_by_id(id_of(2))
    found = await Forgetful.find_all(on_invalid="skip", sort="_id")
    assert [each.id for each in found] == [id_of(1), id_of(3)]
    seen: list[Any] = []
    await Forgetful.find_all(on_invalid=lambda failure, raw: seen.append((failure.id, raw)))
    # What is valid BSON is shown as it was upgraded, all else as it is stored.
    shown = {"_id": id_of(2), "name": {} if returned == {"name": {}} else "bad"}
    assert seen == [(id_of(2), shown)]


async def test_an_upgrade_that_is_a_coroutine_is_named(bind: Bind) -> None:
    class Slow(MongoDocument):
        name: str = ""

        @classmethod
        async def __upgrade__(cls, raw: dict[str, Any]) -> Any:
            return raw

    await bind(Slow)
    await Slow.get_collection().insert_one({"name": "a"})
    with pytest.raises(HookError, match=r"Slow\.__upgrade__ is async.*plain"):
        await Slow.find_all()


async def test_an_upgrade_is_inherited_and_may_call_super(bind: Bind) -> None:
    class Child(Person):
        toy: str

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            raw = super().__upgrade__(raw)
            raw.setdefault("toy", "ball")
            return raw

    await bind(Child)
    await Child.get_collection().insert_one({"name": "Ada Lovelace"})
    (one,) = await Child.find_all()
    assert (one.first, one.toy) == ("Ada", "ball")


async def test_an_upgrade_is_not_asked_about_what_we_write(bind: Bind) -> None:
    await bind(Person)
    one = Person(first="Ada")
    one.version = 2
    await one.insert()
    assert [set(each) for each in await stored(Person)] == [{"_id", "first", "last", "version"}]


async def test_a_damaged_document_of_a_class_with_an_upgrade_is_named(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.get_collection().insert_many(
        [{"_id": id_of(1), "name": "Ada kaputt"}, {"_id": id_of(2), "name": "Ada Lovelace"}]
    )
    with mongo_proxy.rewrite_bson(REPLIES, broken_text):
        with pytest.raises(DocumentValidationError) as caught:
            await Person.find_all()
        assert (caught.value.id, caught.value.path) == (id_of(1), "name")
        assert len(await Person.find_all(on_invalid="skip")) == 1


async def test_upgrade_brings_old_documents_to_todays_shape(bind: Bind) -> None:
    class Shaped(MongoDocument):
        full: str

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            if "name" in raw:
                return {**raw, "full": raw["name"].title()}
            return raw

    await bind(Shaped)
    await Shaped.get_collection().insert_many([{"name": "ann"}, {"full": "Bob"}])
    assert [each.full for each in await Shaped.find_all()] == ["Ann", "Bob"]
    assert [each.full async for each in Shaped.find()] == ["Ann", "Bob"]
    one = await Shaped.find_one({"name": "ann"}, check=False)
    assert one is not None
    assert one.full == "Ann"
    updated = await Shaped.find_one_and_update({"name": "ann"}, {"$set": {"x": 1}}, check=False)
    assert updated is not None
    assert updated.full == "Ann"
    assert Shaped.load({"name": "eve"}).full == "Eve"
