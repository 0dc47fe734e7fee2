"""Deadlines: nothing waits longer than it was told to, also for a server that never answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import mongojet
import pytest
from bson import ObjectId
from pymongo import InsertOne

from mongospec_core import (
    BulkWriteError,
    MongoDocument,
    OperationError,
    OperationTimeoutError,
    OptionError,
    changes,
    close,
    init,
    run_in_transaction,
    timeout,
    transaction,
)
from mongospec_core.extension import UNKNOWN_CONTENT, snapshot_of
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind
from tests.zoo.people import Account, Person

ALL = None  # of the proxy: every command

READS: dict[str, Callable[..., Awaitable[Any]]] = {
    "find": lambda **options: Person.find({}, **options).to_list(),
    "cursor": lambda **options: anext(Person.find({}, **options)),
    "find_one": lambda **options: Person.find_one({}, **options),
    "find_by_id": lambda **options: Person.find_by_id("65f0c0ffee65f0c0ffee0001", **options),
    "find_all": lambda **options: Person.find_all({}, **options),
    "count": lambda **options: Person.count({}, **options),
    "count_documents": lambda **options: Person.count_documents({}, **options),
    "estimated": lambda **options: Person.estimated_document_count(**options),
    "exists": lambda **options: Person.exists({}, **options),
    "distinct": lambda **options: Person.distinct("name", **options),
    "aggregate": lambda **options: Person.aggregate([{"$match": {}}], **options).to_list(),
    "explain": lambda **options: Person.find({}, **options).explain(),
}
WRITES: dict[str, Callable[..., Awaitable[Any]]] = {
    "insert": lambda **options: Person(name="x").insert(**options),
    "insert_one": lambda **options: Person.insert_one(Person(name="x"), **options),
    "insert_many": lambda **options: Person.insert_many([Person(name="x")], **options),
    "insert_if_not_exists": lambda **options: Person.insert_if_not_exists(
        Person(name="x"), {"name": "x"}, **options
    ),
    "update_one": lambda **options: Person.update_one({}, {"$set": {"age": 1}}, **options),
    "update_many": lambda **options: Person.update_many({}, {"$set": {"age": 1}}, **options),
    "update_by_id": lambda **options: Person.update_by_id(
        "65f0c0ffee65f0c0ffee0001", {"$set": {"age": 1}}, **options
    ),
    "find_one_and_update": lambda **options: Person.find_one_and_update(
        {}, {"$set": {"age": 1}}, **options
    ),
    "find_one_and_replace": lambda **options: Person.find_one_and_replace(
        {}, Person(name="x"), **options
    ),
    "find_one_and_delete": lambda **options: Person.find_one_and_delete({}, **options),
    "delete": lambda **options: Person(_id=ObjectId(), name="x").delete(**options),
    "delete_one": lambda **options: Person.delete_one({}, **options),
    "delete_by_id": lambda **options: Person.delete_by_id("65f0c0ffee65f0c0ffee0001", **options),
    "delete_many": lambda **options: Person.delete_many({"age": 0}, **options),
}


@pytest.fixture
async def ada(bind: Bind, mongo_proxy: FaultProxy) -> AsyncIterator[Person]:
    """A stored person, on a server that stops answering now."""
    await bind(Person)
    person = await Person(name="Ada").insert()
    with mongo_proxy.stall(ALL):
        yield person
    mongo_proxy.disconnect()


async def ends(call: Awaitable[Any], outcome: str, within: float = 0.1) -> OperationTimeoutError:
    """The call must end with the deadline's error, in good time."""
    started = time.monotonic()
    with pytest.raises(OperationTimeoutError) as told:
        await call
    assert time.monotonic() - started < within + 0.9
    assert isinstance(told.value, TimeoutError)
    assert told.value.outcome == outcome
    return told.value


@pytest.mark.parametrize("name", READS)
async def test_a_read_ends_within_its_timeout(ada: Person, name: str) -> None:
    await ends(READS[name](timeout=0.1), "not_applied")


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_ends_within_its_timeout_with_an_unknown_outcome(
    ada: Person, name: str
) -> None:
    await ends(WRITES[name](timeout=0.1), "unknown")


