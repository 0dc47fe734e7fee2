"""Every write operation meets every fault at each of its commands."""

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mongojet
import pytest

import mongospec
import mongospec_core as core
from mongospec_kv import KVStore, KVStoreItem
from mongospec_refs import RecursiveInsertResult
from mongospec_testing import MongoServer
from mongospec_testing.proxy import find_primary
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
from tests.faults import outcomes_page
from tests.faults.lane import lanes, polling
from tests.faults.matrix import outcomes, run
from tests.faults.operations import ITEM_READS, KV_READS, READS, ROWS, Row

LANES = 24
MOST_REPEATED = 0.1
"""The part of an operation's cases that may be repeated, of those that depend on time: more of them are a fault
that shows only sometimes."""
MOST_SESSIONS = 6
"""Sessions of a lane that no lost connection took with it: the operation's, the ping's, those of calls that are late."""
WRITE = "MONGOSPEC_WRITE_OUTCOMES" in os.environ


def what_is_open(uri: str) -> tuple[int, int, int]:
    """Descriptors of this process; the server's connections and cursors."""
    folder = Path("/proc/self/fd")
    own = len(list(folder.iterdir())) if folder.exists() else 0
    primary = find_primary(MongoUri.parse(uri))
    status = ask(primary, {"serverStatus": 1}) or {}
    cursors = status.get("metrics", {}).get("cursor", {}).get("open", {}).get("total", 0)
    return own, status.get("connections", {}).get("current", 0), cursors


def is_left_open(before: tuple[int, int, int], now: tuple[int, int, int]) -> bool:
    """Whether there is more than a few connections that the server is about to close: a lane has several."""
    return now[0] > before[0] or now[1] > before[1] + 8 or now[2] > before[2]


async def warm_up(uri: str) -> None:
    """What the driver and the loop open once for a process is open."""
    client = await mongojet.create_client(polling(uri))
    await client["admin"].run_command({"ping": 1})
    await client.close()


def told(errors: list[Exception]) -> str:
    """The first of them, with the cases that they are of."""
    return "\n".join(f"{error}\n{''.join(getattr(error, '__notes__', ()))}" for error in errors[:5])


@pytest.mark.parametrize("row", ROWS, ids=[row.name.replace("`", "") for row in ROWS])
async def test_database_objects_and_errors_agree_after_every_fault(
    row: Row, mongo_server: MongoServer, record_property: Callable[[str, object], None]
) -> None:
    published = outcomes_page.load()
    await warm_up(mongo_server.uri)
    open_now = partial(what_is_open, mongo_server.uri)
    open_before = open_now()
    tasks_before = asyncio.all_tasks()
    async with lanes(mongo_server.uri, LANES, f"faults_{os.getpid()}", row) as all_lanes:
        known = {} if WRITE else published.get(row.name, {})
        found = await run(row, all_lanes, published=known)
    record_property("cases", len(found.cases) + len(found.wrong))
    for error in found.repeated:
        record_property("repeated", f"{error}".partition("\n")[0])
    assert not found.wrong, f"{len(found.wrong)} cases:\n{told(found.wrong)}"
    assert len(found.repeated) <= MOST_REPEATED * found.timed, told(found.repeated)
    for lane in (
        all_lanes
    ):  # the driver uses sessions again: one that is not released would be new in each case
        assert len(lane.new_sessions) <= MOST_SESSIONS, lane.new_sessions
    assert asyncio.all_tasks() == tasks_before
    until = time.monotonic() + 5
    while is_left_open(open_before, open_now()) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert not is_left_open(open_before, open_now())
    reported = outcomes(found.cases)
    if WRITE:
        outcomes_page.write(row.name, reported)
    elif mongo_server.kind == "embedded":
        assert reported == published.get(row.name), "make outcomes publishes what is so now"


def test_the_page_is_made_of_the_published_outcomes() -> None:
    published = outcomes_page.load()
    assert list(published) == [row.name for row in ROWS]
    assert outcomes_page.PAGE.read_text(encoding="utf-8") == outcomes_page.page(published)


def test_every_write_operation_has_a_row() -> None:
    covered = {name for row in ROWS for name in row.covers}
    documents = {name for name in dir(mongospec.MongoDocument) if not name.startswith("_")}
    store = {name for name in dir(KVStore) if not name.startswith("_")} - documents
    item = {name for name in dir(KVStoreItem) if not name.startswith("_")}
    result = {name for name in vars(RecursiveInsertResult) if not name.startswith("_")}
    writes = documents - READS
    writes |= {f"kv.{name}" for name in store - KV_READS - {"key", "value"}}
    writes |= {f"item.{name}" for name in item - ITEM_READS}
    writes |= result
    writes |= {name for name in core.__all__ if "transaction" in name} - {"outside_transaction"}
    assert covered == writes
