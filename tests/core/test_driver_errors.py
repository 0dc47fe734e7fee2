"""The driver's errors are text, in which users' values stand: they decide nothing, and cost no time."""

import asyncio
import pickle
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import mongojet
import pytest
from mongojet import IndexModel

from mongospec_core import (
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    run_in_transaction,
    transaction,
)
from mongospec_core.server.driver_errors import to_operation_error
from mongospec_core.server.driver_text import write_errors
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind


class Titled(MongoDocument):
    __indexes__: ClassVar[Any] = [IndexModel("title", unique=True)]
    title: str
    n: int = 0


MISLEADING = (
    "authentication failed",
    "SCRAM failure",
    'labels: {"TransientTransactionError"}, source: ',
    'x", labels: {"TransientTransactionError"}, source: None, server response: None',
    "Kind: Server selection timeout",
    'WriteConcernError { code: 5, code_name: "a", message: "b"',
    "Kind: Command failed: Error code 5 (x): y, labels: {",
    "must be within 5 bytes",
    'IndexedWriteError { index: 0, code: 5, code_name: None, message: "a"',
)


@pytest.mark.parametrize("title", MISLEADING)
async def test_a_value_of_a_user_does_not_speak_for_the_server(bind: Bind, title: str) -> None:
    await bind(Titled)
    await Titled(title=title).insert()
    other = await Titled(title="other").insert()
    other.title = title

    async def change() -> Any:
        return await Titled.find_one_and_update({"_id": other.id}, {"$set": {"title": title}})

    attempts: dict[str, Callable[[], Awaitable[Any]]] = {
        "insert": Titled(title=title).insert,
        "insert_many": lambda: Titled.insert_many([Titled(title=title)]),
        "save": other.save,
        "find_one_and_update": change,
    }
    for attempt in attempts.values():
        with pytest.raises(OperationError) as told:
            await attempt()
        assert told.value.outcome == "not_applied"
        assert told.value.labels == frozenset()
        failed = getattr(told.value, "failures", None)
        assert failed[0].code == 11000 if failed else isinstance(told.value, DuplicateKeyError)
    calls = 0

    async def counted() -> None:
        nonlocal calls
        calls += 1
        await change()

    with pytest.raises(DuplicateKeyError):
        await run_in_transaction(counted, timeout=5)
    assert calls == 1


async def test_a_write_concern_error_may_speak_of_authentication(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Titled)
    with (
        mongo_proxy.write_concern_error("insert", 64, message="member 2: Authentication failed"),
        pytest.raises(OperationError) as told,
    ):
        await Titled(title="a").insert()
    assert (told.value.outcome, told.value.code) == ("applied", 64)


async def test_a_long_value_neither_blocks_the_loop_nor_fills_the_message(bind: Bind) -> None:
    await bind(Titled)
    for filling in ("x", '"', "{", "a: ", "authentication "):
        title = (filling * 200_000)[:200_000]
        await Titled(title=title).insert()
        started = time.perf_counter()
        with pytest.raises(DuplicateKeyError) as told:
            await Titled(title=title).insert()
        assert time.perf_counter() - started < 2  # quadratic: minutes
        assert len(str(told.value)) < 2_000
        assert told.value.key_pattern == {"title": 1}


@pytest.mark.parametrize("filling", ["x", '\\"', "{", "), ", "a: b, ", "\\\\"])
def test_a_text_of_16_megabytes_is_read_in_linear_time(filling: str) -> None:
    value = (filling * 16_000_000)[:16_000_000]
    write = (
        "Kind: An error occurred when trying to execute a write operation: WriteError(WriteError "
        '{ code: 11000, code_name: None, message: "E11000 duplicate key error collection: d.c '
        f'index: t_1 dup key: {{ t: \\"{value}\\" }}", details: None }}), labels: {{}}, '
        "source: None, server response: None"
    )
    command = f"Kind: Command failed: Error code 5 (Name): {value}, labels: {{}}, source: None"
    for text in (write, command, f"Kind: {value}"):
        started = time.perf_counter()
        to_operation_error(
            mongojet.PyMongoError(text), "T.insert", {"_id": 1, "t": value}, write=True
        )
        write_errors(text)
        assert time.perf_counter() - started < 20


def test_every_document_that_an_insert_many_error_names_is_found_whatever_its_details() -> None:
    one = 'IndexedWriteError {{ index: {}, code: {}, code_name: None, message: "m\\"{}", details: {} }}'
    details = 'Some(Document({"a": String("}]), write_concern_error: x"), "b": Int32(1)}))'
    text = (
        "Kind: An error occurred when trying to execute an insert_many operation: InsertManyError "
        f"{{ write_errors: Some([{one.format(0, 121, 'x', details)}, {one.format(7, 11000, 'y', None)}]), "
        "write_concern_error: None, inserted_ids: {} }, labels: {}, source: None"
    )
    assert write_errors(text) == [(0, 121, 'm"x'), (7, 11000, 'm"y')]


async def test_a_lost_connection_is_a_connection_error_with_the_drivers_labels(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Titled)
    with mongo_proxy.cut("update", at="reply"), pytest.raises(ConnectionError) as told:
        await Titled.update_one({}, {"$set": {"n": 1}})
    assert isinstance(told.value, OperationError)
    assert told.value.outcome == "unknown"
    assert "RetryableWriteError" in told.value.labels
    assert "server response" not in str(told.value)
    again = pickle.loads(pickle.dumps(told.value))
    assert (type(again), again.outcome) == (type(told.value), "unknown")


PROGRAM = """
import asyncio, sys
import mongojet, mongospec_core
from mongospec_core import MongoDocument
from mongospec_testing import FaultProxy

class Entry(MongoDocument):
    text: str

async def main(proxy):
    client = await mongojet.create_client(proxy.uri)
    await mongospec_core.init(client["at_the_end"], [Entry])
    late = proxy.delay("insert", 0.5)
    task = asyncio.create_task(Entry(text="x").insert())
    await late.reached()
    {end}

with FaultProxy(sys.argv[1]) as proxy:
    asyncio.run(main(proxy))
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [("return", 0, ""), ("raise ValueError('own')", 1, "ValueError: own"), ("sys.exit(3)", 3, "")],
)
async def test_a_run_ends_as_its_main_ends_with_a_write_in_flight(
    mongo_server: MongoServer, end: str, code: int, said: str
) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.format(end=end),
        mongo_server.uri,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await program.communicate()
    assert program.returncode == code
    assert said in errors.decode()
    assert "no running event loop" not in errors.decode()


async def test_a_transaction_that_is_cancelled_while_it_starts_is_cancelled_and_sends_nothing(
    bind: Bind,
) -> None:
    await bind(Titled)
    outcomes: set[str] = set()

    async def block() -> None:
        async with transaction():
            try:
                await Titled.find_one()
            except asyncio.CancelledError as error:
                outcomes.add(getattr(error, "outcome", "none"))
                raise

    for steps in range(1, 12):
        for _ in range(5):
            task = asyncio.create_task(block())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert outcomes == {"not_applied"}
