"""What ``audit`` tells of stored values that a read accepts, but that the class would not write."""

import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import mongojet
import msgspec
import pytest
from bson import Binary, Decimal128, Int64

from mongospec import MongoDocument
from mongospec_cli import Audit, audit
from tests.cli.conftest import Run
from tests.conftest import Bind

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"

    @classmethod
    def _missing_(cls, value: object) -> "Colour | None":
        return cls(value.lower()) if isinstance(value, str) and value != value.lower() else None


class Size(msgspec.Struct, frozen=True):
    width: float
    unit: str = "cm"


class Row(msgspec.Struct, array_like=True):
    width: float
    height: float = 0.0


class Friend(MongoDocument):
    _id: int | None = None


class Thing(MongoDocument):
    _id: Any = None
    ratio: float = 0.0
    ratios: list[float] = []
    kinds: set[float] = set()
    sizes: set[Size] = set()
    size: Size | None = None
    by_name: dict[str, Size] = {}
    by_key: dict[uuid.UUID, float] = {}
    row: Row | None = None
    pair: tuple[float, str] | None = None
    price: Decimal = Decimal(0)
    data: bytes = b""
    text: str = ""
    colour: Colour = Colour.RED
    at: dt.time | None = None
    seen: dt.datetime | None = None
    day: dt.date | None = None
    key: uuid.UUID | None = None
    anything: Any = None
    friend: Friend | None = None
    tags: list[str] | None = None

    def __post_init__(self) -> None:
        if self.tags is None:
            self.tags = []


async def found_in(bind: Bind, *documents: dict[str, Any]) -> Audit:
    db = await bind(Thing, Friend)
    await db["Friend"].insert_one({"_id": 1})
    await db["Thing"].insert_many([{"_id": n, **each} for n, each in enumerate(documents)])
    return await audit([Thing])


def told(found: Audit) -> dict[str, tuple[str, str]]:
    return {each.path: (each.stored, each.written) for each in found.lax}


KEY = "c0ffee00-0000-4000-8000-000000000001"
DOUBLE = ("int", "double")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"ratio": 1}, {"ratio": DOUBLE}),
        ({"ratio": Int64(1)}, {"ratio": ("long", "double")}),
        ({"ratio": Decimal128("1.5")}, {"ratio": ("decimal", "double")}),
        ({"ratios": [1, 1.0, 2]}, {"ratios[]": DOUBLE}),
        ({"kinds": [3, 2.5]}, {"kinds[]": DOUBLE}),
        ({"kinds": [2.5, 2.5]}, {"kinds": ("array", "a shorter array")}),
        ({"sizes": [{"width": 2, "unit": "m"}, {"width": 1.0}]}, {"sizes[].width": DOUBLE}),
        ({"size": {"width": 2}}, {"size.width": DOUBLE}),
        ({"by_name": {"x": {"width": 2}}}, {"by_name.{}.width": DOUBLE}),
        ({"by_key": {KEY.upper(): 1.0}}, {"by_key.{}": ("key", "another key")}),
        ({"by_key": {KEY: 1}}, {"by_key.{}": DOUBLE}),
        ({"row": [1]}, {"row[]": DOUBLE}),
        ({"pair": [1, "x"]}, {"pair[]": DOUBLE}),
        ({"data": Binary(b"x", 128)}, {"data": ("binData of subtype 128", "binData of subtype 0")}),
        ({"colour": "BLUE"}, {"colour": ("string", "another string")}),
        ({"at": "03:04:05.000000"}, {"at": ("string", "another string")}),
        ({"tags": None}, {"tags": ("null", "array")}),
    ],
)
async def test_what_the_class_would_not_write_is_told_by_its_path(
    bind: Bind, stored: dict[str, Any], expected: dict[str, tuple[str, str]]
) -> None:
    found = await found_in(bind, stored)
    assert found.fits
    assert (told(found), found.undeclared) == (expected, [])


@pytest.mark.parametrize(
    "stored",
    [
        {"kinds": [3.5, 2.5]},
        {"sizes": [{"width": 2.0, "unit": "m"}, {"width": 1.0}]},
        {"size": {"unit": "m", "width": 2.0}, "ratio": 1.0},
        {"row": [1.0]},
        {"ratio": float("nan"), "ratios": [float("nan"), 1.0]},
        {
            "price": Decimal128("1.50"),
            "seen": NOW,
            "day": dt.datetime(2026, 1, 2),
            "key": Binary.from_uuid(uuid.UUID(KEY)),
        },
        {"anything": [Binary(b"x", 128), {"b": Int64(1), "a": 1, "c": Decimal128("1.0")}]},
        {"colour": "blue", "at": "03:04:05", "friend": 1},
    ],
)
async def test_what_the_class_would_write_is_not_told(bind: Bind, stored: dict[str, Any]) -> None:
    found = await found_in(bind, stored)
    assert found.fits
    assert told(found) == {}
    [document] = await Thing.find().to_list()
    await document.save()
    assert told(await audit([Thing])) == {}


