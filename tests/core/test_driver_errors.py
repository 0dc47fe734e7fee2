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
from bson import Code
from hypothesis import given
from hypothesis import strategies as st
from mongojet import IndexModel

from mongospec_core import (
    DuplicateKeyError,
    MongoDocument,
    OperationError,
    run_in_transaction,
    transaction,
)
from mongospec_core.server.driver_errors import duplicate_key, to_operation_error
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


class Pair(MongoDocument):
    __indexes__: ClassVar[Any] = [IndexModel([("title", 1), ("by", 1)], unique=True)]
    title: str
    by: str
    note: str = ""


@pytest.mark.parametrize("note", ["", ", by: ", "x"])
@pytest.mark.parametrize(
    "title", [*MISLEADING, 'x", labels: {', '" }', 'a", by: "b', "\\", "\0\n\u0301"]
)
async def test_a_value_of_a_user_does_not_name_the_keys_of_an_index(
    bind: Bind, title: str, note: str
) -> None:
    await bind(Titled, Pair)
    await Titled(title=title).insert()
    await Pair(title=title, by=title, note=note).insert()
    for one, pattern in (
        (Titled(title=title), {"title": 1}),
        (Pair(title=title, by=title, note=note), {"title": 1, "by": 1}),
    ):
        with pytest.raises(DuplicateKeyError) as told:
            await one.insert()
        assert told.value.key_pattern == pattern
        assert told.value.key_value == dict.fromkeys(pattern, title)


PIECES = st.sampled_from(['"', "{", "}", "[", "]", ", ", ": ", "a", "b", " ", "\\", " }", '", b: '])
NASTY = st.lists(PIECES, max_size=8).map("".join)
VALUES = NASTY | st.integers() | st.none() | st.dictionaries(NASTY, NASTY, max_size=2)


def as_told(value: Any) -> str:
    """The text of a value in the message of a server, which escapes nothing."""
    match value:
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f"{key}: {as_told(each)}" for key, each in value.items()) + " }"
        case None:
            return "null"
        case _:
            return str(value)


@given(document=st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1))
def test_the_names_in_a_duplicate_keys_message_are_the_indexs_or_none(
    document: dict[str, Any],
) -> None:
    key = ", ".join(f"{name}: {as_told(value)}" for name, value in document.items())
    message = f"E11000 duplicate key error collection: d.c index: i_1 dup key: {{ {key} }}"
    for sent in (document, {**document, "d": "x"}):
        index, pattern, value = duplicate_key(message, None, sent)
        assert index == "i_1"
        assert pattern in (None, dict.fromkeys(document, 1))
        assert value == (None if pattern is None else document)
        if not any(isinstance(each, dict) for each in document.values()):
            assert pattern is not None
    for sent in (None, {}):
        _, pattern, _ = duplicate_key(message, None, sent)
        if len(document) == 1:
            assert pattern in (None, dict.fromkeys(document, 1))


@pytest.mark.parametrize(
    ("key", "document", "names"),
    [
        ('{ tags: "b" }', {"tags": ["a", "b"]}, ["tags"]),
        ('{ a.b: "x" }', {"a": [{"b": 'y", c: "'}, {"b": "x"}]}, ["a.b"]),
        ('{ tags: "x", b: "y" }', {"tags": ["x", 'x", b: "y']}, None),  # either
        ("{ a: { b: 1, c: [ 2 ] }, d: 3 }", {"a": {"b": 1, "c": [2]}, "d": 3}, ["a", "d"]),
        ("{ a: ObjectId('5f') , d: 3 }", {"a": 1, "d": 3}, None),
        ("{ a: Timestamp(1, 2), b: new Date(5), c: -1.5 }", {}, ["a", "b", "c"]),
        ("{ a: x, b: 1 }", {"a": Code("x, b: 1")}, None),
        ('{ a: CollationKey(0x2c), b: "x" }', {"a": "A", "b": "x"}, ["a", "b"]),
        ("{ a: 1", {"a": 1}, None),
        ("{ : 1 }", {}, None),
        ("{ a: /x/ }", {"a": 1}, None),
        ('{ a: "cut off', {}, None),
    ],
)
def test_the_names_are_found_by_the_documents_own_values(
    key: str, document: dict[str, Any], names: list[str] | None
) -> None:
    _, pattern, _ = duplicate_key(f"E11000 index: i_1 dup key: {key}", None, document)
    assert pattern == (None if names is None else dict.fromkeys(names, 1))


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
