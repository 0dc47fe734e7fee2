"""What somebody would try who knows MongoDB, but not us: refused with the way out, or it works."""

import asyncio
import pickle
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pymongo import InsertOne, UpdateOne

from mongospec_core import (
    DefinitionError,
    DuplicateKeyError,
    EncodingError,
    MongoDocument,
    NotBoundError,
    OperationError,
    OptionError,
    changes,
    connect,
    init,
    transaction,
)
from mongospec_core.extension import is_new
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person


class Event(MongoDocument):
    at: datetime
    title: str = ""


class Heavy(MongoDocument):
    data: bytes
    number: int = 0


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


async def test_save_many_cuts_its_commands_below_16_megabytes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Heavy)
    heavy = [await Heavy(data=b"").insert() for _ in range(3)]
    for each in heavy:
        each.data = bytes(7_000_000)
    with mongo_proxy.recording() as seen:
        await Heavy.save_many(heavy)
    updates = [each for each in seen if each.name == "update"]
    assert [len(each.body["updates"]) for each in updates] == [2, 1]
    assert await Heavy.count({"data": bytes(7_000_000)}) == 3


@pytest.mark.parametrize("option", ["upsert", "collation", "array_filters", "hint"])
async def test_bulk_operations_refuse_options_that_they_would_drop(bind: Bind, option: str) -> None:
    await bind(Person)
    given: Any = {option: None}
    with pytest.raises(OptionError, match=option):
        await Person.save_many([], **given)
    with pytest.raises(OptionError, match=option):
        await Person.bulk_write([], **given)


async def test_bulk_operations_refuse_an_unacknowledged_write(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="w=0"):
        await Person.bulk_write([InsertOne({"name": "a"})], write_concern={"w": 0})
    assert await Person.count() == 0


@pytest.mark.parametrize("at", [datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)])
async def test_insert_if_not_exists_takes_the_documents_own_microseconds(
    bind: Bind, at: datetime
) -> None:
    await bind(Event)
    first = await Event.insert_if_not_exists(Event(at=at), {"at": at})
    assert first is not None
    assert await Event.insert_if_not_exists(Event(at=at), {"at": at}) is None


async def test_a_write_must_say_that_it_means_all(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    nothing: Any = None
    for act in (
        lambda: Person.delete_many(nothing),
        lambda: Person.delete_one(nothing),
        lambda: Person.update_many(nothing, {"$set": {"name": "b"}}),
        lambda: Person.find_one_and_delete(nothing),
        lambda: Person.exists(nothing),
    ):
        with pytest.raises(OptionError, match=r"Person.*\{\} means all"):
            await act()
    assert await Person.count(None) == 1
    assert await Person.delete_many({}) == 1


@pytest.mark.parametrize(
    "id_type", [list[int], tuple[int, int], set[str] | None], ids=["list", "tuple", "set"]
)
async def test_an_id_that_is_an_array_is_refused_at_init(bind: Bind, id_type: Any) -> None:
    cls = type(MongoDocument)("Odd", (MongoDocument,), {"__annotations__": {"_id": id_type}})
    with pytest.raises(DefinitionError, match=r"Odd\._id.*array"):
        await bind(cls)


@pytest.mark.parametrize(
    ("option", "value"), [("limit", "3"), ("skip", -3), ("batch_size", 1.5), ("max_time_ms", True)]
)
async def test_a_count_that_is_none_names_the_option(bind: Bind, option: str, value: Any) -> None:
    await bind(Person)
    given: Any = {option: value}
    with pytest.raises(OptionError, match=rf"{option}={value!r}"):
        Person.find({}, **given)


async def test_one_where_many_are_expected_is_told_so(bind: Bind) -> None:
    await bind(Person)
    one: Any = Person(name="a")
    with pytest.raises(OptionError, match="list of documents"):
        await Person.insert_many(one)
    with pytest.raises(OptionError, match="list of documents"):
        await Person.insert_many(None)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"Person\(\.\.\.\) or Person\.load"):
        await Person.insert_many([{"name": "a"}])  # type: ignore[list-item]
    assert await Person.insert_many(iter([])) == []


async def test_init_says_what_it_takes(bind: Bind, mongo_client: Any) -> None:
    with pytest.raises(OptionError, match="Database"):
        await init(mongo_client, document_types=[Person])
    classes: Any = Person
    with pytest.raises(OptionError, match=r"\[Person\]"):
        await init(mongo_client["x"], document_types=classes)
    classes = {"Person": Person}
    with pytest.raises(OptionError, match=r"values\(\)"):
        await init(mongo_client["x"], document_types=classes)


async def test_the_abstract_base_has_no_documents() -> None:
    with pytest.raises(NotBoundError, match="abstract"):
        await MongoDocument.find_one()


async def test_a_cursor_says_where_pymongos_chaining_went(bind: Bind) -> None:
    await bind(Person)
    cursor: Any = Person.find()
    with pytest.raises(AttributeError, match=r"find\(\.\.\., sort=\.\.\.\)"):
        cursor.sort("name")
    with pytest.raises(AttributeError, match="rewind"):
        cursor.rewind()


async def test_a_projection_is_no_document_class(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="half-filled"):
        Person.find(projection=Account)

    class Names(msgspec.Struct):
        name: str

    await Person(name="a").insert()
    assert await Person.find_all(projection=Names) == [Names("a")]


