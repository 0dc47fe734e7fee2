"""MongoEngine: synchronous, over PyMongo; so there is nothing at once in it. A cascade knows no lists."""

from enum import Enum
from typing import Any

import mongoengine as me

from benchmarks.contenders.plain import plain_article, plain_person
from benchmarks.data import Raw


class Level(Enum):
    BASE = "base"
    GOLD = "gold"


class Address(me.EmbeddedDocument):
    street = me.StringField(required=True)
    city = me.StringField(required=True)
    postcode = me.StringField(required=True)


class Person(me.Document):
    meta = {"collection": "people", "auto_create_index": False}

    name = me.StringField(required=True)
    email = me.StringField(required=True)
    age = me.IntField(required=True)
    score = me.FloatField(required=True)
    active = me.BooleanField(required=True)
    level = me.EnumField(Level, required=True)
    address = me.EmbeddedDocumentField(Address, required=True)
    tags = me.ListField(me.StringField())
    visits = me.MapField(me.IntField())
    created = me.DateTimeField(required=True)
    picture = me.BinaryField(required=True)
    nickname = me.StringField()


class Author(me.Document):
    meta = {"collection": "authors", "auto_create_index": False}

    name = me.StringField(required=True)
    email = me.StringField(required=True)


class Tag(me.Document):
    meta = {"collection": "tags", "auto_create_index": False}

    label = me.StringField(required=True)


class Article(me.Document):
    meta = {"abstract": True}

    title = me.StringField(required=True)
    body = me.StringField(required=True)
    created = me.DateTimeField(required=True)
    author = me.ReferenceField(Author, required=True)
    tags = me.ListField(me.ReferenceField(Tag))


class Post(Article):
    meta = {"collection": "posts", "auto_create_index": False}


class Album(Article):
    meta = {"collection": "albums", "auto_create_index": False}


ARTICLES = {"posts": Post, "albums": Album}


class Contender:
    async def open(self, uri: str) -> None:
        me.connect("bench", host=uri, tz_aware=True)

    async def close(self) -> None:
        me.disconnect()

    # -- people

    def make(self, raw: Raw) -> Person:
        return Person(**{**raw, "address": Address(**raw["address"])})

    plain = staticmethod(plain_person)

    async def find_one(self, identity: Any) -> Any:
        return Person.objects(id=identity).first()

    async def insert_one(self, document: Person) -> None:
        document.save(force_insert=True)

    async def update_one(self, identity: Any, values: Raw) -> None:
        Person.objects(id=identity).update_one(**values)

    async def save(self, document: Person, name: str, age: int) -> None:
        document.name, document.age = name, age
        document.save()

    async def insert_many(self, documents: list[Person]) -> None:
        Person.objects.insert(documents, load_bulk=False)

    async def find_all(self) -> Any:
        return list(Person.objects)

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        for each in Person.objects.no_cache():  # noqa: B007
            count += 1
        return count, each

    # -- references

    async def find_articles(self, collection: str) -> Any:
        return ARTICLES[collection].objects.select_related()

    plain_article = staticmethod(plain_article)

    async def save_title(self, document: Album, title: str) -> None:
        document.title = title
        document.save()
