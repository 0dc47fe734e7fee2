"""Bind document classes to a database: in one block, by hand, and to two databases at once."""

import asyncio
import os

import mongojet

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class User(MongoDocument):
    name: str


class Event(MongoDocument):
    text: str


async def in_one_block() -> None:
    """For applications, workers and scripts: client, init() and close() in one."""
    async with mongospec.connect(
        URI, document_types=[User], database="mongospec_connection_management", timeout=10
    ) as database:
        await User.delete_many({})
        await User(name="Alice").insert()
        print(f"connect(): {await User.count()} user in {database.name}")


async def by_hand() -> None:
    """The same, step by step."""
    client = await mongojet.create_client(URI)
    database = client["mongospec_connection_management"]
    await mongospec.init(database, document_types=[User])
    print(f"init(): {User.get_collection_name()} is bound, {await User.count()} user is there")
    await mongospec.close()  # closes the client, too
    await mongospec.close()  # a second time does no harm


async def two_databases() -> None:
    """Classes may live in different databases; the client stays with its owner."""
    client = await mongojet.create_client(URI)
    await mongospec.init(
        client["mongospec_connection_management"], document_types=[User], close_client=False
    )
    await mongospec.init(
        client["mongospec_connection_management_events"],
        document_types=[Event],
        close_client=False,
    )
    await Event.delete_many({})
    await Event(text="Alice came in").insert()
    print(f"Two databases: {await User.count()} user here, {await Event.count()} event there")
    await mongospec.close()
    await client.close()
    await asyncio.sleep(0.02)  # the driver's threads need a moment before a process may end


async def main() -> None:
    await in_one_block()
    await by_hand()
    await two_databases()
    try:
        await User.count()
    except mongospec.NotBoundError as error:
        print("After close():", error)
    print("The classes were bound three times, and are unbound again.")


if __name__ == "__main__":
    asyncio.run(main())
