"""Cursors: batch by batch, and nothing left behind."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import mongojet
import pytest

from mongospec_core import (
    Cursor,
    CursorClosedError,
    DocumentValidationError,
    MongoDocument,
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Numbered, Person


class Item(MongoDocument):
    """Its living instances are counted by the collector."""

    _id: int | None = None
    value: list[int] = []  # with a list inside, the collector tracks it


async def fill(count: int) -> None:
    collection = Item.get_collection()
    for start in range(0, count, 5_000):
        await collection.insert_many(
            [{"_id": n, "value": [n]} for n in range(start, min(start + 5_000, count))]
        )


def living() -> int:
    gc.collect()
    return sum(type(each) is Item for each in gc.get_objects())


@pytest.fixture
def few_objects() -> Iterator[None]:
    """The collector looks only at objects made from now on: counting them is quick."""
    gc.freeze()
    yield
    gc.unfreeze()


async def ids(cursor: Cursor[Item]) -> list[int]:
    return [each.id async for each in cursor]


@pytest.mark.usefixtures("few_objects")
async def test_a_cursor_over_10000_documents_holds_no_more_than_two_batches(bind: Bind) -> None:
    await bind(Item)
    await fill(10_000)
    most = seen = 0
    async for each in Item.find(sort="_id"):
        assert each.id == seen
        if seen % 500 in (0, 499):
            most = max(most, living())
        seen += 1
    assert seen == 10_000
    assert 500 <= most <= 2_000


async def test_a_cursor_asks_for_1000_at_a_time(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await fill(2_500)
    with mongo_proxy.recording() as seen:
        assert await ids(Item.find()) == list(range(2_500))
    assert [each.name for each in seen] == ["find", "getMore", "getMore"]
    assert seen[0].body["batchSize"] == 1_000
    with mongo_proxy.recording() as seen:
        await ids(Item.find(batch_size=500))
    assert [each.name for each in seen] == ["find", *["getMore"] * 5]
    assert {each.body["batchSize"] for each in seen} == {500}


async def test_nothing_is_sent_before_the_first_document_is_asked_for(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(3)
    with mongo_proxy.recording() as seen:
        cursor = Item.find()
        await asyncio.sleep(0)
        assert seen == []
        assert await cursor is cursor
        assert [each.name for each in seen] == ["find"]
        assert await ids(cursor) == [0, 1, 2]
    assert len(seen) == 1


async def test_a_cursor_may_be_awaited_more_than_once(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await fill(3)
    with mongo_proxy.recording() as seen:
        cursor = await Item.find()
        assert await (await cursor) is cursor
        assert await ids(cursor) == [0, 1, 2]
    assert len(seen) == 1


async def test_a_cursor_that_is_never_used_is_fine(bind: Bind) -> None:
    await bind(Item)
    Item.find()
    gc.collect()


async def test_to_list_takes_a_length_and_goes_on(bind: Bind) -> None:
    await bind(Item)
    await fill(50)
    cursor = Item.find(sort="_id")
    assert [each.id for each in await cursor.to_list(20)] == list(range(20))
    assert [each.id for each in await cursor.to_list(length=20)] == list(range(20, 40))
    assert [each.id for each in await cursor.to_list(20)] == list(range(40, 50))
    assert await cursor.to_list(20) == []
    assert await cursor.to_list() == []


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_000])
async def test_to_list_of_any_count_is_whole(bind: Bind, count: int) -> None:
    await bind(Item)
    if count:
        await fill(count)
    assert [each.id for each in await Item.find(sort="_id").to_list()] == list(range(count))
    assert len(await Item.find(sort="_id").to_list(count)) == count
    assert len(await Item.find(sort="_id").to_list(count + 5)) == count
    assert await ids(Item.find(sort="_id")) == list(range(count))
    assert len(await Item.find_all()) == count


async def test_to_list_of_zero_and_less(bind: Bind) -> None:
    await bind(Item)
    await fill(2)
    cursor = Item.find()
    assert await cursor.to_list(0) == []
    with pytest.raises(OptionError, match="at least 0"):
        await cursor.to_list(-1)
    assert len(await cursor.to_list()) == 2


async def test_ways_of_reading_may_be_mixed(bind: Bind) -> None:
    await bind(Item)
    await fill(30)
    cursor = await Item.find(sort="_id", batch_size=10)
    assert (await anext(cursor)).id == 0
    assert [each.id for each in await cursor.to_list(2)] == [1, 2]
    async for each in cursor:
        if each.id == 4:
            break
    batches = [[each.id for each in batch] async for batch in cursor.batches()]
    assert batches == [[5, 6, 7, 8, 9], list(range(10, 20)), list(range(20, 30))]
    assert await cursor.to_list() == []
    with pytest.raises(StopAsyncIteration):
        await anext(cursor)


async def test_an_exhausted_cursor_gives_nothing_more_and_sends_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(3)
    cursor = Item.find()
    assert len(await ids(cursor)) == 3
    with mongo_proxy.recording() as seen:
        assert await ids(cursor) == []
        assert await cursor.to_list(5) == []
        assert [batch async for batch in cursor.batches()] == []
    assert seen == []


async def test_batches_give_the_servers_batches(bind: Bind) -> None:
    await bind(Item)
    await fill(25)
    sizes = [len(batch) async for batch in Item.find(batch_size=10).batches()]
    assert sizes == [10, 10, 5]


async def killed(proxy: FaultProxy, count: int) -> None:
    """Wait until so many killCursors were sent; they go out in the background."""
    for _ in range(200):
        if proxy.count("killCursors") >= count:
            break
        await asyncio.sleep(0.01)
    assert proxy.count("killCursors") == count


async def test_break_leaks_nothing(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await fill(30)

    async def leave_early() -> None:
        async for each in Item.find(batch_size=10):
            assert each.id == 0
            break

    for _ in range(20):
        await leave_early()
    gc.collect()
    await killed(mongo_proxy, 20)
    assert living() == 0


async def test_close_kills_the_servers_cursor(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await fill(30)
    cursor = await Item.find(batch_size=10)
    await anext(cursor)
    await cursor.close()
    await cursor.close()
    await killed(mongo_proxy, 1)
    (command,) = [each for each in mongo_proxy.commands if each.name == "killCursors"]
    assert len(command.body["cursors"]) == 1


async def test_a_closed_cursor_refuses_to_be_read(bind: Bind) -> None:
    await bind(Item)
    await fill(30)
    for opened in (True, False):
        cursor = Item.find(batch_size=10)
        if opened:
            await anext(cursor)
        await cursor.close()
        reads: list[Callable[[], Any]] = [
            cursor.to_list,
            lambda cursor=cursor: cursor.to_list(5),
            lambda cursor=cursor: anext(cursor),
            lambda cursor=cursor: anext(cursor.batches()),
            lambda cursor=cursor: cursor.__aenter__(),
        ]
        for read in reads:
            with pytest.raises(CursorClosedError, match=r"Item\.find") as caught:
                await read()
            assert isinstance(caught.value, MongospecError)


async def test_async_with_opens_and_closes(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await fill(30)
    async with Item.find(batch_size=10) as cursor:
        assert (await anext(cursor)).id == 0
    with pytest.raises(CursorClosedError):
        await anext(cursor)
    await killed(mongo_proxy, 1)
    with pytest.raises(ZeroDivisionError):
        async with Item.find(batch_size=10) as cursor:
            raise ZeroDivisionError
    await killed(mongo_proxy, 2)


async def test_batch_size_0_is_refused(bind: Bind) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match="batch_size=0"):
        Item.find(batch_size=0)
    with pytest.raises(OptionError, match="batch_size=0"):
        await Item.find_all(batch_size=0)


async def test_an_empty_batch_in_between_does_not_end_a_cursor(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(30)

    def emptied(reply: dict[str, Any]) -> dict[str, Any]:
        # what a server sends that gave up in between: nothing yet, but the cursor lives
        reply["cursor"]["firstBatch"] = []
        return reply

    with mongo_proxy.rewrite("find", emptied):
        found = await ids(Item.find(batch_size=10, sort="_id"))
    assert found == list(range(10, 30))


async def test_limit_and_skip(bind: Bind) -> None:
    await bind(Item)
    await fill(30)
    assert await ids(Item.find(sort="_id", skip=5, limit=12)) == list(range(5, 17))
    assert await ids(Item.find(sort="_id", skip=5, limit=12, batch_size=5)) == list(range(5, 17))
    assert [e.id for e in await Item.find(sort="_id", limit=3).to_list(10)] == [0, 1, 2]


async def test_a_failed_batch_raises_and_names_the_operation(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(30)
    cursor = Item.find(batch_size=10)
    assert len(await cursor.to_list(10)) == 10
    with (
        mongo_proxy.fail("getMore", 43, message="cursor not found"),
        pytest.raises(OperationError, match=r"Item\.find") as caught,
    ):
        await cursor.to_list()
    assert caught.value.code == 43


async def test_a_filter_that_the_server_refuses_raises_on_the_first_read(bind: Bind) -> None:
    await bind(Item)
    cursor = Item.find({"$nope": 1})
    with pytest.raises(OperationError, match=r"Item\.find") as caught:
        await cursor.to_list()
    assert caught.value.outcome == "not_applied"
    assert isinstance(caught.value, mongojet.PyMongoError)


async def test_a_cursor_may_be_read_after_a_bad_batch(bind: Bind) -> None:
    await bind(Item)
    await fill(30)
    await Item.get_collection().update_one({"_id": 5}, {"$set": {"value": "bad"}})
    cursor = Item.find(batch_size=10, sort="_id")
    with pytest.raises(DocumentValidationError, match="_id=5"):
        await cursor.to_list(10)
    assert [each.id for each in await cursor.to_list()] == list(range(10, 30))


async def test_explain_says_how_and_leaves_the_cursor_as_it_is(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(3)
    cursor = Item.find({"_id": {"$gt": 0}}, sort="_id", limit=1, batch_size=10)
    with mongo_proxy.recording() as seen:
        plan = await cursor.explain()
    assert "queryPlanner" in plan
    (command,) = seen
    assert command.name == "explain"
    explained = command.body["explain"]
    assert explained["find"] == "Item"
    assert explained["filter"] == {"_id": {"$gt": 0}}
    assert explained["sort"] == {"_id": 1}
    assert (explained["limit"], explained["batchSize"]) == (1, 10)
    assert await ids(cursor) == [1]


async def test_many_cursors_at_once(bind: Bind) -> None:
    await bind(Item)
    await fill(300)
    found = await asyncio.gather(*(ids(Item.find(batch_size=50, sort="_id")) for _ in range(20)))
    assert found == [list(range(300))] * 20


async def test_a_cursor_reads_what_its_filter_was_when_it_was_made(bind: Bind) -> None:
    await bind(Numbered)
    await Numbered.insert_many([Numbered(_id=n) for n in range(3)])
    wanted: dict[str, Any] = {"_id": {"$gt": 0}}
    cursor = Numbered.find(wanted)
    wanted["_id"]["$gt"] = 1
    assert [each.id async for each in cursor] == [1, 2]


@pytest.mark.parametrize("fault", ["error", "cut"])
async def test_a_cursor_that_failed_raises_at_every_further_read(
    bind: Bind, mongo_proxy: FaultProxy, fault: str
) -> None:
    await bind(Numbered)
    await Numbered.insert_many([Numbered(_id=n) for n in range(30)])
    cursor = Numbered.find(batch_size=10)
    seen = [(await anext(cursor))._id for _ in range(10)]
    if fault == "error":
        mongo_proxy.fail("getMore", 43, times=1)
    else:
        mongo_proxy.cut("getMore", at="reply", times=1)
    for _ in range(3):
        with pytest.raises(OperationError):
            await anext(cursor)
        with pytest.raises(OperationError):
            await cursor.to_list()
    assert len(seen) == 10


@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_a_fetch_that_was_given_up_and_then_failed_raises_at_every_further_read(
    bind: Bind, mongo_proxy: FaultProxy, end: str
) -> None:
    await bind(Numbered)
    await Numbered.insert_many([Numbered(_id=n) for n in range(30)])
    cursor = Numbered.find(batch_size=10, timeout=0.1 if end == "timed out" else None)
    for _ in range(10):
        await anext(cursor)
    with mongo_proxy.stall("getMore") as rule:
        reading = asyncio.create_task(cursor.to_list())
        await rule.reached()
        if end == "cancelled":
            reading.cancel()
        with pytest.raises((asyncio.CancelledError, OperationTimeoutError)):
            await reading
        mongo_proxy.disconnect()
    for _ in range(3):
        with pytest.raises(OperationError) as raised:
            await cursor.to_list()
    assert not isinstance(raised.value, OperationTimeoutError)


async def test_a_cursor_says_where_pymongos_chaining_went(bind: Bind) -> None:
    await bind(Person)
    cursor: Any = Person.find()
    with pytest.raises(AttributeError, match=r"find\(\.\.\., sort=\.\.\.\)"):
        cursor.sort("name")
    with pytest.raises(AttributeError, match="rewind"):
        cursor.rewind()


async def test_to_list_of_few_does_not_make_every_later_batch_as_small(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=str(number)) for number in range(300)])
    cursor = Person.find()
    with mongo_proxy.recording() as seen:
        (first,) = await cursor.to_list(1)
        rest = [each async for each in cursor]
    assert len({first.id, *(each.id for each in rest)}) == 300
    assert len([each for each in seen if each.name == "getMore"]) <= 3
