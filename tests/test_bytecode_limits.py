"""What an operation may execute: bytecodes, counted on a driver that returns ready bytes.

Unlike a clock they need no quiet machine. When an operation became cheaper, lower its limit here to
what the message (or ``make bench``) says it takes now, and a hundredth more.
"""

import sys
from collections.abc import AsyncIterator

import pytest

from benchmarks.measure import OURS
from benchmarks.rows import ROWS
from benchmarks.worker import ReadyWorker, ready

LIMITS = {
    "find_one": 572,  # 11 of them ask whether there are tenants, 13 convert one document by itself
    "insert_one": 823,  # ObjectId() itself: an id is in one order with those that users make
    "update_one": 665,  # 3 of them ask for on_insert=, 6 ask for a version, 3 for relatives in the collection, 4 for a tag, 11 for tenants
    "save, two fields changed": 1_557,  # 4: whether the class has relatives in its collection
    "insert_many, a document": 454,
    "insert_many, unchecked": 454,
    "find_all, a document": 57,
    "cursor, a document": 88,
    "posts with author and tags, a post": 1_174,
    "cascade save, post and 4 references": 9_845,  # 2 of them say that it may be an upsert, 100 ask whether a reply is damaged, 60 ask for versions and shard keys, 20 for relatives
    "save, 200 unchanged references": 82_050,
}
"""By row: for one operation, or for one of 100 documents; as CPython 3.13 counts.

Of a class with ``check_queries=False`` a find_one executes 36 less, an update_one 107."""

MARGIN = 1.0 if sys.version_info[:2] == (3, 13) else 1.2
"""Other versions compile the same code to other instructions."""


@pytest.fixture
async def worker() -> AsyncIterator[ReadyWorker]:
    worker = await ready(OURS)
    yield worker
    await worker.close()


def test_every_row_of_the_benchmarks_has_a_limit() -> None:
    assert set(LIMITS) == {row.title for row in ROWS}


@pytest.mark.parametrize("row", LIMITS)
async def test_an_operation_executes_no_more_bytecodes_than_its_limit(
    worker: ReadyWorker, row: str
) -> None:
    counted = (await worker.bytecodes(row))["count"]
    limit = LIMITS[row] * MARGIN
    assert counted <= limit, (
        f"{row}: {counted:,} bytecodes were executed, the limit is {limit:,.0f}"
    )
    assert counted > limit / 2, f"{row}: {counted:,} bytecodes were executed; lower its limit"


@pytest.mark.parametrize("row", ["find_one", "insert_one", "update_one"])
async def test_the_same_operation_is_counted_the_same_each_time(
    worker: ReadyWorker, row: str
) -> None:
    assert len({(await worker.bytecodes(row))["count"] for _ in range(3)}) == 1