@pytest.mark.parametrize(
    "stored",
    [
        {"seen": "2026-01-02T03:04:05Z"},
        {"day": dt.datetime(2026, 1, 2, 3)},
        {"price": "1.5"},
        {"price": 1.5},
        {"key": KEY},
        {"key": Binary(uuid.UUID(KEY).bytes, 3)},
        {"text": None},
        {"colour": 0},
    ],
)
async def test_what_a_read_refuses_is_unreadable_and_not_lax(
    bind: Bind, stored: dict[str, Any]
) -> None:
    found = await found_in(bind, stored)
    assert [each.path for each in found.unreadable] == list(stored)
    assert found.lax == []


async def test_values_are_counted_with_the_ids_of_a_few_documents(bind: Bind) -> None:
    found = await found_in(bind, *({"ratios": [1, 2.0, 3]} for _ in range(7)))
    [lax] = found.lax
    assert (lax.owner, lax.path, lax.count) == ("Thing", "ratios[]", 14)
    assert lax.examples == [0, 1, 2, 3, 4]


async def test_an_undeclared_field_is_told_as_that_only(bind: Bind) -> None:
    found = await found_in(bind, {"size": {"width": 2, "colour": 1}, "weight": 1})
    assert told(found) == {"size.width": DOUBLE}
    assert {each.path for each in found.undeclared} == {"weight", "size.colour"}


async def test_what_the_upgrade_changes_is_told_as_that_only(bind: Bind) -> None:
    class Product(MongoDocument):
        _id: int | None = None
        price: float
        weight: float = 0.0

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            if "cents" in raw:
                raw["price"] = raw.pop("cents") // 100
            return raw

    db = await bind(Product)
    await db["Product"].insert_many(
        [{"_id": 1, "cents": 500, "weight": 1}, {"_id": 2, "price": 5, "weight": 1.0}]
    )
    found = await audit([Product])
    assert [(each.fields, each.examples) for each in found.old] == [(["cents", "price"], [1])]
    assert [(each.path, each.examples) for each in found.lax] == [("weight", [1]), ("price", [2])]


async def test_an_omitted_default_and_a_value_that_cannot_be_written_are_not_told(
    bind: Bind,
) -> None:
    class Sparse(MongoDocument, omit_defaults=True):
        nick: str | None = None
        number: int = 0

        def __post_init__(self) -> None:
            if self.number == 5:
                self.number = 2**70

    db = await bind(Sparse)
    await db["Sparse"].insert_many([{"nick": None, "number": 0}, {"number": 5, "colour": 1}])
    found = await audit([Sparse])
    assert (found.fits, found.lax) == (True, [])
    assert [each.path for each in found.undeclared] == ["colour"]


async def test_lax_values_are_found_in_families_and_without_checked_queries(bind: Bind) -> None:
    class Pet(MongoDocument, tag_field="kind", tag="pet"):
        weight: float

    class Cat(Pet, tag="cat"):
        lives: dict[str, float]

    class Loose(MongoDocument):
        __check_queries__ = False
        sizes: list[Size] = []

    db = await bind(Pet, Cat, Loose)
    await db["Pet"].insert_one({"kind": "cat", "weight": 1.0, "lives": {"x": 1}})
    await db["Loose"].insert_one({"sizes": [{"width": 1.0}, {"width": 1}]})
    found = await audit([Pet, Loose])
    assert told(found) == {"lives.{}": DOUBLE, "sizes[].width": DOUBLE}


# -- by the command

MODELS = """
from mongospec import MongoDocument


class Product(MongoDocument):
    __collection_name__ = "products"

    price: float
"""


async def test_the_command_tells_lax_values_and_exits_with_1_if_strict(
    run: Run, folder: Path, mongo_db: mongojet.Database
) -> None:
    (folder / "models.py").write_text(MODELS)
    await mongo_db["products"].insert_many([{"price": n} for n in range(3)])
    done = run("audit", "models")
    assert (done.code, done.err) == (0, "")
    assert (
        "  ~ lax price: stored as int, the class writes double  3 values  (ObjectId('" in done.out
    )
    assert done.out.endswith(f"{mongo_db.name}: 3 documents read, 3 lax values\n")
    done = run("audit", "models", "--strict", "--json")
    assert done.code == 1
    assert [(each["path"], each["stored"], each["written"]) for each in done.json["lax"]] == [
        ("price", "int", "double")
    ]
