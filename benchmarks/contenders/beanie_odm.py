"""Beanie: pydantic models over PyMongo's asynchronous API."""

import datetime as dt
from enum import Enum
from typing import Any

from beanie import Document, Link, WriteRules, init_beanie
from beanie.odm.fields import PydanticObjectId  # noqa: F401 - the import that users have
from pydantic import BaseModel
from pymongo import AsyncMongoClient

from benchmarks.contenders.plain import plain_article, plain_person
from benchmarks.data import Raw


class Level(Enum):
    BASE = "base"
    GOLD = "gold"


class Address(BaseModel):
    street: str
    city: str
    postcode: str


class Person(Document):
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

    class Settings:
        name = "people"


class TrackedPerson(Person):
    """With the setting that save_changes() needs and that costs each read."""

    class Settings:
        name = "people"
        use_state_management = True


class Author(Document):
    name: str
    email: str

    class Settings:
        name = "authors"


class Tag(Document):
    label: str

    class Settings:
        name = "tags"


class Post(Document):
    title: str
    body: str
    created: dt.datetime
    author: Link[Author]
    tags: list[Link[Tag]]

    class Settings:
        name = "posts"


class Album(Document):
    title: str
    body: str
    created: dt.datetime
    author: Link[Author]
    tags: list[Link[Tag]]

    class Settings:
        name = "albums"


ARTICLES = {"posts": Post, "albums": Album}


class Contender:
    async def open(self, uri: str) -> None:
        self.client: AsyncMongoClient[Raw] = AsyncMongoClient(uri, tz_aware=True)
        models = [Person, TrackedPerson, Author, Tag, Post, Album]
        await init_beanie(database=self.client["bench"], document_models=models)

    async def close(self) -> None:
        await self.client.close()

    # -- people

    def make(self, raw: Raw) -> Person:
        return Person.model_validate(raw)

    plain = staticmethod(plain_person)

    def find_one(self, identity: Any) -> Any:
        return Person.get(identity)

    def insert_one(self, document: Person) -> Any:
        return document.insert()

    async def update_one(self, identity: Any, values: Raw) -> None:
        await Person.find_one(Person.id == identity).update({"$set": values})

    def find_tracked(self) -> Any:
        return TrackedPerson.find_all().to_list()

    def save(self, document: TrackedPerson, name: str, age: int) -> Any:
        document.name, document.age = name, age
        return document.save_changes()

    def insert_many(self, documents: list[Person]) -> Any:
        return Person.insert_many(documents)

    def find_all(self) -> Any:
        return Person.find_all().to_list()

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in Person.find_all():  # noqa: B007
            count += 1
        return count, each

    # -- references

    def find_articles(self, collection: str) -> Any:
        return ARTICLES[collection].find_all(fetch_links=True).to_list()

    plain_article = staticmethod(plain_article)

    def save_title(self, document: Album, title: str) -> Any:
        document.title = title
        return document.save()  # no cascade without a link_rule

    def cascade(self, document: Post, title: str) -> Any:
        document.title = document.author.name = title
        for each in document.tags:
            each.label = title
        return document.save(link_rule=WriteRules.WRITE)
