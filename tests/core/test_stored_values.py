"""Values that are not exactly what their field says, and what becomes of them."""

import copy
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from bson import ObjectId
from pymongo import InsertOne, ReplaceOne, UpdateOne

from mongospec_core import DocumentValidationError, EncodingError, MongoDocument, changes
from tests.conftest import Bind
from tests.core.raw import alike


class FrozenDatetime(datetime):
    """What a library that freezes the clock returns."""


class Loss(float):
    """Like numpy.float64."""


class Money(Decimal):
    """An amount."""


class Text(str):  # noqa: SLOT000
    """A text that shows itself otherwise."""

    def __str__(self) -> str:
        return "something else"


class Run(MongoDocument):
    at: datetime
    loss: float = 0.0
    cost: Decimal = Decimal(0)
    name: str = ""
    losses: list[float] = []


type Local = Annotated[datetime, msgspec.Meta(tz=False)]


class Shift(msgspec.Struct):
    at: Local


class Slot(msgspec.Struct, frozen=True):
    at: Local


class Break(TypedDict):
    at: Local
    took: timedelta


class Hours(NamedTuple):
    opens: Local
    zoned: datetime


@dataclass
class Closed:
    at: Local
    seen: datetime | None = None


@dataclass
class Every[T]:
    at: T


class Shop(MongoDocument):
    opens: Local | None = None
    closes: list[Local] = []
    pair: tuple[Local, ...] = ()
    fixed: tuple[int, Local] | None = None
    named: dict[str, Local] = {}
    kinds: set[Local] = set()
    frozen: frozenset[Local] = frozenset()
    deep: dict[str, list[Local | None]] = {}
    shift: Shift | None = None
    shifts: list[Shift] = []
    slots: set[Slot] = set()
    pause: Break | None = None
    hours: Hours | None = None
    closed: list[Closed] = []
    every: Every[Local] | None = None
    either: int | Local | list[Local] | None = None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("fold", [0, 1])
async def test_a_datetime_around_a_clock_change_equals_what_is_read(
    bind: Bind, zone: str, fold: int
) -> None:
    await bind(Run)
    for month in range(1, 13):
        for day in range(1, 29, 9):
            for hour in (1, 2):
                local = datetime(2026, month, day, hour, 30, fold=fold, tzinfo=ZoneInfo(zone))
                assert Run(at=local).dump()["at"] == local.astimezone(UTC)
    for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1)):
        for hour in (1, 2):
            local = datetime(2026, month, day, hour, 30, fold=fold, tzinfo=ZoneInfo(zone))
            run = await Run(at=local).insert()
            assert await Run.find_by_id(run.id) == run
            assert run.at == local.astimezone(UTC)
            assert changes(run) == {}


class Count(int):
    """Like http.HTTPStatus, or an id of a library's own."""


class Tally(MongoDocument):
    total: int = 0
    counts: list[int] = []
    by_count: dict[int, int] = {}
    pair: tuple[int, int] | None = None
    either: int | str | None = None
    anything: Any = None


async def test_a_subclass_of_int_is_stored_as_the_int_that_it_is(bind: Bind) -> None:
    await bind(Tally)
    tally = Tally(
        total=Count(3),
        counts=[Count(4)],
        by_count={Count(5): Count(6)},
        pair=(Count(7), Count(8)),
        either=Count(9),
        anything={"a": [Count(2**40)]},
    )
    await tally.insert()
    assert changes(tally) == {}
    found = await Tally.find_one({"total": Count(3), "counts": Count(4)})
    assert found == tally
    assert type(found.total) is type(found.counts[0]) is type(found.anything["a"][0]) is int
    await Tally.update_one({}, {"$set": {"total": Count(10)}, "$inc": {"pair.0": Count(1)}})
    assert await Tally.count({"total": 10, "pair": 8}) == 1
    with pytest.raises(EncodingError, match=r"Tally\.total.*64 bits"):
        await Tally(total=Count(2**63)).insert()


async def test_copies_and_pickles_of_such_values_show_no_change(bind: Bind) -> None:
    await bind(Run)
    run = Run(
        at=FrozenDatetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
        loss=Loss(0.5),
        name=Text("a"),
        losses=[Loss(1)],
    )
    await run.insert()
    for twin in (
        copy.copy(run),
        copy.deepcopy(run),
        copy.replace(run),
        pickle.loads(pickle.dumps(run)),
    ):
        assert changes(twin) == {}
        await Run.update_one({"_id": run.id}, {"$set": {"name": "another writer's"}})
        twin.cost = Money(7)
        assert changes(twin) == {"cost": Decimal(7)}
        await twin.save()
        found = await Run.find_by_id(run.id)
        assert found is not None
        assert (found.name, found.cost) == ("another writer's", Decimal(7))


async def test_subclasses_of_what_bson_has_are_stored_as_what_they_are(bind: Bind) -> None:
    await bind(Run)
    at = FrozenDatetime(2026, 3, 1, 12, tzinfo=UTC)
    run = Run(at=at, loss=Loss(0.5), cost=Money("1.5"), name=Text("a"), losses=[Loss(2.0)])
    await run.insert()
    read = await Run.find_by_id(run.id)
    assert read is not None
    assert (read.at, read.loss, read.cost, read.losses) == (at, 0.5, Decimal("1.5"), [2.0])
    assert read.name == "a"
    assert type(read.at) is datetime


class Blob(bytes):
    __slots__ = ()


class Day(date):
    pass


class Span(timedelta):
    pass


class Clock(time):
    pass


class Uid(UUID):
    pass


class Oid(ObjectId):
    pass


class Names(list[str]):
    pass


class Counts(dict[str, int]):
    pass


