"""Replies of writes whose BSON is damaged: an error of ours or a result, never a crash, a hang, or a half-known object."""

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from mongospec_core import MongospecError
from mongospec_testing import MongoServer
from tests.faults.lane import Lane, lanes
from tests.faults.operations import ROWS, Row

SEEDS = range(24)
NAMES = {
    "`insert()`",
    "`insert_many()`",
    "`save()`",
    "`save_many()`",
    "`bulk_write()`",
    "`update_one()`",
    "`find_one_and_update()`",
    "`find_one_and_replace()`",
    "`delete()`",
    "`insert_recursive()`",
    "`KVStore.increment()`",
}


def damage(seed: int) -> Callable[[bytes], bytes]:
    """Bytes are changed, left out, or put in."""
    dice = random.Random(seed)

    def damaged(document: bytes) -> bytes:
        data = bytearray(document)
        for _ in range(dice.choice((1, 1, 2, 8))):
            place = dice.randrange(len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[place] ^= 1 << dice.randrange(8)
            elif kind == 1:
                data[place] = dice.choice((0, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                del data[place : place + dice.randrange(1, 9)]
            else:
                data[place:place] = dice.randbytes(dice.randrange(1, 9))
        return bytes(data) if len(data) > 5 else document

    return damaged


async def save_later(document: Any, seed: int) -> None:
    """What is there can be saved, and what is not can be inserted."""
    document.other = seed
    try:
        await document.save(upsert=True)
    except MongospecError as error:
        if error.outcome != "not_applied":
            raise
        return
    stored = await type(document).get_by_id(document._id)
    assert stored.other == seed


MET = [row for row in ROWS if row.name in NAMES]


@pytest.mark.parametrize("row", MET, ids=[row.name.replace("`", "") for row in MET])
async def test_a_damaged_reply_is_an_error_of_ours(row: Row, mongo_server: MongoServer) -> None:
    seeds = iter(SEEDS)
    told: list[str] = []

    async def work(lane: Lane) -> None:
        for seed in seeds:
            await lane.empty()
            await lane.client["admin"].run_command({"ping": 1})
            objects = await row.prepare(lane.models)
            with lane.proxy.rewrite_bson(None, damage(seed)):
                task = asyncio.ensure_future(row.act(lane.models, objects, {"timeout": 2}))
                ended, _ = await asyncio.wait([task], timeout=8)
            assert ended, f"seed {seed}: it hangs"
            error = task.exception()
            assert error is None or isinstance(error, MongospecError), f"seed {seed}: {error!r}"
            told.append("done" if error is None else error.outcome)
            for document in objects:
                await save_later(document, seed)

    async with (
        lanes(mongo_server.uri, 6, f"damaged_{os.getpid()}", row) as all_lanes,
        asyncio.TaskGroup() as group,
    ):
        for lane in all_lanes:
            group.create_task(work(lane))
    assert len(told) == len(SEEDS)
