"""Cancellation: whenever it comes, the database and the objects agree, and the caller can know."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mongojet
import pytest
from bson import ObjectId

from mongospec_core import (
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    changes,
    close,
    init,
    transaction,
)
from mongospec_core.extension import UNKNOWN_CONTENT, is_new, outcome_of, snapshot_of
from mongospec_core.server.client import state_of
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person

MOMENTS = 200
LONGEST = 0.004  # seconds; a single operation on the test server takes about 2 ms


async def cancelled_at(moment: float, call: Callable[[], Awaitable[Any]]) -> BaseException | None:
    """Cancel *call* after *moment* seconds; return its error, None if it had ended."""
    task = asyncio.ensure_future(call())
    started = time.perf_counter()
    while time.perf_counter() - started < moment:  # noqa: ASYNC110 - finer than the loop's timers
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except BaseException as error:
        return error
    return None


def moments(seed: int, longest: float = LONGEST) -> list[float]:
    dice = random.Random(seed)
    return [dice.uniform(0, longest) for _ in range(MOMENTS)]


async def test_insert_at_random_moments(bind: Bind) -> None:
    await bind(Person)
    told: set[str] = set()
    for moment in moments(1):
        person = Person(name="x")
        error = await cancelled_at(moment, person.insert)
        there = person._id is not None and await Person.exists({"_id": person._id})
        assert there == (person._id is not None) == (not is_new(person))
        if isinstance(error, asyncio.CancelledError):
            told.add(outcome_of(error) if there else "not sent")
        await (person.save() if there else person.insert())
        assert await Person.count({"_id": person._id}) == 1
    assert await Person.count() == MOMENTS
    assert "applied" in told


async def test_insert_many_at_random_moments(bind: Bind) -> None:
    await bind(Person)
    told: set[str] = set()
    for moment in moments(2, 0.006):
        people = [Person(name=f"p{n}") for n in range(5)]
        error = await cancelled_at(moment, lambda people=people: Person.insert_many(people))
        if isinstance(error, asyncio.CancelledError):
            told.add(outcome_of(error))
        ids = [person._id for person in people if person._id is not None]
        assert len(ids) in {0, 5}
        assert await Person.count({"_id": {"$in": ids}}) == len(ids)
        assert [is_new(person) for person in people] == [not ids] * 5
    assert await Person.count() % 5 == 0
    assert "applied" in told


async def test_save_at_random_moments(bind: Bind) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    told: set[str] = set()
    for number, moment in enumerate(moments(3), 1):
        ada.age = number
        error = await cancelled_at(moment, ada.save)
        if isinstance(error, asyncio.CancelledError):
            told.add(outcome_of(error))
        there = await Person.find_by_id(ada.id)
        assert there is not None
        assert changes(ada) == ({} if there.age == number else {"age": number})
    await ada.save()
    assert await Person.find_by_id(ada.id) == ada
    assert "applied" in told


async def test_update_one_at_random_moments_tells_whether_it_was_carried_out(bind: Bind) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    expected = 0
    told: set[str] = set()
    for moment in moments(4):
        error = await cancelled_at(
            moment, lambda: Person.update_one({"name": "Ada"}, {"$inc": {"age": 1}})
        )
        there = await Person.find_by_id(ada.id)
        assert there is not None
        if error is None or getattr(error, "outcome", "not_applied") == "applied":
            expected += 1
        assert there.age == expected
        if isinstance(error, asyncio.CancelledError):
            told.add(outcome_of(error))
    assert "applied" in told


async def test_a_cursor_cancelled_at_random_moments_gives_every_document_once(bind: Bind) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n:04}") for n in range(400)])
    names = [f"{n:04}" for n in range(400)]
    broken = 0
    for round_number in range(8):
        cursor = Person.find(batch_size=16, sort="name")
        read: list[str] = []

        async def on(cursor: Any = cursor, read: list[str] = read) -> None:
            async for person in cursor:
                read.append(person.name)  # noqa: PERF401 - one by one: it will be cancelled

        for moment in moments(50 + round_number)[: MOMENTS // 8]:
            error = await cancelled_at(moment, on)
            broken += isinstance(error, asyncio.CancelledError)
        await on()
        assert read == names
    assert broken > 50


async def test_a_cursor_in_a_transaction_cancelled_in_the_middle_gives_every_document_once(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n:02}") for n in range(9)])
    async with transaction():
        cursor = Person.find(batch_size=3, sort="name")
        read = await cursor.to_list(3)
        with mongo_proxy.delay("getMore", 0.1, times=1), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await anext(cursor)
        read += await cursor.to_list()
    assert [person.name for person in read] == [f"{n:02}" for n in range(9)]


async def test_a_cursor_whose_cancelled_fetch_failed_raises_at_every_further_read(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n}") for n in range(6)])
    cursor = Person.find(batch_size=2, sort="name")
    await cursor.to_list(2)
    with mongo_proxy.delay("getMore", 0.1, times=1), mongo_proxy.fail("getMore", 8000, times=1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(cursor)
        await asyncio.sleep(0.15)
    for _ in range(2):
        with pytest.raises(OperationError) as told:  # the fetch that went on has failed meanwhile
            await anext(cursor)
        assert told.value.code == 8000


async def test_a_cursor_that_a_cancelled_find_opened_is_closed_on_the_server(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n}") for n in range(6)])
    with mongo_proxy.delay("find", 0.1, at="reply"), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await Person.find(batch_size=2)
    async with asyncio.timeout(5):
        while not mongo_proxy.count("killCursors"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_transaction_at_random_moments_of_each_of_its_steps(bind: Bind) -> None:
    await bind(Person, Account)
    ada = await Person(name="Ada").insert()
    ends = {"committed": 0, "aborted": 0}
    for number, moment in enumerate(moments(6, 0.015), 1):
        account = Account(email=f"{number}")

        async def work(number: int = number, account: Account = account) -> None:
            async with transaction():
                await account.insert()
                ada.age = number
                await ada.save()
                await Person.find_one({"age": number})

        await cancelled_at(moment, work)
        there = await Person.find_by_id(ada.id)
        assert there is not None
        committed = await Account.exists({"email": f"{number}"})
        assert committed == (there.age == number)
        assert committed == (account._id is not None) == (not is_new(account))
        if ada.age == number:
            assert changes(ada) == ({} if committed else {"age": number})
        ends["committed" if committed else "aborted"] += 1
    assert ends["aborted"] > 10
    await ada.save()
    await Account(email="after").insert()  # no lock is left


async def test_a_commit_that_is_cancelled_is_waited_for(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = Person(name="Ada")

    async def work() -> None:
        async with transaction():
            await ada.insert()

    with mongo_proxy.delay("commitTransaction", 0.1) as delayed:
        task = asyncio.create_task(work())
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as told:
            await task
    assert outcome_of(told.value) == "applied"
    assert not is_new(ada)
    assert await Person.count() == 1


async def test_a_commit_that_hangs_is_given_up_with_the_outcome_unknown(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = Person(name="Ada")
    started = time.monotonic()
    with mongo_proxy.stall("commitTransaction"):
        with pytest.raises(TimeoutError) as told:
            async with asyncio.timeout(0.2), transaction():
                await ada.insert()
        assert told.value.__cause__ is not None
        assert outcome_of(told.value.__cause__) == "unknown"
        assert time.monotonic() - started < 2
        assert snapshot_of(ada) is UNKNOWN_CONTENT
        assert ada._id is not None
    mongo_proxy.disconnect()


async def test_a_cancelled_call_that_failed_tells_its_error(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    account = Account(email="a@x")
    with mongo_proxy.delay("insert", 0.1) as delayed:
        task = asyncio.create_task(account.insert())
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as told:
            await task
    assert outcome_of(told.value) == "not_applied"
    assert isinstance(told.value.__cause__, DuplicateKeyError)
    assert account._id is None


async def test_a_cancelled_save_of_a_document_that_is_gone_says_that_nothing_was_saved(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    gone = Person(_id=ObjectId(), name="x")
    with mongo_proxy.delay("update", 0.1) as delayed:
        task = asyncio.create_task(gone.save())
        await delayed.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as told:
            await task
    assert outcome_of(told.value) == "not_applied"
    assert is_new(gone)


async def test_a_write_on_a_hung_server_is_waited_for_one_second(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    person = Person(name="x")
    with mongo_proxy.stall("insert") as stalled:
        task = asyncio.create_task(person.insert())
        await stalled.reached()
        started = time.monotonic()
        task.cancel()
        task.cancel()  # a second one changes nothing
        with pytest.raises(asyncio.CancelledError) as told:
            await task
        assert 0.9 < time.monotonic() - started < 1.9
    assert outcome_of(told.value) == "unknown"
    assert person._id is not None
    assert snapshot_of(person) is UNKNOWN_CONTENT
    mongo_proxy.disconnect()


async def test_a_read_on_a_hung_server_is_given_up_at_once(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.stall("find") as stalled:
        for options in ({}, {"timeout": 5}):
            task = asyncio.create_task(Person.find_one(**options))  # type: ignore[call-overload]
            await stalled.reached()
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 0.5
    mongo_proxy.disconnect()


async def test_a_call_in_a_session_is_waited_for(
    bind: Bind, mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    session = await mongo_client.start_session()
    with mongo_proxy.delay("find", 0.2) as delayed:
        task = asyncio.create_task(Person.find_one(session=session))
        await delayed.reached()
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started > 0.1


async def test_asyncio_sees_an_ordinary_cancellation(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.delay("insert", 0.1):
        with pytest.raises(TimeoutError) as told:
            await asyncio.wait_for(Person(name="a").insert(), 0.02)
        assert told.value.__cause__ is not None
        assert outcome_of(told.value.__cause__) == "applied"

        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(Person(name="b").insert())
                await asyncio.sleep(0.02)
                raise ZeroDivisionError
        assert failed.group_contains(ZeroDivisionError)
        assert len(failed.value.exceptions) == 1
        assert task.cancelled()

        gathered = asyncio.gather(Person(name="c").insert(), Person(name="d").insert())
        await asyncio.sleep(0.02)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered

        task = asyncio.create_task(Person(name="e").insert())
        await asyncio.sleep(0.02)
        task.cancel("a reason")
        with pytest.raises(asyncio.CancelledError, match="a reason"):
            await task
    assert await Person.count() == 5


async def test_anyio_sees_its_own_cancellation(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.delay("insert", 0.1):
        with anyio.move_on_after(0.02) as scope:
            await Person(name="a").insert()
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(Person(name="b").insert)
            await asyncio.sleep(0.02)
            group.cancel_scope.cancel()
    assert await Person.count() == 2


async def test_nothing_stays_in_flight(
    bind: Bind, mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    in_flight = state_of(mongo_db.client).in_flight
    with mongo_proxy.delay("insert", 0.2) as delayed:
        running = [asyncio.create_task(Person(name="x").insert()) for _ in range(3)]
        await delayed.reached(3)
        assert len(in_flight) == 3
        running[0].cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert in_flight == set()


class Short(MongoDocument):
    n: int = 0


async def test_close_waits_for_what_is_in_flight(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(mongo_proxy.uri)
    await init(client.get_database(mongo_db.name), [Short])
    with mongo_proxy.delay("insert", 0.2) as delayed:
        short = Short(n=1)
        task = asyncio.create_task(short.insert())
        await delayed.reached()
        await close()
    await task
    assert await mongo_db["Short"].find_one({"_id": short._id}) is not None


async def test_a_client_that_was_closed_says_so(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(mongo_proxy.uri)
    await init(client.get_database(mongo_db.name), [Short], close_client=False)
    await client.close()
    short = Short(n=1)
    with pytest.raises(OperationError, match="shut down") as told:
        await short.insert()
    assert told.value.outcome == "not_applied"
    assert short._id is None
    await close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
async def test_a_use_after_fork_raises_in_the_child_instead_of_hanging(bind: Bind) -> None:
    await bind(Person)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Person.find_one().send(None)
            told = "nothing"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)  # noqa: ASYNC222 - it has written its last
    assert told.startswith("ServerUnavailableError: Person.find_one")
    assert "os.fork()" in told
    assert await Person.find_one() is None  # the parent goes on
