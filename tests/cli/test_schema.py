"""``$jsonSchema`` of a class: the server's validator takes what the class writes, and refuses what it would not read."""

import dataclasses
import datetime as dt
import enum
import re
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import mongojet
import msgspec
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from mongospec import MongoDocument
from mongospec_cli import json_schema, schema
from mongospec_core import DocumentValidationError
from tests.cli.conftest import Run
from tests.conftest import Bind


class State(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclasses.dataclass
class Card:
    name: str
    note: str = ""


class Line(msgspec.Struct):
    text: str
    price: Decimal
    more: "Line | None" = None


class Row(msgspec.Struct, array_like=True):
    name: str
    count: int = 0


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    tricks: list[str]


class Owner(MongoDocument):
    __collection_name__ = "owners"

    name: str = ""


class Everything(MongoDocument):
    __collection_name__ = "everything"

    text: str
    whole: int
    number: float
    truth: bool
    moment: dt.datetime
    day: dt.date
    clock: dt.time
    span: dt.timedelta
    price: Decimal
    key: uuid.UUID
    data: bytes
    state: State
    flags: Flags
    level: Literal["low", 5]
    owner: Owner | None
    other: ObjectId
    binary: Binary
    wide: Int64
    decimal: Decimal128
    pattern: re.Pattern[str]
    stamp: Timestamp
    code: Code
    least: MinKey
    most: MaxKey
    numbers: list[int]
    tags: set[str]
    pair: tuple[int, str]
    many: tuple[int, ...]
    point: Point
    movie: Movie
    card: Card
    line: Line
    row: Row
    closed: Closed
    pet: Cat | Dog
    either: int | str | None
    counts: dict[str, int]
    anything: Any
    short: Annotated[str, Meta(min_length=1, max_length=5)]
    word: Annotated[str, Meta(pattern="^[a-z]*$")]
    positive: Annotated[int, Meta(gt=0, le=100)]
    even: Annotated[int, Meta(multiple_of=2)]
    share: Annotated[float, Meta(ge=0, lt=1)]
    few: Annotated[list[int], Meta(min_length=1, max_length=3)]
    renamed: int = msgspec.field(name="stored")
    optional: int | msgspec.UnsetType = msgspec.UNSET
    default: int = 5


INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
MOMENTS = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))
PRICES = st.decimals(-1000, 1000, places=2)
LINES = st.recursive(
    st.builds(Line, text=TEXT, price=PRICES),
    lambda inner: st.builds(Line, text=TEXT, price=PRICES, more=inner),
    max_leaves=3,
)
VALID = st.builds(
    Everything,
    text=TEXT,
    whole=INT64,
    number=st.floats(allow_nan=False) | st.integers(-5, 5),
    truth=st.booleans(),
    moment=MOMENTS,
    day=st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1)),
    clock=st.times(),
    span=st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    price=PRICES,
    key=st.uuids(),
    data=st.binary(max_size=8),
    state=st.sampled_from(State),
    flags=st.sampled_from([Flags.A, Flags.B, Flags.A | Flags.B]),
    level=st.sampled_from(["low", 5]),
    owner=st.none() | st.builds(Owner, _id=st.builds(ObjectId)),
    other=st.builds(ObjectId),
    binary=st.binary(max_size=8).map(Binary),
    wide=INT64.map(Int64),
    decimal=PRICES.map(Decimal128),
    pattern=st.just(re.compile("^a")),
    stamp=st.builds(Timestamp, st.integers(0, 2**31), st.integers(0, 100)),
    code=st.just(Code("x")),
    least=st.just(MinKey()),
    most=st.just(MaxKey()),
    numbers=st.lists(INT64, max_size=3),
    tags=st.sets(TEXT, max_size=3),
    pair=st.tuples(INT64, TEXT),
    many=st.lists(INT64, max_size=3).map(tuple),
    point=st.builds(Point, INT64, st.floats(allow_nan=False)),
    movie=st.fixed_dictionaries({"title": TEXT}, optional={"year": INT64}),
    card=st.builds(Card, TEXT),
    line=LINES,
    row=st.builds(Row, TEXT, INT64),
    closed=st.builds(Closed, TEXT),
    pet=st.builds(Cat, INT64) | st.builds(Dog, st.lists(TEXT, max_size=2)),
    either=INT64 | TEXT | st.none(),
    counts=st.dictionaries(st.text("abc", min_size=1, max_size=3), INT64, max_size=3),
    anything=st.none() | INT64 | TEXT | st.lists(INT64, max_size=2),
    short=st.text("aäb", min_size=1, max_size=5),
    word=st.text("abc", max_size=5),
    positive=st.integers(1, 100),
    even=st.integers(-50, 50).map(lambda each: each * 2),
    share=st.floats(0, 1, exclude_max=True),
    few=st.lists(INT64, min_size=1, max_size=3),
    renamed=INT64,
    optional=INT64 | st.just(msgspec.UNSET),
)

