"""The stored form: new, stored, known, and every way between them."""

import asyncio
import copy
import datetime as dt
import pickle
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import mongojet
import msgspec
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from pymongo import ReplaceOne

from mongospec_core import (
    BulkInsertError,
    DocumentNotFoundError,
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    OperationTimeoutError,
    changes,
    outside_transaction,
    run_in_transaction,
    transaction,
)
from mongospec_core.model.snapshot import UNKNOWN_CONTENT, Snapshot, is_new, snapshot_of
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Address, Person

ALL = {"name": "b", "age": 0, "tags": [], "address": None}


def form(document: Any) -> str:
    """The stored form's name."""
    known = snapshot_of(document)
    if is_new(document):
        return "new"
    return "stored" if known is UNKNOWN_CONTENT else "known"


def sent(seen: list[Any]) -> list[Any]:
    """The update documents that went out."""
    return [each["u"] for command in seen for each in command.body.get("updates", ())]


# -- reads make it known


READS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "find_one": lambda _id: Person.find_one({"_id": _id}),
    "find_by_id": Person.find_by_id,
    "find_all": lambda _: Person.find_all(),
    "find": lambda _: Person.find().to_list(),
    "batches": lambda _: anext(Person.find().batches()),
    "anext": lambda _: anext(Person.find()),
    "aggregate": lambda _: Person.aggregate([{"$match": {}}], into=Person).to_list(),
    "find_one_and_update": lambda _: Person.find_one_and_update({}, {"$set": {"age": 9}}),
    "find_one_and_update before": lambda _: Person.find_one_and_update(
        {}, {"$set": {"age": 9}}, return_updated=False
    ),
    "find_one_and_replace": lambda _: Person.find_one_and_replace({}, Person(name="a")),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_read_makes_it_known(
    bind: Bind, mongo_proxy: FaultProxy, read: Callable[[Any], Awaitable[Any]]
) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"]).insert()
    found = await read(one.id)
    document = found[0] if isinstance(found, list) else found
    assert form(document) == "known"
    assert changes(document) == {}
    document.name = "b"
    with mongo_proxy.recording() as seen:
        await document.save()
    assert sent(seen) == [{"$set": {"name": "b"}}]


