"""A class with every type that the codec's table names, by itself, in containers and nested."""

import dataclasses
import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple, TypedDict

import msgspec
from bson import ObjectId

from mongospec_core import MongoDocument


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Leaf(msgspec.Struct):
    day: dt.date
    length: dt.timedelta
    price: Decimal | None = None


class Branch(msgspec.Struct):
    leaves: list[Leaf] = []
    by_day: dict[dt.date, Leaf] = {}
    hue: Colour = Colour.RED


@dataclasses.dataclass
class Size:
    width: int
    since: dt.date


class Note(TypedDict):
    text: str
    took: dt.timedelta


class Span(NamedTuple):
    begin: dt.date
    end: dt.date


class Everything(MongoDocument):
    __collection_name__ = "everything"

    text: str = ""
    truth: bool = False
    small: int = 0
    real: float = 0.0
    data: bytes = b""
    moment: dt.datetime | None = None
    day: dt.date | None = None
    length: dt.timedelta | None = None
    clock: dt.time | None = None
    price: Decimal | None = None
    key: uuid.UUID | None = None
    other: ObjectId | None = None
    colour: Colour | None = None
    level: Level | None = None
    mood: Mood | None = None
    names: set[str] = set()
    days: frozenset[dt.date] = frozenset()
    pair: tuple[int, dt.timedelta] | None = None
    row: tuple[Decimal, ...] = ()
    span: Span | None = None
    branch: Branch | None = None
    size: Size | None = None
    note: Note | None = None
    by_number: dict[int, str] = {}
    by_uuid: dict[uuid.UUID, dt.date] = {}
    by_colour: dict[Colour, int] = {}
    moments: list[dt.datetime] = []
    anything: Any = None