FAULTS: list[tuple[str, Any]] = [
    ("text", 5),
    ("whole", "5"),
    ("whole", 5.5),
    ("number", "5"),
    ("truth", 1),
    ("moment", "2026-01-01"),
    ("day", 5),
    ("clock", 5),
    ("span", "5"),
    ("price", "5"),
    ("key", "5"),
    ("data", "5"),
    ("state", "lost"),
    ("flags", "A"),
    ("level", 6),
    ("owner", "alice"),
    ("other", "65f0c0ffee65f0c0ffee0001"),
    ("binary", "5"),
    ("wide", "5"),
    ("decimal", 5.5),
    ("pattern", "^a"),
    ("stamp", 5),
    ("code", "x"),
    ("least", 5),
    ("most", 5),
    ("numbers", [1, "2"]),
    ("numbers", {"0": 1}),
    ("tags", [5]),
    ("pair", [1]),
    ("pair", [1, "a", 2]),
    ("pair", ["a", 1]),
    ("many", ["a"]),
    ("point", []),
    ("point", ["a"]),
    ("movie", {"year": 5}),
    ("movie", {"title": "a", "year": "b"}),
    ("card", {"note": "a"}),
    ("card", {"name": 5}),
    ("line", {"text": "a"}),
    ("line", {"text": "a", "price": Decimal128("1"), "more": 5}),
    ("row", []),
    ("row", ["a", "b"]),
    ("closed", {"name": "a", "other": 5}),
    ("pet", {"lives": 9}),
    ("pet", {"type": "cow", "lives": 9}),
    ("pet", {"type": "dog", "tricks": [5]}),
    ("either", 5.5),
    ("counts", {"a": "b"}),
    ("short", ""),
    ("short", "abcdef"),
    ("word", "A"),
    ("positive", 0),
    ("positive", 101),
    ("even", 3),
    ("share", 1.0),
    ("share", -0.5),
    ("few", []),
    ("few", [1, 2, 3, 4]),
    ("stored", "5"),
    ("optional", None),
    ("default", "5"),
    *[(name, ...) for name in ("text", "pet", "either", "stored")],
]
"""Fields of a stored document, and values that a read refuses there; ``...``: none at all."""


async def guarded(bind: Bind) -> mongojet.Database:
    db = await bind(Owner, Everything, indexes="skip")
    wanted = {"$jsonSchema": schema([Everything])["everything"]}
    await db.run_command({"create": "everything", "validator": wanted})
    return db


def drawn(number: int) -> list[Everything]:
    """Random documents, within one event loop."""
    found: list[Everything] = []

    @given(VALID)
    @settings(
        max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def draw(document: Everything) -> None:
        found.append(document)

    draw()
    return found


async def test_the_server_takes_random_documents_of_a_class_of_everything(bind: Bind) -> None:
    await guarded(bind)
    for document in drawn(100):
        await document.insert()
    assert await Everything.count_documents({}) > 50


async def test_the_server_and_a_read_refuse_each_planted_fault(bind: Bind) -> None:
    db = await guarded(bind)
    document = drawn(3)[-1]
    await document.insert()
    raw = await db["everything"].find_one({"_id": document._id})
    assert raw is not None
    assert Everything.load(raw) == document
    await db["everything"].delete_many({})
    passed: list[Any] = []
    read: list[Any] = []
    for field, value in FAULTS:
        wrong = {name: each for name, each in raw.items() if name != field} | (
            {} if value is ... else {field: value}
        )
        reply = await db.run_command({"insert": "everything", "documents": [wrong]})
        if reply["n"]:
            passed.append((field, value))
        try:
            Everything.load(wrong)
        except DocumentValidationError:
            continue
        read.append((field, value))
    assert passed == []
    assert read == []


def test_the_fields_of_all_faults_are_those_of_the_class() -> None:
    """Nothing is left untested: each field but those that take anything has a fault."""
    stored = set(Everything.__struct_encode_fields__)
    assert stored - {field for field, _ in FAULTS} == {"_id", "anything"}


def test_classes_of_one_collection_are_told_apart() -> None:
    class One(MongoDocument):
        __collection_name__ = "both"
        a: int

    class Two(MongoDocument):
        __collection_name__ = "both"
        b: int

    found = schema([One, Two])["both"]
    assert [each["title"] for each in found["anyOf"]] == ["One", "Two"]


def test_a_class_of_a_family_needs_its_tag() -> None:
    class Animal(MongoDocument, tag_field="kind", tag="animal"):
        name: str = ""

    found = schema([Animal])["Animal"]
    assert found["required"] == ["kind"]
    assert found["properties"]["kind"] == {"enum": ["animal"]}


def test_json_schema_describes_the_json_of_documents() -> None:
    found = json_schema([Owner])
    assert found["anyOf"] == [{"$ref": "#/$defs/Owner"}]
    assert found["$defs"]["Owner"]["properties"]["name"]["type"] == "string"


def test_the_command_prints_both_without_a_server(run: Run) -> None:
    done = run("schema", "models", MONGODB_URI=None)
    assert (done.code, done.err) == (0, "")
    assert done.json["users"]["required"] == ["name"]
    other = run("schema", "models", "--json-schema", MONGODB_URI=None)
    assert "User" in other.json["$defs"]


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        (list, {"bsonType": "array"}),
        (dict, {"bsonType": "object"}),
        (int | float | None, {"bsonType": ["int", "long", "double", "null"]}),
        (int | Any, {}),
        (Regex, {"bsonType": "regex"}),
        (list[Any], {"bsonType": "array"}),
        (dict[str, Any], {"bsonType": "object"}),
    ],
)
def test_annotations_become_the_shortest_schema(annotation: Any, wanted: dict[str, Any]) -> None:
    class Made(MongoDocument):
        field: annotation

    assert schema([Made])["Made"]["properties"]["field"] == wanted
