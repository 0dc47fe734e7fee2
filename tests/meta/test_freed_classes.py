"""Classes that a function makes, one set a tenant or a test, go again once they are unbound."""

import gc
from typing import Any, Literal
from weakref import ref

import mongojet
import msgspec
import pytest
from pydantic import TypeAdapter

from mongospec import MongoDocument, close, connect, init
from mongospec.contrib.kv_store import KVStore, KVStoreItem
from mongospec_testing import MongoServer


async def use_new_classes() -> tuple[list[Any], Any]:
    class Part(msgspec.Struct, frozen=True):
        size: float

    class Agency(MongoDocument):
        name: str
        parts: list[Part] = []

    class Route(MongoDocument):
        title: str
        agency: Agency
        by_part: dict[str, Part] = {}

    class Title(msgspec.Struct):
        title: str

    class Settings(KVStore, MongoDocument):
        pass

    limit = KVStoreItem.of(Settings)[int]("limit")

    async def use() -> None:
        agency = await Agency(name="a", parts=[Part(1.0)]).insert()
        route = await Route(title="b", agency=agency, by_part={"x": Part(2.0)}).insert()
        route.agency.name = "c"
        await route.save()
        assert await Route.find_one({"agency": agency}, projection=Title) == Title("b")
        assert await Route.count({"by_part.x": Part(2.0)}) == 1
        assert TypeAdapter(Route).validate_python(route) is route
        TypeAdapter(Route).json_schema()
        await limit.set(3)
        assert await limit.get() == 3

    return [Agency, Route, Settings], use


@pytest.mark.parametrize("way", ["close", "connect"])
async def test_classes_that_are_unbound_are_freed(
    mongo_server: MongoServer, mongo_db: mongojet.Database, way: Literal["close", "connect"]
) -> None:
    left: list[ref[type]] = []
    for _ in range(3):
        classes, use = await use_new_classes()
        left += map(ref, classes)
        if way == "close":
            await init(mongo_db, classes, close_client=False)
            await use()
            await close()
        else:
            name = mongo_db.name
            async with connect(mongo_server.uri, document_types=classes, database=name):
                await use()
        del classes, use
        await mongo_db["Agency"].drop()
        await mongo_db["Route"].drop()
        await mongo_db["Settings"].drop()
    gc.collect()
    assert [each() for each in left if each() is not None] == []