async def test_a_duplicate_names_the_document(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    second = Account(email="a")
    with pytest.raises(DuplicateKeyError, match=r"email.*_id=ObjectId"):
        await second.insert()


async def test_one_index_name_for_two_indexes_of_a_class_is_refused(bind: Bind) -> None:
    class Twice(MongoDocument):
        __indexes__: ClassVar = [
            IndexModel("a", name="n", unique=True),
            IndexModel("b", name="n"),
        ]
        a: int
        b: int

    with pytest.raises(DefinitionError, match=r"Twice.*'n' twice"):
        await bind(Twice)


@pytest.mark.parametrize("declared", [IndexModel("a"), "a"])
async def test_indexes_that_are_no_list_name_the_class(bind: Bind, declared: Any) -> None:
    cls = type(MongoDocument)("Bare", (MongoDocument,), {"__indexes__": declared})
    with pytest.raises(DefinitionError, match=r"Bare\.__indexes__ is a list"):
        await bind(cls)


@pytest.mark.parametrize("name", [5, "a$b"])
async def test_a_collection_name_that_is_none_names_the_class(bind: Bind, name: Any) -> None:
    cls = type(MongoDocument)("Named", (MongoDocument,), {"__collection_name__": name})
    with pytest.raises(DefinitionError, match=r"Named\.__collection_name__"):
        await bind(cls)


def test_two_bases_with_fields_are_told_about_mixins() -> None:
    class One(MongoDocument):
        a: int

    class Two(MongoDocument):
        b: int

    with pytest.raises(DefinitionError, match="mixin=True"):

        class Both(One, Two):
            pass


@pytest.mark.parametrize("hook", ["__pre_update__", "__pre_find__", "__upgrade__"])
def test_a_class_hook_without_classmethod_is_refused(hook: str) -> None:
    with pytest.raises(DefinitionError, match=f"{hook}.*@classmethod"):
        type(MongoDocument)("Hooked", (MongoDocument,), {hook: lambda cls, given: given})


async def test_a_uri_that_cannot_be_used_is_told_by_connect() -> None:
    with pytest.raises(OptionError, match="URI"):
        async with connect("localhost:27017", document_types=[Person]):
            pass


async def test_an_operator_on_the_id_does_not_let_the_server_make_another(bind: Bind) -> None:
    await bind(Person)
    person = Person(name="a")
    await Person.insert_if_not_exists(person, {"_id": {"$ne": ObjectId()}, "name": "a"})
    assert await Person.find_all() == [person]


async def test_an_insert_if_not_exists_that_is_cancelled_while_one_exists_stores_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    await Account(email="a").insert()
    second = Account(email="a")
    with mongo_proxy.delay("update", 0.3, at="reply") as rule:
        task = asyncio.create_task(Account.insert_if_not_exists(second, {"email": "a"}))
        await rule.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert second.id is None
    assert is_new(second)


async def test_a_stored_default_is_no_change_where_defaults_are_left_out(bind: Bind) -> None:
    class Sparse(MongoDocument, omit_defaults=True):
        a: int = 0
        b: list[int] = []

    await bind(Sparse)
    await Sparse.get_collection().insert_one({"_id": ObjectId(), "a": 0, "b": []})
    sparse = await Sparse.find_one()
    assert sparse is not None
    assert changes(sparse) == {}
    sparse.a = 5
    await sparse.save()
    sparse.a = 0
    assert changes(sparse) == {"a": msgspec.UNSET}


async def test_a_document_that_contains_itself_is_named(bind: Bind) -> None:
    class Loose(MongoDocument):
        anything: Any

    await bind(Loose)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodingError, match=r"Loose.*contains itself"):
        await Loose(anything=endless).insert()


async def test_a_replacement_that_is_a_dict_is_told_what_it_should_be(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match=r"Person\(\.\.\.\)"):
        await Person.find_one_and_replace({}, {"name": "a"})  # type: ignore[arg-type]


async def test_an_operation_over_16_megabytes_is_refused_before_anything_is_sent(
    bind: Bind,
) -> None:
    await bind(Person)
    with pytest.raises(EncodingError, match="nothing was written"):
        await Person.bulk_write(
            [InsertOne({"name": "a"}), UpdateOne({}, {"$set": {"name": "x" * 17_000_000}})]
        )
    assert await Person.count() == 0


async def test_an_aborted_upsert_takes_its_id_back(bind: Bind) -> None:
    await bind(Person)
    person = Person(name="a")
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await person.save(upsert=True)
            raise ZeroDivisionError
    assert person.id is None
    assert await Person.count() == 0


async def test_errors_of_operations_survive_a_pickle(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    caught: list[OperationError] = []
    for act in (
        lambda: Account(email="a").insert(),
        lambda: Account.insert_many([Account(email="a"), Account(email="b")], ordered=False),
        lambda: Account.bulk_write([InsertOne({"email": "a"})]),
        lambda: Account.find_one({"$nope": 1}),
    ):
        with pytest.raises(OperationError) as error:
            await act()
        caught.append(error.value)
    for each in caught:
        twin = pickle.loads(pickle.dumps(each))
        assert type(twin) is type(each)
        assert str(twin) == str(each)
        assert (twin.outcome, twin.code, twin.labels) == (each.outcome, each.code, each.labels)
