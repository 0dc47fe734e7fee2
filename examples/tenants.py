"""One database a tenant, the same classes for all: using() says where the operations go."""

import asyncio
import os

import mongojet
from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Author(MongoDocument):
    __indexes__ = [IndexModel("email", unique=True)]

    name: str
    email: str


class Article(MongoDocument):
    title: str
    author: Author


async def publish(tenant: mongojet.Database, *titles: str) -> Author:
    """What a request does: nothing in it names the tenant but the block."""
    with mongospec.using(tenant):
        author = await Author(name="Ann", email="ann@example.com").insert()
        await Article.insert_many([Article(title=title, author=author) for title in titles])
        return author


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Author, Article], database="mongospec_tenants"
    ) as database:
        tenants = [database.client[f"mongospec_tenants_{name}"] for name in ("red", "blue")]
        for tenant in tenants:
            await tenant.drop()  # a second run starts anew
            await mongospec.create_indexes(tenant)  # once for a new tenant

        red, _ = await asyncio.gather(
            publish(tenants[0], "Roses"), publish(tenants[1], "Sky", "Sea")
        )
        counts: list[int] = []
        for tenant in tenants:
            with mongospec.using(tenant):
                counts.append(await Article.count())
                titles = [article.title for article in await Article.find_all(sort="title")]
                print(f"{tenant.name}: {titles}")

        with mongospec.using(tenants[1]):
            try:
                await Article(title="Rust", author=red).insert()
            except mongospec.WrongDatabaseError as error:
                print("Refused:", error)
        print("In the database of connect():", await Article.count_documents({}), "articles")
    print(f"The tenants have {counts[0]} and {counts[1]} articles, and nothing crossed.")


if __name__ == "__main__":
    asyncio.run(main())
