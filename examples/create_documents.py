"""Insert documents: one, many, and one unless it is there."""

import asyncio
import os
from collections.abc import Sequence
from typing import ClassVar

from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("email", unique=True)]

    name: str
    email: str


def user(name: str) -> User:
    return User(name=name, email=f"{name.lower()}@example.com")


async def main() -> None:
    async with mongospec.connect(URI, document_types=[User], database="mongospec_create_documents"):
        await User.delete_many({})

        alice = await user("Alice").insert()
        print("insert() returns the document, which has its _id now:", alice)

        bob = await User.insert_one(user("Bob"))  # the driver's spelling
        print("insert_one() as well:", bob)

        ids = await User.insert_many([user("Carol"), user("Dan"), user("Eve")])
        print("insert_many() returns the ids, in the order of the documents:", ids)

        # unordered: the others are inserted although one is refused
        try:
            await User.insert_many([user("Frank"), user("Alice"), user("Grace")], ordered=False)
        except mongospec.BulkInsertError as error:
            print("Inserted:", [document.name for document in error.inserted])
            for failure in error.failures:
                print(f"Refused: number {failure.index}, {failure.key_value}, code {failure.code}")

        # One insert among any number of callers, because a unique index covers the filter.
        heidi = await asyncio.gather(
            *(
                User.insert_if_not_exists(user("Heidi"), {"email": "heidi@example.com"})
                for _ in range(5)
            )
        )
        print("Five asked for Heidi,", sum(one is not None for one in heidi), "inserted her")

        total = await User.count()

    print(f"{total} users were inserted; Alice and Heidi exist once.")


if __name__ == "__main__":
    asyncio.run(main())
