"""Define a document, insert it, find it, delete it; a unique index refuses its double.

Run it against a MongoDB of yours, or one that is started for it:

    python examples/quick_start.py
    mongospec-server -- python examples/quick_start.py
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import mongojet
import msgspec
from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel(keys=[("email", 1)], unique=True)]

    name: str
    email: str
    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


async def main() -> None:
    client = await mongojet.create_client(URI)
    await mongospec.init(client["mongospec_quick_start"], document_types=[User])
    await User.delete_many({})  # what an earlier run left

    user = User(name="Alice", email="alice@example.com")
    await user.insert()
    print("Inserted:", user)

    fetched = await User.find_one({"email": "alice@example.com"})
    print("Fetched: ", fetched)
    assert fetched is not None

    try:
        await User(name="Eve", email="alice@example.com").insert()
    except mongospec.DuplicateKeyError as error:
        print("Refused: ", error)

    deleted = await fetched.delete()
    print("Deleted: ", deleted)

    await mongospec.close()
    print("One user was inserted, found and deleted; the second with the same e-mail was refused.")


if __name__ == "__main__":
    asyncio.run(main())
