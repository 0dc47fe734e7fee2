"""What is stored and read: one document of twelve fields, as a class and as the same plain dict."""

import datetime as dt
from enum import Enum

import msgspec

from mongospec_core import MongoDocument


class Level(Enum):
    BASIC = "basic"
    GOLD = "gold"


class Address(msgspec.Struct):
    street: str
    city: str
    postcode: str


class Person(MongoDocument):
    """The class whose collection is read."""

    name: str
    email: str
    age: int
    score: float
    active: bool
    level: Level
    address: Address
    tags: list[str]
    created: dt.datetime
    picture: bytes
    nickname: str | None = None
    seen: dt.datetime | None = None


class Newcomer(Person):
    """The same in another collection, which is written and emptied again."""


def person[P: Person](cls: type[P], number: int) -> P:
    """A document like no other, without an id."""
    created = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
    odd = bool(number % 2)
    return cls(
        name=f"Person {number}",
        email=f"person{number}@example.com",
        age=number % 90,
        score=number / 7,
        active=odd,
        level=Level.GOLD if odd else Level.BASIC,
        address=Address(f"{number} High Street", "Springfield", f"{number:05}"),
        tags=["first", "second", f"tag {number}"],
        created=created,
        picture=number.to_bytes(8, "big") * 4,
        nickname=f"nick{number}" if odd else None,
        seen=created if odd else None,
    )


def people[P: Person](cls: type[P], count: int) -> list[P]:
    return [person(cls, number) for number in range(count)]
