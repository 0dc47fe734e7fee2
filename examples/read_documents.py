"""Find documents: one, by id, many, a cursor; and only some of their fields."""

import asyncio
import os

import msgspec

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Film(MongoDocument):
    __collection_name__ = "films"

    title: str
    year: int
    rating: float
    genres: list[str] = []


class Title(msgspec.Struct):
    """A part of a film: what a list shows."""

    title: str
    year: int


async def main() -> None:
    async with mongospec.connect(URI, document_types=[Film], database="mongospec_read_documents"):
        await Film.delete_many({})
        await Film.insert_many(
            [
                Film(title="Metropolis", year=1927, rating=8.3, genres=["drama", "sci-fi"]),
                Film(title="M", year=1931, rating=8.3, genres=["crime"]),
                Film(title="Stalker", year=1979, rating=8.1, genres=["drama", "sci-fi"]),
                Film(title="Solaris", year=1972, rating=7.9, genres=["drama", "sci-fi"]),
            ]
        )

        m = await Film.find_one({"title": "M"})
        assert m is not None
        print("find_one:", m)
        print("Not there:", await Film.find_one({"title": "N"}))

        same = await Film.find_by_id(str(m.id))  # as it comes out of a URL
        assert same == m
        try:
            await Film.find_by_id("M")
        except mongospec.InvalidIdError as error:
            print("No id:", error)

        try:
            await Film.find_one({"tilte": "M"})
        except mongospec.UnknownFieldError as error:
            print("Checked before it is sent:", error)
        body = {"title": {"$ne": None}}  # from outside: it would match every film
        try:
            await Film.find_one({"title": mongospec.eq(body["title"])})
        except mongospec.FilterValueError as error:
            print("Kept a value:", error)

        old = await Film.find_all({"year": {"$lt": 1970}}, sort="year")
        print("find_all:", [film.title for film in old])

        best = await Film.find({"genres": "sci-fi"}, sort=[("rating", -1)], limit=2).to_list()
        print("find, sorted and limited:", [film.title for film in best])

        print("Looped over:")
        async for film in Film.find(sort=[("year", -1)]):
            print(f"  {film.year} {film.title}")

        titles = await Film.find_all(projection=Title, sort="title")  # list[Title]
        print("Only some fields, as a Struct:", titles[0])

        raw = await Film.find_one({"title": "M"}, projection={"_id": 0, "rating": 1})
        print("Only some fields, as a dict:", raw)

        decades = Film.aggregate(
            [
                {"$group": {"_id": {"$gte": ["$year", 1970]}, "count": {"$sum": 1}}},
                {"$sort": {"_id": 1}},
            ]
        )
        print("Aggregated:", await decades.to_list())
        print("Genres:", await Film.distinct("genres"))

    print(f"{len(titles)} films were found in six ways.")


if __name__ == "__main__":
    asyncio.run(main())
