"""Read less than the whole document: the server sends only what the shape has."""

import asyncio
import os
from typing import Any

import msgspec

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Address(msgspec.Struct):
    street: str
    city: str


class User(MongoDocument):
    __collection_name__ = "users"

    name: str
    email: str
    address: Address
    biography: str


class City(msgspec.Struct):
    city: str


class UserCard(msgspec.Struct):
    """What a list of users shows: two fields, and a part of the third."""

    _id: Any
    name: str
    address: City


class CityCount(msgspec.Struct):
    """What a pipeline returns."""

    city: str = msgspec.field(name="_id")
    users: int


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[User], database="mongospec_projection_example"
    ):
        await User.delete_many({})
        await User.insert_many(
            [
                User(
                    name=f"User {number}",
                    email=f"user{number}@example.com",
                    address=Address(street="Main Street 1", city="Rome" if number % 3 else "Oslo"),
                    biography="A long text. " * 1_000,
                )
                for number in range(30)
            ]
        )

        cards = await User.find_all(projection=UserCard, sort="_id", limit=2)  # list[UserCard]
        print("As a Struct:", cards[0])

        async for card in User.find({"address.city": "Oslo"}, projection=UserCard, limit=1):
            print("From a cursor:", card.name, "in", card.address.city)

        raw = await User.find_one({"name": "User 7"}, projection={"_id": 0, "email": 1})
        print("As a dict:", raw)

        full = await User.find_by_id(cards[0]._id)
        assert full is not None
        print("The whole document when it is needed:", len(full.biography), "characters")

        counts = await User.aggregate(
            [{"$group": {"_id": "$address.city", "users": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
            into=CityCount,
        ).to_list()
        print("A pipeline into a Struct:", counts)

    print(
        f"{counts[0].users} users live in {counts[0].city}, {counts[1].users} in {counts[1].city}."
    )


if __name__ == "__main__":
    asyncio.run(main())