async def test_a_save_that_ran_out_of_time_makes_the_content_unknown(ada: Person) -> None:
    ada.age = 3
    await ends(ada.save(timeout=0.1), "unknown")
    assert snapshot_of(ada) is UNKNOWN_CONTENT


async def test_an_insert_that_ran_out_of_time_keeps_its_id(ada: Person) -> None:
    bob = Person(name="Bob")
    await ends(bob.insert(timeout=0.1), "unknown")
    assert bob._id is not None


async def test_save_many_ends_within_its_timeout(ada: Person) -> None:
    ada.age = 1
    error = await ends(Person.save_many([ada], timeout=0.1), "unknown")
    assert isinstance(error, BulkWriteError)
    assert error.unknown == [ada]


async def test_bulk_write_ends_within_its_timeout(ada: Person) -> None:
    bulk = [InsertOne(Person(name="x"))]
    error = await ends(Person.bulk_write(bulk, timeout=0.1), "unknown")
    assert isinstance(error, BulkWriteError)
    assert error.unknown == bulk


async def test_init_timeout_bounds_every_operation(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person, timeout=0.15)
    with mongo_proxy.stall(ALL):
        await ends(Person(name="x").insert(), "unknown", 0.15)
        await ends(Person.find_one(), "not_applied", 0.15)
        await ends(Person(name="x").insert(), "not_applied", 0.15)  # asked first, and not sent


async def test_an_operations_own_timeout_replaces_inits(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person, timeout=0.05)
    with mongo_proxy.delay("find", 0.2):
        assert await Person.find_one(timeout=5) is None
        await ends(Person.find_one(), "not_applied")


