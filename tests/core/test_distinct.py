"""distinct: values as their field reads them."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
from bson import ObjectId

from mongospec_core import MongoDocument
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Hue(Enum):
    RED = "red"
    BLUE = "blue"


class Geo(msgspec.Struct):
    lat: float
    lon: float
    note: str = ""


class Home(msgspec.Struct):
    city: str
    geo: Geo
    past: list[Geo] = []


class Big(MongoDocument, rename={"nick": "n"}):
    """Has everything that a shape may want a part of."""

    name: str
    nick: str = ""
    hue: Hue = Hue.RED
    price: Decimal | None = None
    day: dt.date | None = None
    took: dt.timedelta | None = None
    home: Home | None = None
    homes: list[Home] = []
    grid: list[list[Geo]] = []
    by_name: dict[str, Geo] = {}
    numbers: dict[int, Hue] = {}
    tags: set[str] = set()
    blob: bytes = b""


ROME = Home(city="Rome", geo=Geo(41.9, 12.5, "old"), past=[Geo(1.0, 2.0, "a"), Geo(3.0, 4.0, "b")])


OSLO = Home(city="Oslo", geo=Geo(59.9, 10.7, "new"))


async def big(**fields: Any) -> Big:
    given: dict[str, Any] = {
        "name": "Ann",
        "nick": "An",
        "hue": Hue.BLUE,
        "price": Decimal("1.50"),
        "day": dt.date(2026, 1, 2),
        "took": dt.timedelta(seconds=90),
        "home": ROME,
        "homes": [ROME, OSLO],
        "grid": [[Geo(1.0, 1.0)], [Geo(2.0, 2.0), Geo(3.0, 3.0)]],
        "by_name": {"a": Geo(1.0, 1.0)},
        "numbers": {1: Hue.RED},
        "tags": {"x"},
    }
    return await Big(**(given | fields)).insert()


async def test_distinct_gives_values_as_the_field_reads_them(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Big)
    await big()
    await big(hue=Hue.RED, price=None, day=dt.date(2026, 5, 5))
    with mongo_proxy.recording() as seen:
        assert set(await Big.distinct("hue")) == {Hue.RED, Hue.BLUE}
    assert [each.name for each in seen] == ["distinct"]
    assert set(await Big.distinct("price")) == {Decimal("1.50"), None}
    assert set(await Big.distinct("day")) == {dt.date(2026, 1, 2), dt.date(2026, 5, 5)}
    assert await Big.distinct("took") == [dt.timedelta(seconds=90)]
    assert await Big.distinct("n") == ["An"]
    assert await Big.distinct("tags") == ["x"]
    assert await Big.distinct("home.city", {"hue": Hue.RED}) == ["Rome"]
    assert await Big.distinct("nope", check=False) == []
    (home,) = await Big.distinct("home")
    assert home == ROME
    assert all(isinstance(each, ObjectId) for each in await Big.distinct("_id"))


async def test_distinct_gives_the_elements_of_an_array_as_its_field_reads_them(bind: Bind) -> None:
    class Arrays(MongoDocument):
        hues: list[Hue] = []
        days: set[dt.date] = set()
        spans: tuple[dt.timedelta, ...] = ()
        geos: list[Geo] = []
        maybe: list[Hue | None] = []
        pair: tuple[int, str] | None = None
        anything: list[Any] = []

    day, span = dt.date(2026, 1, 1), dt.timedelta(seconds=1)
    await bind(Arrays)
    await Arrays(
        hues=[Hue.RED, Hue.BLUE],
        days={day},
        spans=(span, span),
        geos=[Geo(1.0, 2.0)],
        maybe=[None, Hue.RED],
        pair=(5, "x"),
        anything=[{"a": 1}, Decimal("1.5")],
    ).insert()
    assert set(await Arrays.distinct("hues")) == {Hue.RED, Hue.BLUE}
    assert await Arrays.distinct("days") == [day]
    assert await Arrays.distinct("spans") == [span]
    assert await Arrays.distinct("geos") == [Geo(1.0, 2.0)]
    assert set(await Arrays.distinct("maybe")) == {None, Hue.RED}
    assert set(await Arrays.distinct("pair")) == {5, "x"}
    anything = await Arrays.distinct("anything")
    assert {"a": 1} in anything
    assert Decimal("1.5") in anything