async def test_a_document_that_find_one_and_delete_gives_is_new(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    gone = await Person.find_one_and_delete({})
    assert gone is not None
    assert form(gone) == "new"
    await gone.insert()
    assert await Person.find_all() == [gone]


async def test_a_plain_read_of_dicts_and_shapes_carries_nothing(bind: Bind) -> None:
    class Shape(msgspec.Struct):
        name: str

    await bind(Person)
    await Person(name="a").insert()
    (shape,) = await Person.find_all(projection=Shape)
    assert not hasattr(shape, "_stored_form")


# -- inserts


async def test_an_insert_makes_it_known(bind: Bind) -> None:
    await bind(Person)
    one, two, three, four = (Person(name=each) for each in "abcd")
    assert [form(each) for each in (one, two, three, four)] == ["new"] * 4
    await one.insert()
    await Person.insert_one(two)
    await Person.insert_many([three])
    await Person.insert_if_not_exists(four, {"name": "d"})
    assert [form(each) for each in (one, two, three, four)] == ["known"] * 4
    assert [changes(each) for each in (one, two, three, four)] == [{}] * 4
    five = Person(name="d")
    assert await Person.insert_if_not_exists(five, {"name": "d"}) is None
    assert (form(five), five.id) == ("new", None)


async def test_a_refused_insert_leaves_it_new(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    twin = Account(email="a")
    with pytest.raises(DuplicateKeyError):
        await twin.insert()
    assert (form(twin), twin.id) == ("new", None)
    batch = [Account(email=each) for each in "bac"]
    with pytest.raises(BulkInsertError):
        await Account.insert_many(batch)
    assert [form(each) for each in batch] == ["known", "new", "new"]


async def test_two_inserts_of_one_document_at_once_leave_it_stored_once(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    """The first one's id is the second one's too; the one that loses must not take it back."""
    await bind(Person)
    one = Person(name="a")
    with mongo_proxy.delay("insert", 0.2, times=1):
        ended = await asyncio.gather(one.insert(), one.insert(), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["DuplicateKeyError", "Person"]
    assert form(one) == "known"
    assert await Person.find_all() == [one]


async def test_an_insert_with_an_unknown_outcome_makes_it_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one, two = Person(name="b"), Person(name="b")
    with mongo_proxy.cut("insert", at="reply"):
        with pytest.raises(OperationError):
            await one.insert()
        with pytest.raises(BulkInsertError):
            await Person.insert_many([two])
    assert [form(one), form(two)] == ["stored", "stored"]
    assert changes(one) == ALL
    with mongo_proxy.recording() as seen:
        await one.save()
    assert sent(seen) == [{"$set": ALL}]
    assert form(one) == "known"


async def test_an_insert_whose_write_concern_failed_makes_it_known(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = Person(name="a")
    with mongo_proxy.write_concern_error("insert"), pytest.raises(OperationError) as caught:
        await one.insert()
    assert caught.value.outcome == "applied"
    assert form(one) == "known"


# -- saves


async def test_a_save_makes_it_known_by_what_was_sent(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    built = Person(_id=one.id, name="b")
    assert form(built) == "new"
    await built.save()
    assert form(built) == "known"
    fresh = Person(_id=ObjectId(), name="c")
    await fresh.save(upsert=True)
    assert (form(fresh), changes(fresh)) == ("known", {})


async def test_a_refused_save_leaves_it_as_it_was(bind: Bind) -> None:
    await bind(Account)
    await Account(email="taken").insert()
    one = await Account(email="a").insert()
    before = snapshot_of(one)
    one.email = "taken"
    with pytest.raises(DuplicateKeyError):
        await one.save()
    assert snapshot_of(one) is before
    assert changes(one) == {"email": "taken"}


async def test_a_save_of_a_document_that_is_gone_leaves_it_as_it_was(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    await Person.delete_many({})
    before = snapshot_of(one)
    one.name = "b"
    with pytest.raises(DocumentNotFoundError):
        await one.save()
    assert snapshot_of(one) is before


@pytest.mark.parametrize("code", [50, 64, 91, 189, 262, 11600, 11602])
async def test_a_save_with_an_unknown_outcome_makes_it_stored(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    with mongo_proxy.fail("update", code), pytest.raises(OperationError) as caught:
        await one.save()
    assert caught.value.outcome == "unknown"
    assert form(one) == "stored"
    assert changes(one) == ALL


async def test_a_save_that_ran_out_of_time_makes_it_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    with mongo_proxy.stall("update"), pytest.raises(OperationTimeoutError):
        await one.save(timeout=0.2)
    assert form(one) == "stored"
    await one.save()
    assert (await stored(Person))[0]["name"] == "b"


async def test_a_read_after_an_unknown_outcome_is_known_again(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    with mongo_proxy.cut("update", at="reply"), pytest.raises(OperationError):
        await one.save()
    found = await Person.find_by_id(one.id)
    assert found == one
    assert (form(one), form(found)) == ("stored", "known")


# -- deletes


async def test_a_delete_makes_it_new(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    twin = copy.copy(one)
    assert await one.delete() == 1
    assert await twin.delete() == 0
    assert (form(one), form(twin)) == ("new", "new")


async def test_a_refused_delete_leaves_it_as_it_was(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    with mongo_proxy.fail("delete", 13), pytest.raises(OperationError):
        await one.delete()
    assert (form(one), changes(one)) == ("known", {})


async def test_a_delete_in_a_session_of_the_callers_makes_it_stored(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(Person)
    one, two = await Person(name="a").insert(), await Person(name="b").insert()
    session = await mongo_client.start_session()
    await session.start_transaction()
    await one.delete(session=session)
    gone = await Person.find_one_and_delete({"name": "b"}, session=session)
    assert (form(one), form(gone)) == ("stored", "stored")
    await session.abort_transaction()
    await one.save()
    assert await Person.find_all(sort="name") == [one, two]


async def test_a_delete_with_an_unknown_outcome_makes_it_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    with mongo_proxy.cut("delete", at="reply"), pytest.raises(OperationError) as caught:
        await one.delete()
    assert caught.value.outcome == "unknown"
    assert form(one) == "stored"
    with pytest.raises(DocumentNotFoundError):
        await one.save()  # it does not pass for saved


# -- a session of the caller's own: its end is not seen


async def test_writes_in_a_session_of_the_callers_make_it_stored(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(Person)
    session = await mongo_client.start_session()
    one = await Person(name="a").insert(session=session)
    batch = [Person(name="b"), Person(name="c")]
    await Person.insert_many(batch, session=session)
    assert [form(each) for each in (one, *batch)] == ["stored"] * 3
    read = await Person.find_one({"name": "a"}, session=session)
    assert form(read) == "known"
    assert read is not None
    read.name = "z"
    await read.save(session=session)
    assert form(read) == "stored"
    batch[0].name = "y"
    await Person.save_many(batch, session=session)
    assert [form(each) for each in batch] == ["stored", "stored"]
    await one.save()
    assert form(one) == "known"


async def test_a_save_repeated_after_an_abort_in_a_raw_session_does_write(
    bind: Bind, mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    session = await mongo_client.start_session()
    for _ in range(2):
        await session.start_transaction()
        await one.save(session=session)
        await session.abort_transaction()
    assert (await stored(Person))[0]["name"] == "a"
    with mongo_proxy.recording() as seen:
        await one.save()
    assert sent(seen) == [{"$set": ALL}]
    assert (await stored(Person))[0]["name"] == "b"


async def test_an_insert_repeated_after_an_abort_in_a_raw_session(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(Person)
    one = Person(name="a")
    session = await mongo_client.start_session()
    await session.start_transaction()
    await one.insert(session=session)
    await session.abort_transaction()
    with pytest.raises(DocumentNotFoundError):
        await one.save()
    await one.insert()
    assert await Person.find_all() == [one]


# -- our own transaction


class StopError(Exception):
    """Ends a transaction."""


async def test_an_abort_gives_back_every_form(bind: Bind) -> None:
    await bind(Person)
    fresh = Person(name="fresh")
    many = [Person(name="m1"), Person(name="m2")]
    maybe = Person(name="maybe")
    known = await Person(name="known").insert()
    unknown = Person(_id=known.id, name="built")
    doomed = await Person(name="doomed").insert()
    saved = [await Person(name="s1").insert(), await Person(name="s2").insert()]
    found = await Person.find_one({"name": "doomed"})
    everything = [fresh, *many, maybe, known, unknown, doomed, *saved]
    before = [snapshot_of(each) for each in everything]
    known.name = "changed"
    for each in saved:
        each.age = 5
    with pytest.raises(StopError):
        async with transaction():
            await fresh.insert()
            await Person.insert_many(many)
            await Person.insert_if_not_exists(maybe, {"name": "maybe"})
            await known.save()
            await unknown.save()
            await doomed.delete()
            await Person.save_many(saved)
            gone = await Person.find_one_and_delete({"name": "s1"})
            assert [form(each) for each in (fresh, known, unknown, doomed)] == [
                "known",
                "known",
                "known",
                "new",
            ]
            assert form(gone) == "new"
            raise StopError
    assert [snapshot_of(each) for each in everything] == before
    assert [each.id for each in (fresh, *many, maybe)] == [None] * 4
    assert form(gone) == "stored"  # what it held may have been of the transaction
    assert changes(known) == {"name": "changed"}
    assert [changes(each) for each in saved] == [{"age": 5}, {"age": 5}]
    assert found == doomed
    await known.save()
    assert (await Person.find_by_id(known.id)) == known


async def test_a_save_before_and_in_an_aborted_transaction(bind: Bind) -> None:
    """What is given back is the form from before the first write of the transaction."""
    await bind(Person)
    one = await Person(name="a").insert()
    with pytest.raises(StopError):
        async with transaction():
            for name in "bcd":
                one.name = name
                await one.save()
            raise StopError
    assert changes(one) == {"name": "d"}
    await one.save()
    assert (await stored(Person))[0]["name"] == "d"


async def test_a_commit_keeps_the_forms(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    one, two = Person(name="a"), await Person(name="b").insert()
    async with transaction():
        await one.insert()
        two.name = "c"
        await two.save()
    assert (form(one), form(two)) == ("known", "known")
    with mongo_proxy.recording() as seen:
        await one.save()
        await two.save()
    assert seen == []


async def test_a_save_repeated_by_run_in_transaction_writes_each_time(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    one.name = "b"
    updates: list[Any] = []

    async def work() -> None:
        with mongo_proxy.recording() as seen:
            await one.save()
        updates.extend(sent(seen))

    transient = ["TransientTransactionError"]
    with mongo_proxy.fail("commitTransaction", 112, labels=transient, times=2):
        await run_in_transaction(work)
    assert updates == [{"$set": {"name": "b"}}] * 3
    assert (await stored(Person))[0]["name"] == "b"
    assert changes(one) == {}


async def test_a_default_that_is_made_anew_is_stored_once_it_is_set(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Fresh)
    await Fresh.get_collection().insert_one({"name": "a"})
    (first,), (second,) = await Fresh.find_all(), await Fresh.find_all()
    assert first.token != second.token  # each read makes its own
    first.name = "b"
    assert changes(first) == {"name": "b"}  # the other was neither read nor set
    await first.save()
    assert "token" not in (await stored(Fresh))[0]
    first.token = uuid4()
    assert changes(first) == {"token": first.token}
    with mongo_proxy.recording() as seen:
        await first.save()
    assert sent(seen) == [{"$set": {"token": first.token}}]
    assert {each.token for each in await Fresh.find_all()} == {first.token}
    await Fresh.update_by_id(first.id, {"$unset": {"token": ""}})
    (again,) = await Fresh.find_all()
    lacking = {"_id": again.id, "token": {"$exists": False}}
    await Fresh.update_one(lacking, {"$set": {"token": again.token}})
    (kept,) = await Fresh.find_all()
    assert kept.token == again.token


# -- copies


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "copy.replace": copy.replace,
    "pickle": lambda each: pickle.loads(pickle.dumps(each)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
async def test_every_kind_of_copy_carries_every_form(
    bind: Bind, mongo_proxy: FaultProxy, copied: Callable[[Any], Any]
) -> None:
    await bind(Person)
    new = Person(_id=ObjectId(), name="b")
    known = await Person(name="b", address=Address(city="Rome")).insert()
    unsure = await Person(name="b").insert()
    with mongo_proxy.fail("update", 50), pytest.raises(OperationError):
        unsure.age = 1
        await unsure.save()
    twins = [copied(each) for each in (new, known, unsure)]
    assert [form(each) for each in twins] == ["new", "known", "stored"]
    assert twins == [new, known, unsure]
    assert snapshot_of(twins[2]) is UNKNOWN_CONTENT
    twins[1].age = 7
    with mongo_proxy.recording() as seen:
        await twins[1].save()
    assert sent(seen) == [{"$set": {"age": 7}}]
    assert changes(known) == {}  # the original does not know what its copy did


async def test_a_copy_of_a_document_with_fresh_defaults_carries_them(bind: Bind) -> None:
    await bind(Fresh)
    await Fresh.get_collection().insert_one({"name": "a"})
    (one,) = await Fresh.find_all()
    assert isinstance(snapshot_of(one), Snapshot)
    for copied in COPIES.values():
        assert changes(copied(one)) == {}


async def test_a_frozen_document_is_changed_by_replace_and_saved(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Icy(MongoDocument, frozen=True):
        name: str
        age: int = 0

    await bind(Icy)
    one = await Icy(name="a", age=3).insert()
    twin = copy.replace(one, name="b")
    with mongo_proxy.recording() as seen:
        await twin.save()
    assert sent(seen) == [{"$set": {"name": "b"}}]
    other = copy.replace(one, _id=ObjectId())
    assert form(other) == "new"


# -- what save() sends


class Stamped(MongoDocument):
    name: str
    tags: list[str] = []
    updated_at: dt.datetime | None = None

    def __pre_save__(self) -> None:
        self.updated_at = dt.datetime.now(dt.UTC)


async def test_a_hook_that_stamps_sends_exactly_its_field(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Stamped)
    one = await Stamped(name="a").insert()
    await asyncio.sleep(0.002)
    with mongo_proxy.recording() as seen:
        await one.save()
        await asyncio.sleep(0.002)
        one.tags.append("x")
        await one.save()
    first, second = sent(seen)
    assert [list(each) for each in (first, second)] == [["$set"], ["$set"]]
    assert set(first["$set"]) == {"updated_at"}
    assert set(second["$set"]) == {"tags", "updated_at"}
    (found,) = await Stamped.find_all()
    assert found == one


async def test_changes_made_while_a_save_is_in_flight_are_sent_by_the_next(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="a", address=Address(city="Rome")).insert()
    one.name = "b"
    with mongo_proxy.delay("update", 0.2, times=1) as delay, mongo_proxy.recording() as seen:
        saving = asyncio.create_task(one.save())
        await delay.reached()
        one.name = "c"
        one.tags.append("x")
        assert one.address is not None
        one.address.city = "Oslo"
        await saving
        assert changes(one) == {"name": "c", "tags": ["x"], "address": one.dump()["address"]}
        await one.save()
    assert sent(seen) == [
        {"$set": {"name": "b"}},
        {"$set": {"name": "c", "tags": ["x"], "address": {"city": "Oslo", "place": None}}},
    ]
    assert await Person.find_all() == [one]


async def test_changes_made_while_an_insert_is_in_flight_are_sent_by_the_next_save(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one, two = Person(name="a"), Person(name="b")
    with mongo_proxy.delay("insert", 0.2) as delay:
        inserting = [
            asyncio.create_task(one.insert()),
            asyncio.create_task(Person.insert_many([two])),
        ]
        await delay.reached(2)
        one.tags.append("x")
        two.age = 5
        await asyncio.gather(*inserting)
    assert (changes(one), changes(two)) == ({"tags": ["x"]}, {"age": 5})


async def test_changes_made_while_save_many_is_in_flight_are_sent_by_the_next(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [await Person(name=each).insert() for each in "ab"]
    for each in people:
        each.age = 1
    with mongo_proxy.delay("update", 0.2, times=1) as delay:
        saving = asyncio.create_task(Person.save_many(people))
        await delay.reached()
        people[0].age = 2
        people[1].tags.append("x")
        await saving
    assert [changes(each) for each in people] == [{"age": 2}, {"tags": ["x"]}]


async def test_another_writers_increment_survives_in_every_kind_of_save(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    for _ in range(3):
        await Person.update_one({}, {"$inc": {"age": 1}})
        one.name += "x"
        await one.save()
        one.name += "y"
        await Person.save_many([one])
    assert [(each.name, each.age) for each in await Person.find_all()] == [("axyxyxy", 3)]


# -- a document just read has no changes


class Inner(msgspec.Struct):
    name: str = "x"
    token: UUID = msgspec.field(default_factory=uuid4)
    since: dt.datetime = msgspec.field(default_factory=lambda: dt.datetime.now(dt.UTC))


class Fresh(MongoDocument):
    """Its defaults are new at every reading."""

    name: str
    token: UUID = msgspec.field(default_factory=uuid4)
    since: dt.datetime = msgspec.field(default_factory=lambda: dt.datetime.now(dt.UTC))
    inner: Inner | None = None
    inners: list[Inner] = []
    extra: Inner = msgspec.field(default_factory=Inner)


@pytest.mark.parametrize(
    "document",
    [
        {"name": "a"},
        {"name": "a", "inner": {}},
        {"name": "a", "inner": {"name": "y"}, "inners": [{}, {"name": "z"}]},
        {"name": "a", "extra": {}},
    ],
)
async def test_defaults_that_are_new_at_every_reading_are_no_changes(
    bind: Bind, mongo_proxy: FaultProxy, document: dict[str, Any]
) -> None:
    await bind(Fresh)
    await Fresh.get_collection().insert_one(document)
    (one,) = await Fresh.find_all()
    assert changes(one) == {}
    with mongo_proxy.recording() as seen:
        await one.save()
    assert seen == []
    one.name = "b"
    assert changes(one) == {"name": "b"}
    one.token = uuid4()
    assert set(changes(one)) == {"name", "token"}


BSON_VALUES: list[Any] = [
    Int64(5),
    2**40,
    1.5,
    float("inf"),
    float("nan"),
    -0.0,
    "text",
    b"bytes",
    Binary(b"other", 5),
    UUID(int=5),
    Decimal128("1.50"),
    Decimal128("NaN"),
    Decimal128("1E+3"),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ObjectId("65f0c0ffee65f0c0ffee0001"),
    Regex("^a", re.IGNORECASE),
    re.compile("^a"),
    Timestamp(1, 2),
    MinKey(),
    MaxKey(),
    Code("f()"),
    DBRef("a", 1),
    {"b": 1, "a": [1, {"x": None}], "": {}},
    [[], [[1]], {}],
    None,
]


class Anything(MongoDocument):
    value: Any = 7


@pytest.mark.parametrize("value", BSON_VALUES, ids=repr)
async def test_any_value_of_bson_is_no_change_after_a_read(bind: Bind, value: Any) -> None:
    await bind(Anything)
    await Anything.get_collection().insert_one({"value": value})
    (one,) = await Anything.find_all()
    assert changes(one) == {}
    one.value = "other"
    assert changes(one) == {"value": "other"}
    (one,) = await Anything.find_all()
    one.value = [one.value]
    await one.save()
    (again,) = await Anything.find_all()
    assert changes(again) == {}
    again.value = again.value[0]
    await again.save()
    (raw,) = await stored(Anything)
    expected = await Anything.get_collection().find_one({})
    assert expected is not None
    assert repr(raw["value"]) == repr(expected["value"])


async def test_numbers_of_another_type_than_the_field_are_no_changes(bind: Bind) -> None:
    class Sizes(MongoDocument):
        real: float = 0.0
        reals: list[float] = []
        by_name: dict[str, float] = {}
        price: Decimal = Decimal(0)
        days: dt.timedelta = dt.timedelta(0)

    await bind(Sizes)
    await Sizes.get_collection().insert_one(
        {"real": 3, "reals": [1, 2.5], "by_name": {"a": 1}, "days": 86_400_000}
    )
    (one,) = await Sizes.find_all()
    assert changes(one) == {}
    one.reals.append(4.0)
    assert changes(one) == {"reals": [1.0, 2.5, 4.0]}


async def test_a_value_that_is_stored_as_a_simpler_one_is_no_change_afterwards(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Mood(StrEnum):
        GOOD = "good"

    class Loose(MongoDocument):
        text: str = ""
        data: bytes = b""
        price: Decimal = Decimal(0)
        at: dt.datetime | None = None

    await bind(Loose)
    given: dict[str, Any] = {
        "text": Mood.GOOD,
        "data": bytearray(b"x"),
        "price": Decimal128("1.50"),
        "at": dt.date(2026, 1, 1),
    }
    one = await Loose(**given).insert()
    assert changes(one) == {}
    with mongo_proxy.recording() as seen:
        await one.save()
    assert seen == []
    (found,) = await Loose.find_all()
    midnight = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert found == Loose(_id=one.id, text="good", data=b"x", price=Decimal("1.50"), at=midnight)


async def test_unknown_fields_inside_of_a_nested_struct_are_no_change(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one(
        {"name": "a", "address": {"city": "Rome", "place": {"street": "x", "zip": 1, "old": 1}}}
    )
    (one,) = await Person.find_all()
    assert changes(one) == {}
    assert one.address is not None
    one.address.city = "Rome"
    assert changes(one) == {}


async def test_a_field_with_omitted_default_is_removed_when_it_is_set_back(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Lean(MongoDocument, omit_defaults=True):
        name: str = ""
        tags: list[str] = []
        age: int = 0

    await bind(Lean)
    one = await Lean(name="a", age=5, tags=["x"]).insert()
    one.age = 0
    one.tags.clear()
    with mongo_proxy.recording() as seen:
        await one.save()
    assert sent(seen) == [{"$unset": {"age": "", "tags": ""}}]
    assert await stored(Lean) == [{"_id": one.id, "name": "a"}]
    (found,) = await Lean.find_all()
    assert found == one
    assert changes(found) == {}


# -- what equals the stored value counts as unchanged, whatever class it is of


class Text(str):
    __slots__ = ()


class Texts(MongoDocument):
    plain: str = ""
    listed: list[str] = []
    keyed: dict[str, list[str]] = {}
    anything: Any = None
    other: int = 0


async def test_a_subclass_of_a_bson_type_is_no_change_at_any_depth(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Texts)
    text = Text("t")
    document = await Texts(
        plain=text, listed=[text], keyed={"k": [text]}, anything={"a": [{"b": text}]}
    ).insert()
    assert changes(document) == {}
    document.other = 1
    with mongo_proxy.recording() as seen:
        await document.save()
    assert sent(seen) == [{"$set": {"other": 1}}]
    read = await Texts.find_by_id(document.id)
    assert read is not None
    read.keyed = {"k": [Text("t")]}
    assert changes(read) == {}
    read.listed = [Text("u")]
    assert changes(read) == {"listed": ["u"]}


# -- two writes of one object at once


async def test_two_saves_at_once_do_not_hide_a_change(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.age = 1
    with mongo_proxy.delay("update", 0.3, at="reply", times=1) as rule:
        first = asyncio.create_task(person.save())
        await rule.reached()
        person.name = "b"
        await person.save()
        await first
    person.name = "a"  # the database says "b"
    await person.save()
    assert (await stored(Person))[0]["name"] == "a"


async def test_two_equal_saves_at_once_leave_it_known(bind: Bind) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.age = 1
    await asyncio.gather(person.save(), person.save())
    assert form(person) == "known"
    assert changes(person) == {}


async def test_a_save_during_an_insert_does_not_hide_a_change(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = Person(name="a")
    with mongo_proxy.delay("insert", 0.3, at="reply", times=1) as rule:
        insert = asyncio.create_task(person.insert())
        await rule.reached()
        while not await stored(Person):  # noqa: ASYNC110  the rule is reached before the server is
            await asyncio.sleep(0.01)
        person.age = 5
        await person.save()
        await insert
    person.age = 0
    await person.save()
    assert (await stored(Person))[0]["age"] == 0


async def test_a_save_and_a_save_many_at_once_do_not_hide_a_change(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.age = 3
    with mongo_proxy.delay("update", 0.3, at="reply", times=1) as rule:
        many = asyncio.create_task(Person.save_many([person]))
        await rule.reached()
        person.age = 4
        await person.save()
        await many
    person.age = 3
    await person.save()
    assert (await stored(Person))[0]["age"] == 3


async def test_a_document_that_was_saved_while_its_deletion_was_in_flight_is_not_new(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    with mongo_proxy.delay("delete", 0.3, at="reply", times=1) as rule:
        deletion = asyncio.create_task(person.delete())
        await rule.reached()
        await person.save(upsert=True)
        await deletion
    assert form(person) == "stored"


async def test_a_write_outside_of_an_aborted_transaction_is_not_forgotten(bind: Bind) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await Person(name="other").insert()
            with outside_transaction():
                person.age = 1
                await person.save()
            raise ZeroDivisionError
    person.age = 0
    await person.save()
    assert (await stored(Person))[0]["age"] == 0


async def test_a_save_many_cancelled_in_its_second_attempt_keeps_the_doubt_of_the_first(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.age = 1
    mongo_proxy.cut("update", at="reply", times=1)
    delayed = mongo_proxy.delay("update", 0.2, skip=1, times=1)
    mongo_proxy.fail("update", 13, skip=1)
    task = asyncio.create_task(Person.save_many([person]))
    await delayed.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    mongo_proxy.clear()
    assert form(person) == "stored"


async def test_a_save_many_cancelled_while_it_asks_what_is_gone_knows_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [Person(name="a"), Person(name="b")]
    await Person.insert_many(people)
    await Person.delete_by_id(people[0].id)
    for each in people:
        each.age = 1
    delayed = mongo_proxy.delay("find", 0.3, at="request")
    task = asyncio.create_task(Person.save_many(people))
    await delayed.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [form(each) for each in people] == ["stored", "stored"]


# -- after a replace the document is known


@pytest.mark.parametrize("return_updated", [True, False])
async def test_a_replacement_is_known_and_has_the_id(bind: Bind, return_updated: bool) -> None:
    await bind(Person)
    old = await Person(name="a").insert()
    new = Person(name="b")
    await Person.find_one_and_replace({"name": "a"}, new, return_updated=return_updated)
    assert new.id == old.id
    assert changes(new) == {}
    await Person.update_by_id(new.id, {"$set": {"name": "another writer's"}})
    new.age = 7
    await new.save()
    assert [(each["name"], each["age"]) for each in await stored(Person)] == [
        ("another writer's", 7)
    ]


async def test_a_replacement_that_found_nothing_stays_new(bind: Bind) -> None:
    await bind(Person)
    new = Person(name="b")
    assert await Person.find_one_and_replace({"name": "none"}, new) is None
    await Person.bulk_write([ReplaceOne({"name": "none"}, new)])
    assert new.id is None
    assert form(new) == "new"


async def test_a_replacement_in_a_bulk_write_is_known(bind: Bind) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.age = 2
    await Person.bulk_write([ReplaceOne({"_id": person.id}, person)])
    assert changes(person) == {}
    person.age = 0
    await person.save()
    assert (await stored(Person))[0]["age"] == 0
    inserted, named = Person(name="u"), Person(name="n")
    await Person.bulk_write(
        [
            ReplaceOne({"name": "none"}, inserted, upsert=True),
            ReplaceOne({"_id": person.id}, named),
        ]
    )
    assert named.id == person.id
    assert inserted.id == (await stored(Person, {"name": "u"}))[0]["_id"]
    assert [changes(inserted), changes(named)] == [{}, {}]


async def test_of_replacements_of_which_one_found_nothing_none_is_known(bind: Bind) -> None:
    await bind(Person)
    here, gone = await Person(name="a").insert(), await Person(name="b").insert()
    await Person.delete_by_id(gone.id)
    await Person.bulk_write([ReplaceOne({"_id": each.id}, each) for each in (here, gone)])
    assert [form(here), form(gone)] == ["stored", "stored"]


async def test_a_replacement_in_an_aborted_transaction_is_as_it_was(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    new = Person(name="b")
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await Person.find_one_and_replace({"name": "a"}, new)
            raise ZeroDivisionError
    assert new.id is None
    assert form(new) == "new"


# -- a write that found nothing, and whose write concern failed, was not applied


async def test_a_save_of_what_is_gone_is_not_applied_if_its_write_concern_fails(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    gone, here = await Person(name="a").insert(), await Person(name="b").insert()
    await Person.delete_by_id(gone.id)
    gone.age = here.age = 1
    outcomes: list[str] = []
    for person in (gone, here):
        with mongo_proxy.write_concern_error("update"), pytest.raises(OperationError) as caught:
            await person.save()
        outcomes.append(caught.value.outcome)
    assert outcomes == ["not_applied", "applied"]
    assert changes(gone) == {"age": 1}
    assert changes(here) == {}


async def test_what_exists_is_not_inserted_if_the_write_concern_fails(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person(name="there").insert()
    twin, new = Person(name="there", age=5), Person(name="new")
    outcomes: list[str] = []
    for person in (twin, new):
        with mongo_proxy.write_concern_error("update"), pytest.raises(OperationError) as caught:
            await Person.insert_if_not_exists(person, {"name": person.name})
        outcomes.append(caught.value.outcome)
    assert outcomes == ["not_applied", "applied"]
    assert twin.id is None
    assert await Person.count() == 2


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


class UndoneError(Exception):
    """Raised to abort."""


async def test_what_an_aborted_transaction_gave_and_read_is_sent_whole_by_a_save(
    bind: Bind,
) -> None:
    await bind(Person)
    person = await Person(name="a", age=0).insert()
    with pytest.raises(UndoneError):
        async with transaction():
            given = await Person.find_one_and_update({}, {"$set": {"age": 77}})
            read = await Person.find_one()
            listed = await Person.find_all()
            streamed = [each async for each in Person.find()]
            raise UndoneError
    assert given is not None
    assert read is not None
    for each in (given, read, *listed, *streamed):
        assert snapshot_of(each) is UNKNOWN_CONTENT
        assert changes(each)["age"] == 77
    await read.save()
    again = await Person.find_by_id(person.id)
    assert again is not None
    assert again.age == 77


async def test_what_a_committed_transaction_read_stays_known(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    async with transaction():
        read = await Person.find_one()
    assert read is not None
    assert changes(read) == {}


async def test_a_document_deleted_in_an_aborted_transaction_is_not_new_again(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    with pytest.raises(UndoneError):
        async with transaction():
            gone = await Person.find_one_and_delete({})
            raise UndoneError
    assert gone is not None
    assert snapshot_of(gone) is UNKNOWN_CONTENT


async def _in_session(client: mongojet.Client) -> AsyncIterator[Any]:
    session = await client.start_session()
    await session.start_transaction()
    yield session
    await session.abort_transaction()


async def test_what_find_one_and_update_gave_in_a_callers_session_is_sent_whole(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    db = await bind(Person)
    await Person(name="a", age=0).insert()
    async for session in _in_session(db.client):
        given = await Person.find_one_and_update({}, {"$set": {"age": 77}}, session=session)
    assert given is not None
    await given.save()
    again = await Person.find_one()
    assert again is not None
    assert again.age == 77
