"""The work that is compared: what an application does with documents all day."""

from collections.abc import Awaitable, Callable
from typing import Any

import mongojet

from benchmarks.documents import Newcomer, Person, people
from benchmarks.measure import Task, Way

MANY = 1.4
MANY_WRITTEN = 1.5
ONE = 1.1


async def tasks(db: mongojet.Database, documents: int, singles: int) -> list[Task]:
    """All tasks, over a collection of as many stored documents.

    :param db: a database of their own, to which the classes are bound.
    :param documents: how many documents the tasks on many handle in one turn.
    :param singles: how many times the tasks on one document do it in one turn.
    """
    stored = people(Person, documents)
    await Person.insert_many(stored)
    ids = [each._id for each in stored[:singles]]
    read, written = db[Person.get_collection_name()], db[Newcomer.get_collection_name()]

    async def new_documents(count: int) -> list[Newcomer]:
        await written.drop()
        return people(Newcomer, count)

    async def new_dicts(count: int) -> list[dict[str, Any]]:
        return [each.dump() for each in await new_documents(count)]

    async def read_documents() -> list[Person]:
        return await Person.find_all(limit=singles)

    def once[T](prepare: Callable[[int], Awaitable[T]], count: int) -> Callable[[], Awaitable[T]]:
        return lambda: prepare(count)

    async def find_all(_: None) -> None:
        await Person.find_all()

    async def find_many(_: None) -> None:
        await read.find_many({})

    async def our_cursor(_: None) -> None:
        async for _each in Person.find():
            pass

    async def driver_cursor(_: None) -> None:
        async for _each in await read.find({}, batch_size=1_000):
            pass

    async def find_by_id(_: None) -> None:
        for each in ids:
            await Person.find_by_id(each)

    async def find_one(_: None) -> None:
        for each in ids:
            await read.find_one({"_id": each})

    async def our_insert_one(given: list[Newcomer]) -> None:
        for each in given:
            await Newcomer.insert_one(each)

    async def driver_insert_one(given: list[dict[str, Any]]) -> None:
        for each in given:
            await written.insert_one(each)

    async def save(given: list[Person]) -> None:
        for each in given:
            each.age += 1
            await each.save()

    async def update_one(given: list[Person]) -> None:
        for each in given:
            await read.update_one({"_id": each._id}, {"$set": {"age": each.age + 1}})

    return [
        Task("find_all", documents, MANY, Way(find_all), Way(find_many)),
        Task("cursor", documents, MANY, Way(our_cursor), Way(driver_cursor)),
        Task(
            "insert_many",
            documents,
            MANY_WRITTEN,
            Way(Newcomer.insert_many, once(new_documents, documents)),
            Way(written.insert_many, once(new_dicts, documents)),
        ),
        Task("find_by_id", singles, ONE, Way(find_by_id), Way(find_one)),
        Task(
            "insert_one",
            singles,
            ONE,
            Way(our_insert_one, once(new_documents, singles)),
            Way(driver_insert_one, once(new_dicts, singles)),
        ),
        Task(
            "save of one changed field",
            singles,
            ONE,
            Way(save, read_documents),
            Way(update_one, read_documents),
        ),
    ]
