"""aggregate: plain dicts, Structs and documents out of a pipeline."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest

from mongospec_core import DocumentValidationError, MongoDocument, NotBoundError, OptionError
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Numbered


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


async def test_aggregate_gives_plain_dicts_by_the_codec(bind: Bind) -> None:
    await bind(Big)
    await big()
    (found,) = await Big.aggregate(
        [
            {"$match": {"hue": Hue.BLUE, "day": dt.date(2026, 1, 2)}},
            {"$project": {"price": 1, "took": 1}},
        ]
    ).to_list()
    assert found["price"] == Decimal("1.50")
    assert (found["took"], type(found["took"])) == (90_000, int)


async def test_aggregate_reads_into_structs_of_the_codecs_types(bind: Bind) -> None:
    class Total(msgspec.Struct, rename={"hue": "_id"}):
        hue: Hue
        price: Decimal
        took: dt.timedelta
        days: set[dt.date]

    await bind(Big)
    await big()
    await big(price=Decimal("2.25"), day=dt.date(2026, 5, 5))
    stages = [
        {
            "$group": {
                "_id": "$hue",
                "price": {"$sum": "$price"},
                "took": {"$sum": "$took"},
                "days": {"$addToSet": "$day"},
            }
        }
    ]
    assert await Big.aggregate(stages, into=Total).to_list() == [
        Total(
            Hue.BLUE,
            Decimal("3.75"),
            dt.timedelta(seconds=180),
            {dt.date(2026, 1, 2), dt.date(2026, 5, 5)},
        )
    ]


async def test_aggregate_into_a_struct_that_does_not_fit_names_it(bind: Bind) -> None:
    class Wrong(msgspec.Struct):
        name: int

    await bind(Big)
    one = await big()
    with pytest.raises(DocumentValidationError, match=r"Wrong\.name") as caught:
        await Big.aggregate([{"$match": {}}], into=Wrong).to_list()
    assert caught.value.id == one.id


async def test_aggregate_into_the_class_gives_documents_that_can_be_saved(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Big)
    await big()
    await big(name="Bob")
    (found,) = await Big.aggregate(
        [{"$match": {"name": "Bob"}}, {"$project": {"name": 1, "home": 1}}], into=Big
    ).to_list()
    found.name = "Rob"
    with mongo_proxy.recording() as seen:
        await found.save()
    # what the pipeline left out is not written with its default
    assert [each["u"] for each in seen[0].body["updates"]] == [{"$set": {"name": "Rob"}}]


async def test_aggregate_takes_documents_and_sends_no_command_before_it_is_read(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Big)
    one = await big()
    with mongo_proxy.recording() as seen:
        cursor = Big.aggregate([{"$match": {"_id": one}}])
        assert seen == []
        assert len(await cursor.to_list()) == 1
    assert [each.name for each in seen] == ["aggregate"]
    assert seen[0].body["pipeline"] == [{"$match": {"_id": one.id}}]


async def test_an_aggregate_of_an_unbound_class_names_it() -> None:
    with pytest.raises(NotBoundError, match="Numbered"):
        Numbered.aggregate([])


class Cat(msgspec.Struct, tag="cat"):
    lives: int = 9
    seen: dt.timedelta | None = None


class Bird(msgspec.Struct, tag="bird"):
    price: Decimal
    nested: list[Geo] = []


class Animal(MongoDocument):
    type: str
    lives: int = 9
    seen: dt.timedelta | None = None
    price: Decimal | None = None


type Pet = Cat | Bird


async def test_results_may_be_of_a_union_of_structs_that_a_tag_tells_apart(bind: Bind) -> None:
    await bind(Animal)
    await Animal(type="cat", seen=dt.timedelta(hours=1)).insert()
    await Animal(type="bird", price=Decimal("1.50")).insert()
    expected = [Cat(seen=dt.timedelta(hours=1)), Bird(price=Decimal("1.50"))]
    assert await Animal.aggregate([], into=Cat | Bird).to_list() == expected
    assert await Animal.aggregate([{"$sort": {"_id": 1}}], into=Pet).to_list() == expected
    bird = {"$match": {"type": "bird"}}
    assert await Animal.aggregate([bird], into=Pet).to_list() == expected[1:]
    await Animal(type="fish").insert()
    with pytest.raises(DocumentValidationError, match=r"type .*'fish' \(a result of the pipeline"):
        await Animal.aggregate([], into=Cat | Bird).to_list()


@pytest.mark.parametrize(
    ("into", "words"),
    [
        (Cat | Geo, "tag"),
        (Geo | Home, "tag"),
        (Cat | None, "use a msgspec.Struct"),
        (Cat | int, "use a msgspec.Struct"),
        (Animal | Cat, "use a msgspec.Struct"),
        (list[Cat], "use a msgspec.Struct"),
        (dict, "use a msgspec.Struct"),
        ("Cat", "use a msgspec.Struct"),
        (Cat(), "use a msgspec.Struct"),
    ],
    ids=str,
)
async def test_what_results_cannot_be_read_as_is_refused(bind: Bind, into: Any, words: str) -> None:
    await bind(Animal)
    with pytest.raises(OptionError, match=rf"Animal\.aggregate: into=.*{words}"):
        Animal.aggregate([], into=into)


async def test_a_result_that_does_not_fit_is_not_called_stored_like_this(bind: Bind) -> None:
    await bind(Animal)
    await Animal(type="cat").insert()
    with pytest.raises(DocumentValidationError, match=r"Geo\.lat .*missing") as caught:
        await Animal.aggregate([], into=Geo).to_list()
    assert "a result of the pipeline; correct its stages, or the fields of Geo" in str(caught.value)
    assert "stored like this" not in str(caught.value)