async def test_init_itself_ends_within_its_timeout(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    started = time.monotonic()
    with mongo_proxy.stall(ALL, monitoring=True), pytest.raises(TimeoutError):
        await init(mongo_db, [Person], timeout=0.2, close_client=False)
    assert time.monotonic() - started < 1.2


async def test_a_block_bounds_its_operations_together(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    done = 0
    with mongo_proxy.delay("find", 0.08):
        started = time.monotonic()
        with pytest.raises(OperationTimeoutError), timeout(0.3):
            while True:
                await Person.find_one()
                done += 1
        assert 0.25 < time.monotonic() - started < 1
    assert done in {1, 2, 3}


async def test_after_the_time_nothing_is_sent(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    person = Person(name="x")
    with timeout(0), mongo_proxy.recording() as seen:
        await ends(Person.find_one(), "not_applied")
        await ends(person.insert(), "not_applied")
    assert seen == []
    assert person._id is None


async def test_of_nested_blocks_the_nearest_end_counts(ada: Person) -> None:
    with timeout(0.1), timeout(10):
        await ends(Person.find_one(timeout=10), "not_applied")
    with timeout(10), timeout(None):
        await ends(Person.find_one(timeout=0.1), "not_applied")
    with timeout(10), timeout(0.1):
        await ends(Person.find_one(), "not_applied")


async def test_a_block_ends_with_its_with(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(ZeroDivisionError), timeout(0):
        raise ZeroDivisionError
    assert await Person.find_one() is None


async def test_tasks_share_the_budget_of_the_block_that_started_them(ada: Person) -> None:
    with timeout(0.1):
        tasks = [asyncio.create_task(Person.find_one()) for _ in range(3)]
    for task in tasks:
        await ends(task, "not_applied")


async def test_the_deadline_goes_along_as_max_time_ms(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        await Person.find_one(timeout=5)
        await Person.find_all(timeout=5, max_time_ms=17)
        await Person.count(timeout=5)
        await Person.find_one()
        await Person.find(timeout=5).to_list()
        with timeout(5):
            await Person.find().to_list()
    limits = [each.body.get("maxTimeMS") for each in seen]
    assert 4000 < limits[0] <= 5000
    assert limits[1] == 17
    assert 4000 < limits[2] <= 5000
    assert limits[3] is None
    assert limits[4] is None  # the server would count it over all batches
    assert 4000 < limits[5] <= 5000


async def test_the_servers_own_time_limit_is_a_timeout_error(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.fail(("find", "insert"), 50):
        error = await ends(Person.find_one(max_time_ms=5), "not_applied")
        assert error.code == 50
        await ends(Person(name="x").insert(), "unknown")


async def test_a_cursors_timeout_is_for_each_batch(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"p{n}") for n in range(8)])
    with mongo_proxy.delay("getMore", 0.12):
        people = [person async for person in Person.find(batch_size=2, timeout=0.4)]
    assert len(people) == 8


async def test_a_cursor_that_ran_out_of_time_can_be_read_on_and_loses_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"p{n}") for n in range(6)])
    cursor = Person.find(batch_size=2, timeout=0.1, sort="name")
    read = [await anext(cursor), await anext(cursor)]
    with mongo_proxy.delay("getMore", 0.3, times=1):
        await ends(anext(cursor), "not_applied")
        await asyncio.sleep(0.3)
        read += [person async for person in cursor]
    assert [person.name for person in read] == [f"p{n}" for n in range(6)]


async def test_a_transaction_ends_within_the_blocks_time(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = Person(name="x")
    started = time.monotonic()
    mongo_proxy.stall(("insert", "abortTransaction"))
    with timeout(0.1), pytest.raises(OperationTimeoutError):
        async with transaction():
            await person.insert()
    assert time.monotonic() - started < 2
    assert person._id is None
    mongo_proxy.disconnect()


async def test_a_commit_ends_within_the_blocks_time_with_an_unknown_outcome(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = Person(name="x")

    async def work() -> None:
        with timeout(0.3):
            async with transaction():
                await person.insert()

    mongo_proxy.stall("commitTransaction")
    await ends(work(), "unknown", 0.3)
    assert person._id is not None
    assert snapshot_of(person) is UNKNOWN_CONTENT
    mongo_proxy.disconnect()


@pytest.mark.parametrize(("by_init", "by_run"), [(0.2, 120), (None, 0.2)])
async def test_a_commit_ends_within_the_classes_time_or_that_of_run_in_transaction(
    bind: Bind, mongo_proxy: FaultProxy, by_init: float | None, by_run: float
) -> None:
    await bind(Person, timeout=by_init)
    person = Person(name="x")

    async def work() -> None:
        await Person.find_one()
        await person.insert()

    with mongo_proxy.stall("commitTransaction"):
        await ends(run_in_transaction(work, timeout=by_run), "unknown", 1)
    assert person._id is not None
    assert snapshot_of(person) is UNKNOWN_CONTENT
    mongo_proxy.disconnect()


async def test_an_operations_own_time_does_not_hurry_the_commit(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.delay("commitTransaction", 0.5):
        async with transaction():
            await Person(name="x").insert(timeout=0.2)
    assert await Person.count() == 1


async def test_what_took_longer_than_run_in_transaction_repeats_is_committed(bind: Bind) -> None:
    await bind(Person)

    async def work() -> None:
        await Person(name="x").insert()
        await asyncio.sleep(0.1)

    await run_in_transaction(work, timeout=0.05)
    assert await Person.count() == 1


async def test_what_was_not_sent_for_want_of_time_does_not_doom_a_transaction(bind: Bind) -> None:
    await bind(Person)
    async with transaction():
        for name in ("Ada", "Bob"):
            with timeout(0), pytest.raises(OperationTimeoutError, match="before it was sent"):
                await Person(name="late").insert()
            await Person(name=name).insert()
    assert {person.name for person in await Person.find_all()} == {"Ada", "Bob"}


async def test_building_indexes_is_not_bound_by_inits_timeout(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.recording() as seen, mongo_proxy.delay("createIndexes", 0.7):
        await bind(Account, timeout=0.5)
    limits = {each.name: each.body.get("maxTimeMS") for each in seen}
    assert limits["createIndexes"] is None
    assert 400 <= limits["listIndexes"] <= 500


async def test_without_a_deadline_asyncio_timeout_ends_a_save_with_the_outcome_unknown(
    ada: Person,
) -> None:
    ada.age = 4
    started = time.monotonic()
    with pytest.raises(TimeoutError) as told:
        async with asyncio.timeout(1):
            await ada.save()
    assert time.monotonic() - started < 3
    assert told.value.__cause__ is not None
    assert told.value.__cause__.outcome == "unknown"  # type: ignore[attr-defined]
    assert snapshot_of(ada) is UNKNOWN_CONTENT


class Elsewhere(MongoDocument):
    n: int = 0


async def test_ten_calls_on_a_hung_server_do_not_block_the_eleventh_on_another(
    ada: Person, mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    other = await mongojet.create_client(mongo_server.uri)
    await init(other.get_database(mongo_db.name), [Elsewhere], close_client=False)
    hung = [asyncio.create_task(Person(name=f"p{n}").insert(timeout=5)) for n in range(10)]
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await Elsewhere(n=1).insert(timeout=2)
    assert time.monotonic() - started < 1
    assert not any(task.done() for task in hung)
    for task in hung:
        task.cancel()
    gone = await asyncio.gather(*hung, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in gone)
    await other.close()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "5"])
async def test_what_is_no_timeout_is_refused(bind: Bind, seconds: Any) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="number of seconds"), timeout(seconds):
        pass
    with pytest.raises(OptionError, match="number of seconds"):
        await Person.find_one(timeout=seconds)


@pytest.mark.parametrize("seconds", [2_147_484, 1e12, 1e308, float("inf"), 10**400], ids=[*"abcde"])
@pytest.mark.parametrize("name", READS)
async def test_a_read_may_have_a_timeout_beyond_the_servers_numbers_or_is_refused(
    bind: Bind, name: str, seconds: Any
) -> None:
    await bind(Person)
    if seconds == 10**400:
        with pytest.raises(OptionError, match="number of seconds"):
            await READS[name](timeout=seconds)
        return
    with suppress(StopAsyncIteration):  # there is no document
        await READS[name](timeout=seconds)
    with timeout(seconds), suppress(StopAsyncIteration):
        await READS[name]()


# -- late writes: what waits in the driver is sent when it can be


@pytest.fixture
async def narrow(mongo_db: mongojet.Database, mongo_proxy: FaultProxy) -> AsyncIterator[Person]:
    """A stored person, over a client with a single connection."""
    client = await mongojet.create_client(f"{mongo_proxy.uri}&maxPoolSize=1")
    await init(client[mongo_db.name], [Person], close_client=False)
    yield await Person(name="Ada").insert()
    await close()
    await client.close()


async def test_a_write_behind_a_call_that_hangs_is_not_sent_after_its_time(
    narrow: Person, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.recording() as seen, mongo_proxy.stall("find"):
        with pytest.raises(OperationTimeoutError):
            await Person.find_one({}, timeout=0.05)
        narrow.age = 1
        for write in (
            lambda: narrow.save(timeout=0.05),
            lambda: Person.delete_by_id(narrow.id, timeout=0.05),
            lambda: Person(name="Eve").insert(timeout=0.05),
            lambda: Person.save_many([narrow], timeout=0.05),
        ):
            with pytest.raises((OperationTimeoutError, BulkWriteError)) as raised:
                await write()
            assert raised.value.outcome == "not_applied"
    assert changes(narrow) == {"age": 1}
    with mongo_proxy.recording() as later:
        found = await Person.find_all()
    assert [(each.name, each.age) for each in found] == [("Ada", 0)]
    assert {each.name for each in [*seen, *later]} <= {"find", "ping"}
    await narrow.save(timeout=5)
    assert await Person.count({"age": 1}) == 1


async def test_a_server_that_answers_is_not_asked_before_a_write(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert(timeout=5)
    with mongo_proxy.cut("find", times=2), pytest.raises(OperationError):
        await Person.find_one({})
    with mongo_proxy.recording() as seen:
        for age in (1, 2):
            ada.age = age
            await ada.save(timeout=5)
    assert [each.name for each in seen] == ["ping", "update", "update"]
