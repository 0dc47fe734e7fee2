"""Cursors of smaller shapes and of pipelines, and what servers do in the middle of one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import pytest

from mongospec_core import (
    Cursor,
    CursorClosedError,
    DocumentValidationError,
    MongoDocument,
    OptionError,
    instrument,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Item(MongoDocument):
    _id: int | None = None
    value: int = 0


class Value(msgspec.Struct):
    value: int


class Sum(msgspec.Struct, rename={"group": "_id"}):
    group: int
    total: int


async def fill(count: int) -> None:
    await Item.insert_many([Item(_id=n, value=n % 10) for n in range(count)])


def every_cursor(batch_size: int) -> dict[str, Cursor[Any]]:
    stages = [{"$sort": {"_id": 1}}]
    return {
        "find": Item.find(sort="_id", batch_size=batch_size),
        "struct": Item.find(projection=Value, sort="_id", batch_size=batch_size),
        "dict": Item.find(projection={"value": 1, "_id": 0}, sort="_id", batch_size=batch_size),
        "aggregate": Item.aggregate(stages, batch_size=batch_size),
        "aggregate into": Item.aggregate(stages, into=Item, batch_size=batch_size),
    }


def values(found: list[Any]) -> list[int]:
    return [each["value"] if isinstance(each, dict) else each.value for each in found]


ONE_TO_TEN = list(range(10))
KINDS = ["find", "struct", "dict", "aggregate", "aggregate into"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_cursor_can_be_read_in_every_way(
    bind: Bind, mongo_proxy: FaultProxy, kind: str
) -> None:
    await bind(Item)
    await fill(10)
    expected = ONE_TO_TEN

    assert values([each async for each in every_cursor(3)[kind]]) == expected
    assert values(await every_cursor(3)[kind].to_list()) == expected
    assert values(await (await every_cursor(3)[kind]).to_list(4)) == expected[:4]
    sizes = [len(batch) async for batch in every_cursor(3)[kind].batches()]
    assert sizes == [3, 3, 3, 1]

    async with every_cursor(3)[kind] as cursor:
        assert values([await anext(cursor)]) == [0]
        assert values(await cursor.to_list(1)) == [1]
        async for batch in cursor.batches():
            assert values(batch) == [2]  # the rest of the batch that was begun
            break
        assert values(await cursor.to_list()) == expected[3:]
        assert await cursor.to_list() == []
    with pytest.raises(CursorClosedError):
        await anext(cursor)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_cursor_explains_itself(bind: Bind, mongo_proxy: FaultProxy, kind: str) -> None:
    await bind(Item)
    await fill(3)
    cursor = every_cursor(3)[kind]
    with mongo_proxy.recording() as seen:
        assert await cursor.explain()
        assert await cursor.explain("executionStats")
    assert [each.name for each in seen] == ["explain", "explain"]
    assert [each.body["verbosity"] for each in seen] == ["queryPlanner", "executionStats"]
    explained = seen[0].body["explain"]
    assert kind.split(maxsplit=1)[0] in explained or "find" in explained
    assert len(await cursor.to_list()) == 3


async def test_explain_of_an_aggregate_carries_its_options(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Item)
    await fill(3)
    cursor = Item.aggregate(
        [{"$match": {"value": {"$gt": 0}}}], allow_disk_use=True, comment="why", batch_size=7
    )
    with mongo_proxy.recording() as seen:
        await cursor.explain()
    (command,) = seen
    explained = command.body["explain"]
    assert explained["pipeline"] == [{"$match": {"value": {"$gt": 0}}}]
    assert explained["allowDiskUse"] is True


async def test_leaving_batches_early_loses_nothing(bind: Bind) -> None:
    await bind(Item)
    await fill(10)
    cursor = Item.find(sort="_id", batch_size=4)
    async for batch in cursor.batches():
        assert [each.id for each in batch] == [0, 1, 2, 3]
        break
    assert [each.id for each in await cursor.to_list()] == [4, 5, 6, 7, 8, 9]


async def test_a_loop_inside_of_a_loop_over_one_cursor_shares_it(bind: Bind) -> None:
    await bind(Item)
    await fill(6)
    cursor = Item.find(sort="_id", batch_size=2)
    pairs = []
    async for one in cursor:
        async for other in cursor:
            pairs.append((one.id, other.id))
            break
    assert pairs == [(0, 1), (2, 3), (4, 5)]


async def test_a_batch_that_does_not_fit_is_told_by_batches_too(bind: Bind) -> None:
    await bind(Item)
    await fill(6)
    await Item.get_collection().update_one({"_id": 3}, {"$set": {"value": "x"}})
    got: list[Any] = []
    cursor = Item.find(sort="_id", batch_size=2)
    batches = cursor.batches()
    got += await anext(batches)
    with pytest.raises(DocumentValidationError, match="_id=3"):
        await anext(batches)
    assert [each.id for each in got] == [0, 1]
    assert [each.id for each in await cursor.to_list()] == [4, 5]


# -- empty batches in the middle: a server sends them when it gave up in between


def emptied(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply without its documents; the server's cursor lives on."""
    cursor = reply["cursor"]
    for batch in ("firstBatch", "nextBatch"):
        if batch in cursor:
            cursor[batch] = []
    return reply


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_empty_batches_in_the_middle_do_not_end_a_cursor(
    bind: Bind, mongo_proxy: FaultProxy, kind: str, times: int
) -> None:
    await bind(Item)
    await fill(10)
    with mongo_proxy.rewrite("getMore", emptied, times=times):
        found = values([each async for each in every_cursor(2)[kind]])
    assert found == ONE_TO_TEN[:2] + ONE_TO_TEN[2 + 2 * times :]


