"""Reading a document that must be there, and reading one again in place."""

import asyncio
import pickle
from typing import Any

import msgspec
import pytest
from bson import ObjectId

import mongospec_core as core
from mongospec_core import (
    DocumentNotFoundError,
    DocumentValidationError,
    InvalidIdError,
    MissingIdError,
    MongoDocument,
    OptionError,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Address, Numbered, Person


class Name(msgspec.Struct):
    name: str


class Mine(MongoDocument):
    owner: str

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"owner": "me"}]}


class Sealed(MongoDocument, frozen=True):
    text: str


# -- get_one, get_by_id


async def test_get_one_returns_the_first_document_that_matches(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann", age=30).insert()
    bob = await Person(name="Bob", age=20).insert()
    assert await Person.get_one({"name": "Bob"}) == bob
    assert await Person.get_one() == ann
    assert await Person.get_one(sort="age") == bob
    assert await Person.get_one({"name": "Ann"}, projection=Name) == Name("Ann")
    assert await Person.get_one({"name": "Ann"}, projection={"_id": 0, "age": 1}) == {"age": 30}
    assert changes(await Person.get_one({"name": "Ann"})) == {}


async def test_get_by_id_takes_what_find_by_id_takes(bind: Bind) -> None:
    await bind(Person, Numbered)
    ann = await Person(name="Ann").insert()
    seven = await Numbered(_id=7, text="seven").insert()
    assert await Person.get_by_id(ann.id) == await Person.get_by_id(str(ann.id)) == ann
    assert await Person.get_by_id(ann.id, projection=Name) == Name("Ann")
    assert await Numbered.get_by_id("7") == seven
    with pytest.raises(InvalidIdError):
        await Person.get_by_id("nobody")


async def test_what_is_not_there_raises_with_the_class_and_the_filter(bind: Bind) -> None:
    await bind(Person)
    wanted = {"name": "Eve"}
    with pytest.raises(DocumentNotFoundError, match=r"Person.get_one: no document .*'Eve'") as one:
        await Person.get_one(wanted)
    assert one.value.document_class is Person
    assert one.value.filter is wanted
    missing = ObjectId()
    with pytest.raises(LookupError) as by_id:
        await Person.get_by_id(str(missing), projection=Name)
    assert isinstance(by_id.value, DocumentNotFoundError)
    assert (by_id.value.document_class, by_id.value.filter) == (Person, {"_id": missing})


async def test_a_long_filter_is_cut_in_the_message_and_whole_in_the_attribute(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(DocumentNotFoundError) as raised:
        await Person.get_one({"name": {"$in": ["x" * 10_000]}})
    assert len(str(raised.value)) < 1_000
    assert len(raised.value.filter["name"]["$in"][0]) == 10_000


async def test_the_error_survives_a_pickle() -> None:
    error = DocumentNotFoundError("gone", Person, {"_id": 1})
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.document_class, again.filter) == ("gone", Person, {"_id": 1})
    assert isinstance(again, RuntimeError)


async def test_what_the_scope_of_the_class_hides_is_not_there(bind: Bind) -> None:
    await bind(Mine)
    other = await Mine(owner="you").insert()
    with pytest.raises(DocumentNotFoundError):
        await Mine.get_by_id(other.id)
    with pytest.raises(DocumentNotFoundError):
        await Mine.get_one({"owner": "you"})
    assert await Mine.get_by_id(other.id, skip_hooks=True) == other


async def test_an_unfit_document_raises_unless_it_is_left_out(bind: Bind) -> None:
    db = await bind(Person)
    await db[Person.get_collection_name()].insert_one({"name": 5})
    with pytest.raises(DocumentValidationError):
        await Person.get_one({})
    with pytest.raises(DocumentNotFoundError):
        await Person.get_one({}, on_invalid="skip")


async def test_an_unknown_option_is_told_with_those_that_there_are(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match=r"Person.get_one does not take limit=.*on_invalid"):
        await Person.get_one({}, limit=1)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match=r"Person.reload does not take limit="):
        await (await Person(name="Ann").insert()).reload(limit=1)  # type: ignore[call-arg]


async def test_a_save_of_what_is_gone_has_the_class_and_the_filter(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    await Person.delete_by_id(ann.id)
    ann.age = 5
    with pytest.raises(DocumentNotFoundError) as raised:
        await ann.save()
    assert (raised.value.document_class, raised.value.filter) == (Person, {"_id": ann.id})


# -- reload


async def test_reload_reads_the_document_again_in_place(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann", address=Address(city="Rome")).insert()
    await Person.update_by_id(ann.id, {"$set": {"age": 31, "address.city": "Oslo"}})
    ann.name = "not saved"
    assert await ann.reload() is ann
    assert (ann.name, ann.age, ann.address) == ("Ann", 31, Address(city="Oslo"))


async def test_a_reloaded_document_knows_what_is_stored(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    by_hand = Person(_id=ann.id, name="by hand")
    await by_hand.reload()
    assert changes(by_hand) == {}
    by_hand.age = 5
    assert changes(by_hand) == {"age": 5}
    await Person.update_by_id(ann.id, {"$set": {"name": "Anna"}})
    await by_hand.save()
    assert (await ann.reload()).name == "Anna"


async def test_a_frozen_document_is_reloaded_too(bind: Bind) -> None:
    await bind(Sealed)
    sealed = await Sealed(text="old").insert()
    await Sealed.update_by_id(sealed.id, {"$set": {"text": "new"}})
    assert (await sealed.reload()).text == "new"


async def test_a_document_that_is_gone_stays_as_it_was(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    await Person.delete_by_id(ann.id)
    ann.age = 5
    with pytest.raises(DocumentNotFoundError, match="is not in the collection 'people'") as raised:
        await ann.reload()
    assert (raised.value.document_class, raised.value.filter) == (Person, {"_id": ann.id})
    assert ann.age == 5
    assert changes(ann) == {"age": 5}


async def test_a_stored_document_that_does_not_fit_changes_nothing(bind: Bind) -> None:
    db = await bind(Person)
    ann = await Person(name="Ann").insert()
    await db[Person.get_collection_name()].update_one({}, {"$set": {"name": 5}})
    with pytest.raises(DocumentValidationError):
        await ann.reload()
    assert ann.name == "Ann"


async def test_a_document_without_an_id_cannot_be_reloaded() -> None:
    with pytest.raises(MissingIdError, match="no _id"):
        await Person(name="Ann").reload()


async def test_an_id_that_looks_like_operators_is_refused(bind: Bind) -> None:
    class Odd(MongoDocument):
        _id: dict[str, Any] | None = None

    await bind(Odd)
    with pytest.raises(InvalidIdError):
        await Odd(_id={"$gt": 1}).reload()


async def test_an_object_that_is_saved_meanwhile_is_read_once_more(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    with mongo_proxy.stall("find", at="reply", times=1) as held, mongo_proxy.recording() as seen:
        reading = asyncio.create_task(ann.reload())
        await held.reached()
        ann.name = "Anna"
        await ann.save()
        held.remove()
        await reading
    assert [each.name for each in seen] == ["find", "update", "find"]
    assert ann.name == "Anna"
    assert changes(ann) == {}


async def test_what_an_aborted_transaction_reloaded_is_not_known(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    with pytest.raises(ZeroDivisionError):
        async with core.transaction():
            await Person.update_by_id(ann.id, {"$set": {"age": 99}})
            await ann.reload()
            assert changes(ann) == {}
            _ = 1 / 0
    assert changes(ann) == {"name": "Ann", "age": 99, "tags": [], "address": None}
    await ann.reload()
    assert ann.age == 0
