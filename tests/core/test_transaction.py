"""transaction(): all or nothing, whoever takes part and however it ends."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import mongojet
import pytest
from mongojet import IndexModel
from pymongo import InsertOne

from mongospec_core import (
    BulkInsertError,
    BulkWriteError,
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    ServerUnavailableError,
    Transaction,
    TransactionClosedError,
    TransactionError,
    changes,
    close,
    init,
    instrument,
    outside_transaction,
    run_in_transaction,
    timeout,
    transaction,
)
from mongospec_core.extension import is_new
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind
from tests.zoo.people import Account, Numbered, Person

TRANSIENT = ["TransientTransactionError"]
UNKNOWN = ["UnknownTransactionCommitResult"]


async def test_all_is_stored_at_the_end_and_seen_inside_before(bind: Bind) -> None:
    await bind(Person)
    async with transaction():
        ada = await Person(name="Ada").insert()
        await Person.update_one({"name": "Ada"}, {"$inc": {"age": 1}})
        assert await Person.count() == 1
        with outside_transaction():
            assert await Person.count() == 0
    assert (await Person.find_by_id(ada.id)) == Person(_id=ada._id, name="Ada", age=1)


async def test_an_exception_aborts_and_gives_back_ids_and_stored_forms(bind: Bind) -> None:
    await bind(Person)
    known = await Person(name="Known").insert()
    known.age = 5
    new = Person(name="New")
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await new.insert()
            await known.save()
            assert changes(known) == {}
            raise ZeroDivisionError
    assert new._id is None
    assert is_new(new)
    assert changes(known) == {"age": 5}
    assert [person.name for person in await Person.find_all()] == ["Known"]
    await known.save()
    await new.insert()
    assert {person.name: person.age for person in await Person.find_all()} == {"Known": 5, "New": 0}


async def test_a_deleted_document_is_stored_again_after_an_abort(bind: Bind) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await ada.delete()
            assert is_new(ada)
            raise ZeroDivisionError
    assert not is_new(ada)
    assert await Person.count() == 1


async def test_a_cancellation_aborts(bind: Bind) -> None:
    await bind(Person)
    ada = Person(name="Ada")
    inside = asyncio.Event()

    async def work() -> None:
        async with transaction():
            await ada.insert()
            inside.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Person.count() == 0
    assert ada._id is None


async def test_a_caught_server_error_dooms_the_transaction(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    first, second = Account(email="b@x"), Account(email="a@x")
    with pytest.raises(TransactionError, match="nothing of it is stored") as told:
        async with transaction():
            await first.insert()
            with pytest.raises(DuplicateKeyError):
                await second.insert()
            with mongo_proxy.recording() as seen:
                with pytest.raises(TransactionError, match="earlier error") as later:
                    await Account(email="c@x").insert()
                assert seen == []
            assert isinstance(later.value.__cause__, DuplicateKeyError)
    assert isinstance(told.value.__cause__, DuplicateKeyError)
    assert told.value.outcome == "not_applied"
    assert first._id is None
    assert second._id is None
    assert await Account.count() == 1


async def test_an_error_that_leaves_the_block_stays_what_it_is(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    with pytest.raises(DuplicateKeyError):
        async with transaction():
            await Account(email="b@x").insert()
            await Account(email="a@x").insert()
    assert await Account.count() == 1


async def test_twenty_operations_of_gather_queue_and_all_commit(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    async with transaction():
        await asyncio.gather(*[Person(name=f"p{n}").insert() for n in range(20)])
    assert await Person.count() == 20
    inserts = [each for each in mongo_proxy.commands if each.name == "insert"]
    assert {each.body["txnNumber"] for each in inserts} == {inserts[0].body["txnNumber"]}
    assert [each.body.get("startTransaction") for each in inserts] == [True] + [None] * 19


async def test_twenty_operations_of_gather_all_abort_with_the_one_that_fails(bind: Bind) -> None:
    await bind(Account)
    await Account(email="p7").insert()
    accounts = [Account(email=f"p{n}") for n in range(20)]
    with pytest.raises(DuplicateKeyError):
        async with transaction():
            await asyncio.gather(*[each.insert() for each in accounts])
    await asyncio.sleep(0)
    assert await Account.count() == 1
    assert [each._id for each in accounts] == [None] * 20


async def test_twenty_operations_of_a_task_group_all_abort_with_the_one_that_fails(
    bind: Bind,
) -> None:
    await bind(Account)
    await Account(email="p7").insert()
    accounts = [Account(email=f"p{n}") for n in range(20)]
    with pytest.raises(ExceptionGroup) as told:
        async with transaction(), asyncio.TaskGroup() as group:
            for each in accounts:
                group.create_task(each.insert())
    assert told.group_contains(DuplicateKeyError)
    assert await Account.count() == 1
    assert [each._id for each in accounts] == [None] * 20


async def test_a_task_that_outlives_the_block_gets_an_error_and_writes_nothing(bind: Bind) -> None:
    await bind(Person)
    ended = asyncio.Event()
    late = Person(name="Late")

    async def outlive() -> None:
        await ended.wait()
        await late.insert()

    async with transaction():
        await Person(name="Ada").insert()
        task = asyncio.create_task(outlive())
    ended.set()
    with pytest.raises(TransactionClosedError, match=r"await the tasks.*outside_transaction\(\)"):
        await task
    assert [person.name for person in await Person.find_all()] == ["Ada"]
    assert late._id is None


async def test_an_operation_that_runs_at_the_end_is_awaited_and_committed(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.delay("insert", 0.1) as delayed:
        async with transaction():
            task = asyncio.create_task(Person(name="Slow").insert())
            await delayed.reached()
    await task
    assert await Person.count() == 1


async def test_an_operation_that_runs_at_an_abort_is_undone(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    slow = Person(name="Slow")
    with mongo_proxy.delay("insert", 0.1) as delayed:
        with pytest.raises(ZeroDivisionError):
            async with transaction():
                task = asyncio.create_task(slow.insert())
                await delayed.reached()
                raise ZeroDivisionError
        await task
    assert await Person.count() == 0
    assert slow._id is None
    assert is_new(slow)


async def test_a_nested_one_joins(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    async with transaction() as outer:
        await Person(name="Outer").insert()
        async with transaction() as inner:
            assert inner is outer
            await Person(name="Inner").insert()
    assert mongo_proxy.count("commitTransaction") == 1
    assert await Person.count() == 2


async def test_an_exception_that_leaves_a_nested_one_dooms_the_outer(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(TransactionError) as told:
        async with transaction():
            await Person(name="Outer").insert()
            with pytest.raises(ZeroDivisionError):
                async with transaction():
                    raise ZeroDivisionError
    assert isinstance(told.value.__cause__, ZeroDivisionError)
    assert await Person.count() == 0


async def test_a_nested_one_takes_no_options(bind: Bind) -> None:
    await bind(Person)
    async with transaction():
        with pytest.raises(TransactionError, match="takes no options"):
            async with transaction(max_commit_time_ms=5):
                pass


async def test_outside_transaction_writes_stay_after_an_abort(bind: Bind) -> None:
    await bind(Person, Account)
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            assert await Person.count() == 0
            with outside_transaction():  # before the write: the embedded server has one writer
                await Person(name="Out").insert()
            await Account(email="in@x").insert()
            raise ZeroDivisionError
    assert [person.name for person in await Person.find_all()] == ["Out"]
    assert await Account.count() == 0


async def test_a_class_of_another_client_is_refused_before_sending(
    bind: Bind, mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    other = await mongojet.create_client(mongo_proxy.uri)
    try:
        await init(other.get_database(mongo_db.name), [Numbered], close_client=False)
        async with transaction():
            await Person(name="Ada").insert()
            with (
                mongo_proxy.recording() as seen,
                pytest.raises(TransactionError, match="Numbered is bound to another client"),
            ):
                await Numbered(_id=1).insert()
            assert seen == []
        async with transaction(other):
            await Numbered(_id=2).insert()
            with pytest.raises(TransactionError, match="Person is bound to another client"):
                await Person.find_one()
        assert [each.id for each in await Numbered.find_all()] == [2]
    finally:
        await close()
        await other.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("not support estimated_document_count", lambda: Person.estimated_document_count()),
        ("not support explain", lambda: Person.find().explain()),
        ("write_concern", lambda: Person(name="x").insert(write_concern={"w": 1})),
        ("read_concern", lambda: Person.find_one(read_concern={"level": "local"})),
        ("read_preference", lambda: Person.find_all(read_preference={"mode": "secondary"})),
    ],
)
async def test_what_cannot_take_part_is_refused_before_sending(
    bind: Bind, mongo_proxy: FaultProxy, what: str, call: Any
) -> None:
    await bind(Person)
    async with transaction():
        await Person(name="Ada").insert()
        with mongo_proxy.recording() as seen:
            with pytest.raises(TransactionError, match=what):
                await call()
            assert seen == []
    assert await Person.count() == 1


async def test_a_session_of_somebody_else_is_refused(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(Person)
    session = await mongo_client.start_session()
    async with transaction():
        with pytest.raises(TransactionError, match="session="):
            await Person(name="x").insert(session=session)
        with outside_transaction():
            await Person(name="y").insert(session=session)
    assert [person.name for person in await Person.find_all()] == ["y"]


async def test_init_is_refused(bind: Bind, mongo_db: mongojet.Database) -> None:
    await bind(Person)
    async with transaction():
        with pytest.raises(TransactionError, match=r"init\(\)"):
            await init(mongo_db, [Numbered])


async def test_cursors_do_not_cross_the_border(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"p{n}") for n in range(4)])
    opened_outside = await Person.find(batch_size=2)
    made_outside = Person.find()
    async with transaction():
        with mongo_proxy.recording() as seen:
            for cursor in (opened_outside, made_outside):
                with pytest.raises(TransactionError, match="on the same side"):
                    await cursor.to_list()
            assert seen == []
        inside = Person.find(batch_size=2)
        assert len(await inside.to_list(2)) == 2
        unread = Person.find()
    for cursor in (inside, unread):
        with pytest.raises(TransactionError, match="on the same side"):
            await cursor.to_list()
    assert len(await opened_outside.to_list()) == 4
    assert len(await made_outside.to_list()) == 4


async def test_users_see_the_client_and_the_first_error_of_a_transaction_and_cannot_end_it() -> (
    None
):
    assert [name for name in dir(Transaction) if not name.startswith("_")] == [
        "client",
        "first_error",
    ]


async def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(TypeError, match="read_preference"):
        async with transaction(read_preference={"mode": "secondary"}):  # type: ignore[call-arg]
            pass


async def test_an_empty_transaction_sends_nothing(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        async with transaction():
            pass
        with pytest.raises(ZeroDivisionError):
            async with transaction():
                raise ZeroDivisionError
    assert seen == []


# -- the end


async def test_a_commit_with_an_unknown_result_keeps_ids_and_forgets_stored_contents(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    known, new = await Person(name="Known").insert(), Person(name="New")
    known.age = 1
    mongo_proxy.cut("commitTransaction", at="reply", times=2)
    with pytest.raises(OperationError) as told:
        async with transaction():
            await known.save()
            await new.insert()
    assert told.value.outcome == "unknown"
    assert told.value.has_error_label("UnknownTransactionCommitResult")
    assert new._id is not None
    assert not is_new(new)
    assert set(changes(known)) == {"name", "age", "tags", "address"}
    await known.save()
    await new.save(upsert=True)
    assert {person.name: person.age for person in await Person.find_all()} == {"Known": 1, "New": 0}


async def test_a_refused_commit_gives_all_back(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    new = Person(name="New")
    mongo_proxy.fail("commitTransaction", 251, labels=TRANSIENT)
    with pytest.raises(OperationError) as told:
        async with transaction():
            await new.insert()
    assert told.value.outcome == "not_applied"
    assert new._id is None


async def test_a_hung_server_does_not_hold_the_abort(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    new = Person(name="New")
    loop = asyncio.get_running_loop()
    with mongo_proxy.stall(("insert", "abortTransaction")):
        started = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), transaction():
                await new.insert()
        assert loop.time() - started < 3
    assert new._id is None
    mongo_proxy.disconnect()
    assert await Person.count() == 0


# -- run_in_transaction


async def test_run_in_transaction_returns_what_the_function_returned(bind: Bind) -> None:
    await bind(Person)

    async def work() -> Person:
        return await Person(name="Ada").insert()

    ada = await run_in_transaction(work)
    assert await Person.find_by_id(ada.id) == ada


async def test_a_transient_error_repeats_the_function_with_documents_as_before(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    known, new = await Person(name="Known").insert(), Person(name="New")
    before: list[Any] = []

    async def work() -> None:
        known.age = 7
        before.append((new._id, is_new(new), changes(known)))
        await new.insert()
        await known.save()
        await Person.update_one({"name": "Known"}, {"$inc": {"age": 1}})

    with mongo_proxy.fail("update", 112, labels=TRANSIENT, skip=1, times=1):
        await run_in_transaction(work)
    assert before == [(None, True, {"age": 7})] * 2
    assert {person.name: person.age for person in await Person.find_all()} == {"Known": 8, "New": 0}


async def test_a_transient_commit_error_repeats_the_function(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    runs: list[Person] = []

    async def work() -> None:
        runs.append(await Person(name="Ada").insert())

    with mongo_proxy.fail("commitTransaction", 251, labels=TRANSIENT, times=1):
        await run_in_transaction(work)
    assert len(runs) == 2
    assert await Person.count() == 1


async def test_a_transient_first_error_counts_though_the_function_raised_another(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        try:
            await Person(name="Ada").insert()
        except OperationError:
            raise RuntimeError("could not insert") from None

    with mongo_proxy.fail("insert", 112, labels=TRANSIENT, times=1):
        await run_in_transaction(work)
    assert len(runs) == 2
    assert await Person.count() == 1


async def test_an_unknown_commit_result_repeats_the_commit_alone(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        await Person(name="Ada").insert()

    with mongo_proxy.fail("commitTransaction", 91, labels=UNKNOWN, times=3):
        await run_in_transaction(work)
    assert runs == [1]
    assert mongo_proxy.count("commitTransaction") >= 4
    assert await Person.count() == 1


@pytest.mark.parametrize("code", [24, 91, 112, 251])
async def test_a_commit_that_fails_with_the_transient_label_is_not_applied(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(Person)
    stored = await Person(name="Ada").insert()
    new = Person(name="New")
    stored.name = "Eve"
    with (
        mongo_proxy.fail("commitTransaction", code, labels=TRANSIENT),
        pytest.raises(OperationError) as told,
    ):
        async with transaction():
            await new.insert()
            await stored.save()
    assert told.value.outcome == "not_applied"
    assert "[outcome:" not in str(told.value)
    assert new.id is None
    assert changes(stored) == {"name": "Eve"}  # not all fields, as after an unknown outcome
    assert [each.name for each in await Person.find_all()] == ["Ada"]
    async with transaction():
        await new.insert()
        await stored.save()
    assert {each.name for each in await Person.find_all()} == {"Eve", "New"}


async def test_the_transient_label_settles_a_commit_whose_result_was_unknown_before(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = await Person(name="Ada").insert()
    runs: list[dict[str, Any]] = []

    async def work() -> None:
        one.name = "Eve"
        runs.append(changes(one))
        await one.save()

    mongo_proxy.fail("commitTransaction", 91, labels=UNKNOWN, times=2)
    mongo_proxy.fail("commitTransaction", 251, labels=TRANSIENT, skip=2, times=1)
    await run_in_transaction(work)
    assert runs == [{"name": "Eve"}] * 2
    assert [each.name for each in await Person.find_all()] == ["Eve"]


async def test_a_commit_of_unknown_result_stays_unknown_where_the_server_is_gone_when_repeated(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    commits: list[int] = []

    @contextmanager
    def stops_at_the_second_commit(attributes: dict[str, Any]) -> Generator[None]:
        if attributes["db.operation.name"] == "commitTransaction":
            commits.append(1)
            if len(commits) == 2:
                proxy.stop()
        yield

    new = Person(name="New")
    proxy = FaultProxy(mongo_server.uri).start()
    client = await mongojet.create_client(f"{proxy.uri}&serverSelectionTimeoutMS=200")
    try:
        await init(client.get_database(mongo_db.name), [Person], close_client=False)
        proxy.fail("commitTransaction", 91, labels=UNKNOWN)
        with (
            instrument(stops_at_the_second_commit),
            pytest.raises(ServerUnavailableError) as told,
        ):
            await run_in_transaction(lambda: new.insert(), timeout=0.5)
    finally:
        await close()
        await client.close()
        await asyncio.sleep(0.02)
    assert told.value.outcome == "unknown"
    assert new._id is not None
    assert len(commits) > 1


async def test_run_in_transaction_stops_after_its_time(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    new = Person(name="Ada")

    async def work() -> None:
        await new.insert()

    loop = asyncio.get_running_loop()
    started = loop.time()
    with mongo_proxy.fail("insert", 112, labels=TRANSIENT) as failing:
        with pytest.raises(OperationError) as told:
            await run_in_transaction(work, timeout=0.3)
        assert len(failing.hits) > 1
    assert told.value.code == 112
    assert loop.time() - started < 2
    assert new._id is None


async def test_an_ordinary_error_is_not_repeated(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        await Account(email="a@x").insert()

    with pytest.raises(DuplicateKeyError):
        await run_in_transaction(work)
    assert runs == [1]


async def test_run_in_transaction_inside_another_joins_it(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)

    async def work() -> None:
        await Person(name="Inner").insert()

    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await run_in_transaction(work)
            raise ZeroDivisionError
    assert mongo_proxy.count("commitTransaction") == 0
    assert await Person.count() == 0


async def test_a_timeout_block_bounds_the_queue_of_a_transaction(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.delay("insert", 0.4) as delayed, pytest.raises(ExceptionGroup) as told:
        async with transaction(), asyncio.TaskGroup() as group:
            group.create_task(Person(name="Slow").insert())
            await delayed.reached()
            with timeout(0.1):
                group.create_task(Person(name="Queued").insert())
    assert told.group_contains(TimeoutError)
    assert await Person.count() == 0


async def test_a_generator_that_is_closed_inside_of_a_transaction_aborts_it(bind: Bind) -> None:
    await bind(Person)
    ada = Person(name="Ada")

    async def provide() -> AsyncGenerator[int]:
        async with transaction():
            await ada.insert()
            yield 1

    provided = provide()
    assert await anext(provided) == 1
    await provided.aclose()
    assert ada._id is None
    assert is_new(ada)
    await Person(name="After").insert()  # the lock of the aborted one is gone
    assert [person.name for person in await Person.find_all()] == ["After"]


async def test_no_session_is_left(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Account)
    await Account(email="taken").insert()

    async def work(number: int) -> None:
        async with transaction():
            await Account(email=f"{number}").insert()
            if number % 3 == 1:
                await Account(email="taken").insert()
            if number % 3 == 2:
                await asyncio.sleep(10)

    for number in range(12):
        with suppress(TimeoutError, DuplicateKeyError):
            async with asyncio.timeout(0.1):
                await work(number)
    inserts = [each for each in mongo_proxy.commands if "startTransaction" in each.body]
    assert len(inserts) == 12
    assert len({each.body["lsid"]["id"] for each in inserts}) <= 2  # it went back each time
    assert await Account.count() == 5


async def test_a_transaction_reads_from_the_primary_whatever_the_client_prefers(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(
        f"{mongo_proxy.uri}&readPreference=secondaryPreferred"
        if "?" in mongo_proxy.uri
        else f"{mongo_proxy.uri}?readPreference=secondaryPreferred"
    )
    await init(client[mongo_db.name], [Person])
    with mongo_proxy.recording() as outside:
        await Person.find_one()
    with mongo_proxy.recording() as inside:
        async with transaction():
            await Person.find_one()
            await Person.find_all()
            await Person.count()
    await close()
    assert outside[0].body.get("$readPreference", {}).get("mode") == "secondaryPreferred"
    modes = {each.body.get("$readPreference", {"mode": "primary"})["mode"] for each in inside}
    assert modes == {"primary"}


@pytest.mark.parametrize("ordered", [True, False])
async def test_the_error_of_an_insert_many_that_aborts_says_that_nothing_is_stored(
    bind: Bind, ordered: bool
) -> None:
    class Named(MongoDocument):
        __indexes__: ClassVar[Any] = [IndexModel("name", unique=True)]
        name: str

    await bind(Named)
    await Named(name="b").insert()
    given = [Named(name=name) for name in "abc"]
    with pytest.raises(BulkInsertError, match="nothing of it is stored") as told:
        async with transaction():
            await Named.insert_many(given, ordered=ordered)
    assert (told.value.outcome, told.value.inserted, told.value.unknown) == ("not_applied", [], [])
    assert (told.value.failures[0].index, told.value.failures[0].code) == (1, 11000)
    assert [each._id for each in given] == [None, None, None]
    assert await Named.count() == 1
    with pytest.raises(BulkWriteError, match="nothing of it is stored") as failed:
        async with transaction():
            await Named.bulk_write(
                [InsertOne(Named(name="a")), InsertOne(Named(name="b"))], ordered=ordered
            )
    assert failed.value.outcome == "not_applied"
    assert await Named.count() == 1
