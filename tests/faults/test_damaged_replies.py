"""Replies whose BSON is damaged, or says what no server says: an error of ours or a result, never a crash or a hang."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from bson import Binary
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mongospec_core as core
from mongospec_core import BulkWriteError, MongospecError, OperationError
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind
from tests.faults.damage import RECIPES, Recipe, damaged
from tests.faults.lane import Lane, lanes
from tests.faults.operations import ROWS, Models, Row

LANES = 6
EXAMPLES = int(os.environ.get("MONGOSPEC_EXAMPLES", "8"))
"""Of an operation, each with a recipe for every lane: the same in each run, unless the variable sets their number."""
TIMEOUT = 2
"""Seconds that an operation gets; it hangs if it has not ended after HANGS."""
HANGS = 10

NAMES = {
    "`insert()`",
    "`insert_many()`",
    "`save()`",
    "`save_many()`",
    "`bulk_write()`",
    "`update_one()`",
    "`update_many()`",
    "`find_one_and_update()`",
    "`find_one_and_replace()`",
    "`delete()`",
    "`insert_recursive()`",
    "`save()`, cascading",
    "`rollback()` of `insert_recursive()`",
    "`KVStore.increment()`",
    "`KVStore.set_many()`",
    "`transaction()` of `insert()` and `save()`",
}
WRITES = [row for row in ROWS if row.name in NAMES]


async def aggregated(m: Models) -> Any:
    return await m.Plain.aggregate([{"$match": {"n": 1}}]).to_list()


READS: Mapping[str, Callable[[Models], Awaitable[Any]]] = {
    "find_one": lambda m: m.Plain.find_one({"n": 1}),
    "find_all": lambda m: m.Plain.find_all(sort="n"),
    "find_all with a projection": lambda m: m.Plain.find_all(projection={"n": 1}),
    "find_all with references": lambda m: m.Post.find_all(),
    "a cursor in batches": lambda m: m.Plain.find(batch_size=2).to_list(),
    "page": lambda m: m.Plain.page(size=2, sort="n", total=True),
    "aggregate": aggregated,
    "count": lambda m: m.Plain.count({"n": 1}),
    "estimated_document_count": lambda m: m.Plain.estimated_document_count(),
    "distinct": lambda m: m.Plain.distinct("n"),
    "exists": lambda m: m.Plain.exists({"n": 1}),
    "KVStore.get": lambda m: m.Store.get("a"),
    "KVStore.get_all": lambda m: m.Store.get_all(),
    "KVStore.keys": lambda m: m.Store.keys(),
}


async def some_of_all(m: Models) -> None:
    await m.Plain.insert_many([m.Plain(label=str(n), n=n) for n in range(5)])
    await m.Post(label="post", author=await m.Author(label="author").insert()).insert()
    await m.Store.set_many({"a": 1, "b": {"c": [1]}})


async def save_later(document: Any) -> None:
    """What is there can be saved, and what is not can be inserted."""
    document.other = 9
    try:
        await document.save(upsert=True)
    except MongospecError as error:
        if error.outcome != "not_applied":
            raise
        return
    stored = await type(document).get_by_id(document._id)
    assert stored.other == 9


async def met(lane: Lane, recipe: Recipe, act: Callable[[], Awaitable[Any]]) -> None:
    """Let an operation get damaged replies: it ends in time, in a result or in an error of ours."""

    async def limited() -> Any:
        with core.timeout(TIMEOUT):
            return await act()

    with lane.proxy.rewrite_bson(None, damaged(recipe)):
        task = asyncio.ensure_future(limited())
        ended, _ = await asyncio.wait([task], timeout=HANGS)
    assert ended, f"{recipe}: it hangs"
    error = task.exception()
    if error is not None and not isinstance(error, MongospecError):
        error.add_note(f"after {recipe}")
        raise error


@contextmanager
def every_lane(uri: str, test: Callable[[Lane, Recipe], Awaitable[None]]) -> Iterator[None]:
    """Run *test* in all lanes at once, with recipes that hypothesis draws."""
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        made = runner.run(opened.enter_async_context(lanes(uri, LANES, f"damaged_{os.getpid()}")))

        async def meet(recipes: list[Recipe]) -> None:
            async with asyncio.TaskGroup() as group:
                for lane, recipe in zip(made, recipes, strict=True):
                    group.create_task(run(lane, recipe))

        async def run(lane: Lane, recipe: Recipe) -> None:
            await lane.empty()
            await lane.client["admin"].run_command({"ping": 1})  # it may still look for the server
            await test(lane, recipe)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize="MONGOSPEC_EXAMPLES" not in os.environ,
            phases=[Phase.generate],  # a hang costs seconds: a smaller recipe would take minutes
        )
        @given(st.lists(RECIPES, min_size=LANES, max_size=LANES))
        def search(recipes: list[Recipe]) -> None:
            runner.run(meet(recipes))

        try:
            search()
            yield
        finally:
            runner.run(opened.aclose())


@pytest.mark.parametrize("row", WRITES, ids=[row.name.replace("`", "") for row in WRITES])
def test_a_damaged_reply_is_an_error_of_ours(row: Row, mongo_server: MongoServer) -> None:
    async def write(lane: Lane, recipe: Recipe) -> None:
        objects = await row.prepare(lane.models)
        await met(lane, recipe, lambda: row.act(lane.models, objects, {}))
        for document in objects:
            await save_later(document)

    with every_lane(mongo_server.uri, write):
        assert len(WRITES) == len(NAMES)


@pytest.mark.parametrize("name", READS)
def test_a_damaged_reply_of_a_read_is_an_error_of_ours(
    name: str, mongo_server: MongoServer
) -> None:
    async def read(lane: Lane, recipe: Recipe) -> None:
        await some_of_all(lane.models)
        await met(lane, recipe, lambda: READS[name](lane.models))

    with every_lane(mongo_server.uri, read):
        pass


def test_a_damaged_reply_to_init_is_an_error_of_ours(mongo_server: MongoServer) -> None:
    async def bind(lane: Lane, recipe: Recipe) -> None:
        await met(lane, recipe, lambda: lane.bind(lane.names))
        await lane.bind(lane.names)

    with every_lane(mongo_server.uri, bind):
        pass


async def test_a_write_whose_reply_has_a_length_that_cannot_be_may_have_been_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Entry(core.MongoDocument):
        text: str = ""

    def with_negative_length(reply: bytes) -> bytes:
        return (-1).to_bytes(4, "little", signed=True) + reply[4:]

    await bind(Entry)
    entry = Entry(text="a")
    damage = mongo_proxy.rewrite_bson("insert", with_negative_length)
    with damage, pytest.raises(OperationError, match="reply is damaged") as caught:
        await entry.insert()
    assert caught.value.outcome == "unknown"
    assert await Entry.count() == 1
    await entry.save()
    assert await Entry.count() == 1


@pytest.mark.parametrize("verb", ["find_one_and_replace", "find_one_and_update"])
async def test_a_returned_document_whose_id_cannot_be_read_is_an_error_of_ours(
    bind: Bind, mongo_proxy: FaultProxy, verb: str
) -> None:
    class Entry(core.MongoDocument):
        text: str = ""

    await bind(Entry)
    await Entry(text="a").insert()
    new = Entry(text="b")
    change: Any = new if verb == "find_one_and_replace" else {"$set": {"text": "b"}}
    damaged_id = {"_id": Binary(b"\0" * 3, 4), "text": "b"}
    with (
        mongo_proxy.rewrite("findAndModify", lambda reply: {**reply, "value": damaged_id}),
        pytest.raises(MongospecError) as caught,
    ):
        await getattr(Entry, verb)({"text": "a"}, change)
    assert caught.value.outcome == "applied"
    assert await Entry.count({"text": "b"}) == 1
    assert new.id is None


@pytest.mark.parametrize(
    "nonsense",
    [
        {"n": "x"},
        {"n": float("nan")},
        {"nModified": -1},
        {"writeErrors": 5},
        {"writeErrors": None},
        {"upserted": None},
        {"writeErrors": [{"index": 7, "code": 11000}]},
        {"writeErrors": [{"index": -1, "code": 11000}]},
        {"writeErrors": [{"index": 0.0, "code": 11000}]},
        {"writeErrors": [{"code": 11000}]},
        {"writeErrors": [{"index": 0, "code": "x"}]},
        {"upserted": [{"index": 0}]},
        {"upserted": {"index": 0}},
        {"writeConcernError": 5},
    ],
    ids=repr,
)
async def test_a_reply_that_says_nonsense_leaves_what_it_is_about_unknown(
    bind: Bind, mongo_proxy: FaultProxy, nonsense: dict[str, Any]
) -> None:
    class Entry(core.MongoDocument):
        text: str = ""

    await bind(Entry)
    entries = [await Entry(text=str(n)).insert() for n in range(3)]
    for entry in entries:
        entry.text = "changed"
    damage = mongo_proxy.rewrite("update", lambda reply: {**reply, **nonsense})
    with damage, pytest.raises(BulkWriteError) as caught:
        await Entry.save_many(entries)
    assert caught.value.outcome == "unknown"
    assert caught.value.unknown == entries
    await Entry.save_many(entries)
    assert await Entry.count({"text": "changed"}) == 3


@pytest.mark.parametrize("listed", [{}, {"cursor": {}}, {"cursor": {"firstBatch": [{"key": 1}]}}])
async def test_a_list_of_indexes_that_is_none_is_told(
    bind: Bind, mongo_proxy: FaultProxy, listed: dict[str, Any]
) -> None:
    class Entry(core.MongoDocument):
        __indexes__ = [{"key": {"text": 1}}]
        text: str = ""

    told = pytest.raises(OperationError, match=r"Entry: indexes: the server's reply is damaged")
    with mongo_proxy.reply("listIndexes", {"ok": 1, **listed}), told:
        await bind(Entry)
