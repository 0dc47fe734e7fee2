"""Classes that share a collection: each document is read as its own class, page by page."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Medium(MongoDocument, tag_field="kind", tag="medium"):
    """The root of the family: its collection has the documents of all."""

    __collection_name__ = "media"
    __shard_key__ = ("branch",)  # on a sharded cluster each write of a document reaches one shard

    branch: str
    title: str


class Book(Medium, tag="book"):
    pages: int


class AudioBook(Book, tag="audio book"):
    minutes: int


class Map(Medium, tag="map"):
    scale: int = 25_000


async def main() -> None:
    types: list[type[MongoDocument]] = [Medium, Book, AudioBook, Map]
    async with mongospec.connect(URI, document_types=types, database="mongospec_inheritance"):
        await Medium.delete_many({})
        await Medium.insert_many(
            [
                Book(branch="north", title="Dune", pages=600),
                AudioBook(branch="north", title="Emma", pages=400, minutes=900),
                Map(branch="south", title="Alps"),
                Medium(branch="south", title="Globe"),
            ]
        )

        for medium in await Medium.find_all(sort="title"):  # list[Medium], each of its own class
            print(f"{type(medium).__name__}: {medium.title}")
        print("Books, audio books among them:", await Book.count())
        print("By a field of one class:", await Medium.count({"minutes": {"$gt": 600}}))

        await Book.update_many({}, {"$inc": {"pages": 4}})  # the map is none of its business
        emma = await Medium.get_one({"title": "Emma"})
        assert isinstance(emma, AudioBook)
        emma.minutes += 30
        await emma.save()
        print("Saved as its own class:", await AudioBook.get_by_id(emma.id) == emma)
        try:
            await Map.get_by_id(emma.id)
        except mongospec.DocumentNotFoundError as error:
            print("Not a map:", error)

        titles: list[str] = []
        after: str | None = None
        while True:
            page = await Medium.page(sort=[("branch", -1), ("title", 1)], size=3, after=after)
            titles += [medium.title for medium in page.items]
            after = page.next
            if after is None:
                break
        print("Page by page:", titles)

        counts = [await cls.count_documents({}) for cls in (Medium, Book, AudioBook, Map)]
    print(f"{counts[0]} media, {counts[1]} books, {counts[2]} audio book, {counts[3]} map.")


if __name__ == "__main__":
    asyncio.run(main())