class Bases(MongoDocument):
    text: str = ""
    number: int = 0
    loss: float = 0.0
    blob: bytes = b""
    cost: Decimal = Decimal(0)
    at: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    clock: time | None = None
    uid: UUID | None = None
    oid: ObjectId | None = None
    names: list[str] = []
    counts: dict[str, int] = {}
    anything: Any = None
    other: str = ""


OF_BASES: dict[str, Any] = {
    "text": Text("a"),
    "number": Count(3),
    "loss": Loss(1.5),
    "blob": Blob(b"q"),
    "cost": Money("1.50"),
    "at": FrozenDatetime(2026, 3, 1, 12, tzinfo=UTC),
    "day": Day(2026, 3, 1),
    "span": Span(seconds=3),
    "clock": Clock(3, 4),
    "uid": Uid(int=4),
    "oid": Oid(),
    "names": Names([Text("a")]),
    "counts": Counts({Text("k"): Count(1)}),
}


async def saved(document: Bases) -> None:
    await document.insert()
    document.other = "b"
    await Bases.save_many([document])


async def replaced(document: Bases) -> None:
    old = await Bases().insert()
    await Bases.find_one_and_replace({"_id": old.id}, document)


WRITES: dict[str, Callable[[Bases], Awaitable[Any]]] = {
    "insert": lambda each: each.insert(),
    "insert_many": lambda each: Bases.insert_many([each]),
    "insert_if_not_exists": lambda each: Bases.insert_if_not_exists(each, {"other": "a"}),
    "save": lambda each: copy.replace(each, _id=ObjectId()).save(upsert=True),
    "save_many": saved,
    "bulk_write, insert": lambda each: Bases.bulk_write([InsertOne(each)]),
    "bulk_write, replace": lambda each: Bases.bulk_write([ReplaceOne({}, each, upsert=True)]),
    "find_one_and_replace": replaced,
}


@pytest.mark.parametrize("way", WRITES)
async def test_what_equals_the_stored_value_is_unchanged_after_every_write(
    bind: Bind, way: str
) -> None:
    await bind(Bases)
    for name, value in OF_BASES.items():
        for field in (name, "anything"):
            document = Bases(**{field: value}, other="a")
            await WRITES[way](document)
            (found,) = await Bases.find_all()
            if way != "save":  # that one is of a copy with an _id
                assert changes(document) == {}, field
                assert changes(pickle.loads(pickle.dumps(document))) == {}, field
            assert changes(found) == {}, field
            assert name != field or getattr(found, name) == value
            setattr(found, field, value)
            assert changes(found) == {}, field
            query = {field: value}
            assert await Bases.count(query) == 1
            await Bases.update_many(query, {"$set": query})
            await Bases.bulk_write([UpdateOne(query, {"$set": query})])
            assert await Bases.distinct("_id", query) == [found.id]
            await Bases.delete_many({})


async def test_a_decimal_with_other_digits_is_a_change(bind: Bind) -> None:
    class Priced(MongoDocument):
        price: Decimal

    await bind(Priced)
    one = await Priced(price=Decimal("1.5")).insert()
    one.price = Decimal("1.50")
    assert str(changes(one)["price"]) == "1.50"
    await one.save()
    assert str((await Priced.get_by_id(one.id)).price) == "1.50"


ZONED = datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
FINE = datetime(2026, 7, 1, 9, 0, 0, 123_456)
PLACES: dict[str, Callable[[datetime], Any]] = {
    "opens": lambda at: at,
    "closes": lambda at: [FINE, at],
    "pair": lambda at: (at,),
    "fixed": lambda at: (1, at),
    "named": lambda at: {"a": at},
    "kinds": lambda at: {at},
    "frozen": lambda at: frozenset({at}),
    "deep": lambda at: {"a": [None, at]},
    "shift": Shift,
    "shifts": lambda at: [Shift(at)],
    "slots": lambda at: {Slot(at)},
    "pause": lambda at: {"at": at, "took": timedelta(microseconds=1_500)},
    "hours": lambda at: Hours(at, ZONED),
    "closed": lambda at: [Closed(at, ZONED)],
    "every": Every[Local],
    "either": lambda at: [at],
}
each_place = pytest.mark.parametrize("name", PLACES)


@each_place
async def test_an_aware_datetime_is_refused_where_the_field_has_no_zone(
    bind: Bind, name: str
) -> None:
    await bind(Shop)
    words = rf"Shop\.{name}.* a datetime with a time zone"
    with pytest.raises(DocumentValidationError, match=words):
        await Shop(**{name: PLACES[name](ZONED)}).insert()
    assert await Shop.count() == 0
    with pytest.raises(DocumentValidationError, match=words):
        await Shop.insert_many([Shop(), Shop(**{name: PLACES[name](ZONED)})])
    assert await Shop.count() == 0


@each_place
async def test_a_wall_clock_time_stays_naive_wherever_it_stands(bind: Bind, name: str) -> None:
    await bind(Shop)
    shop = await Shop(**{name: PLACES[name](FINE)}).insert()
    found = await Shop.find_by_id(shop.id)
    assert found is not None
    assert alike(found, shop)
    assert changes(found) == {} == changes(shop)
    cut = FINE.replace(microsecond=123_000)
    assert repr(cut) in repr(getattr(shop, name))
    assert repr(FINE) not in repr(getattr(shop, name))


class Laps(MongoDocument):
    counts: dict[timedelta, int] = {}


async def test_timedelta_keys_come_back_as_they_were(bind: Bind) -> None:
    await bind(Laps)
    laps = await Laps(counts={timedelta(seconds=90): 1, timedelta(milliseconds=-5): 2}).insert()
    assert await Laps.find_by_id(laps.id) == laps
