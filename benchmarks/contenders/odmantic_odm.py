"""ODMantic: pydantic models over Motor. Saves are upserts; lists of references do not exist."""

import datetime as dt
from enum import StrEnum
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from odmantic import AIOEngine, EmbeddedModel, Model

from benchmarks.contenders.plain import plain_person
from benchmarks.data import Raw


class Level(StrEnum):
    BASE = "base"
    GOLD = "gold"


class Address(EmbeddedModel):
    street: str
    city: str
    postcode: str


class Person(Model):
    name: str
    email: str
    age: int
    score: float
    active: bool
    level: Level
    address: Address
    tags: list[str]
    visits: dict[str, int]
    created: dt.datetime
    picture: bytes
    nickname: str | None = None

    model_config = {"collection": "people"}


class Contender:
    async def open(self, uri: str) -> None:
        self.client: Any = AsyncIOMotorClient(uri)
        self.engine = AIOEngine(client=self.client, database="bench")

    async def close(self) -> None:
        self.client.close()

    def make(self, raw: Raw) -> Person:
        return Person(**{**raw, "created": raw["created"].replace(tzinfo=None)})

    plain = staticmethod(plain_person)

    def find_one(self, identity: Any) -> Any:
        return self.engine.find_one(Person, Person.id == identity)

    def insert_one(self, document: Person) -> Any:
        return self.engine.save(document)

    def save(self, document: Person, name: str, age: int) -> Any:
        document.name, document.age = name, age
        return self.engine.save(document)

    def insert_many(self, documents: list[Person]) -> Any:
        return self.engine.save_all(documents)

    async def find_all(self) -> list[Person]:
        return await self.engine.find(Person)

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in self.engine.find(Person):  # noqa: B007
            count += 1
        return count, each
