"""mongospec as it is here, in code that 0.3.3 understands as well."""

import datetime as dt
from enum import Enum
from typing import Any, ClassVar

import mongojet
import msgspec
from bson import ObjectId

import mongospec
from benchmarks.data import Raw
from mongospec import MongoDocument


class Level(Enum):
    BASE = "base"
    GOLD = "gold"


class Address(msgspec.Struct):
    street: str
    city: str
    postcode: str


class Person(MongoDocument):
    __collection_name__ = "people"
    __preserve_types__: ClassVar[tuple[type, ...]] = (ObjectId, dt.datetime, bytes)  # for 0.3.3

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


class Author(MongoDocument):
    __collection_name__ = "authors"

    name: str
    email: str


class Tag(MongoDocument):
    __collection_name__ = "tags"

    label: str


class Article(MongoDocument):
    title: str
    body: str
    created: dt.datetime
    author: Author
    tags: list[Tag]


class Post(Article):
    __collection_name__ = "posts"


class Album(Article):
    __collection_name__ = "albums"


ARTICLES = {"posts": Post, "albums": Album}


class Contender:
    async def bind(self, db: mongojet.Database) -> None:
        await mongospec.init(db, document_types=[Person, Author, Tag, Post, Album])

    async def open(self, uri: str) -> None:
        client = await mongojet.create_client(uri)
        await self.bind(client["bench"])

    async def close(self) -> None:
        await mongospec.close()

    # -- people

    def make(self, raw: Raw) -> Person:
        address, level = Address(**raw["address"]), Level(raw["level"])
        return Person(**{**raw, "address": address, "level": level})

    def plain(self, document: MongoDocument) -> Raw:
        return document.dump()

    def find_one(self, identity: Any) -> Any:
        return Person.find_one({"_id": identity})

    def insert_one(self, document: Person) -> Any:
        return document.insert()

    def update_one(self, identity: Any, values: Raw) -> Any:
        return Person.update_one({"_id": identity}, {"$set": values})

    def save(self, document: Person, name: str, age: int) -> Any:
        document.name, document.age = name, age
        return document.save()

    def insert_many(self, documents: list[Person]) -> Any:
        return Person.insert_many(documents)

    def insert_many_unchecked(self, documents: list[Person]) -> Any:
        return Person.insert_many(documents, validate_on_write=False)

    def find_all(self) -> Any:
        return Person.find_all()

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in Person.find():  # noqa: B007
            count += 1
        return count, each

    # -- references

    def find_articles(self, collection: str) -> Any:
        return ARTICLES[collection].find_all()

    def plain_article(self, document: Article) -> Raw:
        tags = [each.dump() for each in document.tags]
        return {**document.dump(), "author": document.author.dump(), "tags": tags}

    def save_title(self, document: Album, title: str) -> Any:
        document.title = title
        return document.save()

    def cascade(self, document: Post, title: str) -> Any:
        document.title = document.author.name = title
        for each in document.tags:
            each.label = title
        return document.save()
