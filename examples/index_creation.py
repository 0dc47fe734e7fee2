"""Declare indexes in the class: unique, compound, partial, expiring, text."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import mongojet
import msgspec
from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Account(MongoDocument):
    __collection_name__ = "accounts"
    __indexes__: ClassVar[Sequence[Any]] = [
        IndexModel("email", unique=True),
        IndexModel([("country", 1), ("joined_at", -1)], name="newest_by_country"),
        IndexModel("last_seen", expireAfterSeconds=90 * 24 * 3600),
        # A plain dict, as the createIndexes command takes it, is an index as well.
        {
            "key": {"phone": 1},
            "unique": True,
            "partialFilterExpression": {"phone": {"$type": "string"}},
        },
    ]

    email: str
    country: str
    phone: str | None = None
    joined_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    last_seen: datetime | None = None


class Article(MongoDocument):
    __collection_name__ = "articles"
    __indexes__: ClassVar[Sequence[IndexModel]] = [
        IndexModel([("title", "text"), ("body", "text")], weights={"title": 3, "body": 1})
    ]

    title: str
    body: str


async def show_indexes(cls: type[MongoDocument]) -> int:
    indexes = await cls.get_collection().list_indexes()
    for index in indexes:
        print(f"  {index.get('name')}: {index['key']}{' unique' if index.get('unique') else ''}")
    return len(indexes)


async def main() -> None:
    client = await mongojet.create_client(URI)
    database = client["mongospec_index_creation"]
    await database.drop()

    await mongospec.init(database, document_types=[Account])
    print("Created at init():")
    count = await show_indexes(Account)

    # A deployment whose user may not create indexes looks whether they are there.
    await mongospec.init(database, document_types=[Account], indexes="check")
    print("Checked: all declared indexes are there")

    await Account(email="alice@example.com", country="DE").insert()
    await Account(email="bob@example.com", country="DE").insert()  # no phone: not in that index
    try:
        await Account(email="alice@example.com", country="FR").insert()
    except mongospec.DuplicateKeyError as error:
        print("The unique index refused:", error.key_value)

    try:
        await mongospec.init(database, document_types=[Article])
    except mongospec.IndexConflictError as error:
        print("This server has no text indexes:", error)
    else:
        await Article(title="Tea", body="How to brew it").insert()
        await Article(title="Coffee", body="Not tea").insert()
        best = {"score": {"$meta": "textScore"}}
        found = await Article.find_all({"$text": {"$search": "tea"}}, sort=best)
        print("Found by text, best first:", [article.title for article in found])

    await mongospec.close()
    print(f"{count} indexes are there, the one on _id included; a double e-mail was refused.")


if __name__ == "__main__":
    asyncio.run(main())
