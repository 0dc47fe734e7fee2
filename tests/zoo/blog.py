"""Documents that refer to each other."""

from typing import Any, ClassVar

import msgspec

from mongospec_refs import MongoDocument


class Company(MongoDocument):
    name: str
    owner: "User | None" = None


class User(MongoDocument):
    __collection_name__ = "users"

    name: str
    age: int = 0
    employer: Company | None = None


class Tag(MongoDocument):
    __collection_name__ = "tags"

    label: str


class Post(MongoDocument):
    __collection_name__ = "posts"

    title: str
    author: User
    reviewer: User | None = None
    tags: list[Tag] = []


class Person(MongoDocument):
    """Refers to its own kind."""

    name: str
    friend: "Person | None" = None
    others: list["Person"] = []


class Badge(MongoDocument, frozen=True):
    """May stand in a set."""

    name: str


class Seen(MongoDocument):
    """Notes which hooks ran."""

    calls: ClassVar[list[str]] = []
    label: str
    next: "Seen | None" = None

    def __pre_save__(self) -> None:
        type(self).calls.append(self.label)


class Owned(MongoDocument):
    """Another document class that can be found only within its scope."""

    tenant: str
    name: str = ""

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"tenant": "mine"}]}


class Byline(msgspec.Struct):
    """What stands in a document, and holds a reference."""

    author: User
    role: str = "author"


BLOG = (Company, User, Tag, Post)