@pytest.mark.parametrize("times", [1, 2])
async def test_empty_first_batches_do_not_end_a_cursor(
    bind: Bind, mongo_proxy: FaultProxy, times: int
) -> None:
    await bind(Item)
    await fill(10)
    expected = ONE_TO_TEN[2 * times :]

    def faults() -> Any:
        return mongo_proxy.rewrite(["find", "getMore"], emptied, times=times)

    with faults():
        assert [each.id for each in await Item.find(sort="_id", batch_size=2).to_list()] == expected
    with faults():
        found = [
            each async for batch in Item.find(sort="_id", batch_size=2).batches() for each in batch
        ]
        assert [each.id for each in found] == expected
    with faults():
        assert (await anext(Item.find(sort="_id", batch_size=2))).id == expected[0]


@pytest.mark.parametrize("times", [1, 2])
async def test_empty_batches_in_the_middle_do_not_end_find_all(
    bind: Bind, mongo_proxy: FaultProxy, times: int
) -> None:
    await bind(Item)
    await fill(10)
    with mongo_proxy.rewrite("getMore", emptied, times=times):
        found = await Item.find_all(sort="_id", batch_size=2)
    assert values(found) == ONE_TO_TEN[:2] + ONE_TO_TEN[2 + 2 * times :]
    with mongo_proxy.rewrite("find", emptied, times=1):
        found = await Item.find_all(sort="_id", batch_size=2)
    assert values(found) == ONE_TO_TEN[2:]
    with instrument(_watch), mongo_proxy.rewrite("getMore", emptied, times=times):
        found = await Item.find_all(sort="_id", batch_size=2)
    assert values(found) == ONE_TO_TEN[:2] + ONE_TO_TEN[2 + 2 * times :]


def _watch(operation: Any) -> AbstractContextManager[None]:
    return nullcontext()


async def test_no_sort_may_be_said_by_none_and_by_empty_forms(bind: Bind) -> None:
    await bind(Item)
    await fill(3)
    forms: list[Any] = [None, [], {}, ()]
    for sort in forms:
        assert len(await Item.find_all(sort=sort)) == 3
        assert len(await Item.find(sort=sort).to_list()) == 3
        assert await Item.find_one({"_id": 1}, sort=sort) == Item(_id=1, value=1)
        assert await Item.find_one_and_update({"_id": 1}, {"$set": {"value": 1}}, sort=sort)


# -- what is not offered


async def test_tailable_cursors_are_refused_with_the_reason(bind: Bind) -> None:
    await bind(Item)
    tailable: Any = {"cursor_type": "tailable"}
    with pytest.raises(OptionError, match=r"tailable cursors are not offered.*get_collection\(\)"):
        Item.find(**tailable)
    with pytest.raises(OptionError, match="tailable"):
        await Item.find_all(**tailable)


@pytest.mark.parametrize("option", ["cursor_typ", "batchSize", "tailable", "max_time"])
async def test_an_option_that_the_driver_does_not_know_is_named(bind: Bind, option: str) -> None:
    await bind(Item)
    options: Any = {option: 1}
    for call in (
        lambda: Item.find(**options),
        lambda: Item.aggregate([], **options),
    ):
        with pytest.raises(OptionError, match=option):
            call()
    for read in (Item.find_all, Item.find_one, Item.count, Item.estimated_document_count):
        with pytest.raises(OptionError, match=option):
            await read(**options)
    with pytest.raises(OptionError, match=option):
        await Item.distinct("value", **options)


async def test_batch_size_0_of_an_aggregate_is_refused(bind: Bind) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match="batch_size=0"):
        Item.aggregate([], batch_size=0)


async def test_an_aggregates_group_is_read_as_a_struct(bind: Bind) -> None:
    await bind(Item)
    await fill(20)
    stages: list[dict[str, Any]] = [
        {"$group": {"_id": "$value", "total": {"$sum": "$_id"}}},
        {"$sort": {"_id": 1}},
    ]
    found = await Item.aggregate(stages, into=Sum).to_list()
    assert found == [Sum(group=n, total=n + n + 10) for n in range(10)]
