"""After init() every class knows its collection and can be used as it is."""

import asyncio
import os

import mongojet

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Book(MongoDocument):
    __collection_name__ = "books"

    title: str


class Author(MongoDocument):  # no __collection_name__: the collection is called Author
    name: str


class AudioBook(Book):
    """A subclass is bound only if it is listed, and needs a collection of its own."""

    __collection_name__ = "audio_books"

    minutes: int


async def main() -> None:
    client = await mongojet.create_client(URI)
    await mongospec.init(client["mongospec_collection_binding"], document_types=[Book, Author])

    for cls in (Book, Author):
        await cls.delete_many({})
        print(f"{cls.__name__} is bound to the collection {cls.get_collection_name()!r}")

    await Book(title="Emma").insert()
    await Author(name="Jane Austen").insert()
    print(await Book.find_one({"title": "Emma"}))
    print(await Author.find_one({"name": "Jane Austen"}))

    # What mongospec does not offer, the driver's collection does: raw documents, no hooks.
    raw = await Book.get_collection().find_one({"title": "Emma"})
    print("The driver's view:", raw)

    try:
        await AudioBook(title="Emma", minutes=960).insert()
    except mongospec.NotBoundError as error:
        print("Not listed:", error)

    await mongospec.init(client["mongospec_collection_binding"], document_types=[AudioBook])
    await AudioBook.delete_many({})
    await AudioBook(title="Emma", minutes=960).insert()
    counts = await Book.count(), await AudioBook.count(), await Author.count()
    await mongospec.close()
    print(f"Books, audio books, authors: {counts}. Each class used its own collection.")


if __name__ == "__main__":
    asyncio.run(main())
