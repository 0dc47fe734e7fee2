"""A small application: people with addresses, and what they are told."""

import datetime as dt
from enum import Enum
from typing import ClassVar

import msgspec
from mongojet import IndexModel

from mongospec_core import MongoDocument


class Role(Enum):
    READER = "reader"
    WRITER = "writer"


class Place(msgspec.Struct):
    street: str
    zip: int


class Address(msgspec.Struct):
    city: str
    place: Place | None = None


class Person(MongoDocument):
    """No index, a required field, an optional one, a list, and a Struct inside."""

    __collection_name__ = "people"

    name: str
    age: int = 0
    tags: list[str] = []
    address: Address | None = None


class Account(MongoDocument):
    """A unique index, as most applications have one."""

    __collection_name__ = "accounts"
    __indexes__: ClassVar = [IndexModel("email", unique=True)]

    email: str
    role: Role = Role.READER
    since: dt.datetime | None = None


class Numbered(MongoDocument):
    """An id of its own type."""

    __collection_name__ = "numbered"

    _id: int | None = None
    text: str = ""
