"""A user's own types: written as register_encoder says, read by the class's dec_hook."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from types import GeneratorType
from typing import Annotated, Any, NamedTuple, NewType, Self

import msgspec
import pytest
from bson import ObjectId
from pymongo import InsertOne, UpdateOne

from mongospec_core import (
    DefinitionError,
    DocumentValidationError,
    EncodingError,
    InvalidIdError,
    MongoDocument,
    changes,
    register_encoder,
)
from mongospec_core.codec.codec_options import decode, encode
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import alike, stored


class Point:
    """No Struct, no dataclass: nobody but the user knows how to write it."""

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Pin(Point):
    """A subclass is written as its base is."""


class Email(str):
    """A str of one's own."""

    __slots__ = ()


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _decoded(tp: Any, value: Any) -> Any:
    if tp is Point:
        return Point(*value)
    if tp is Money:
        return Money(value["amount"], value["currency"])
    if tp is Email:
        return Email(value)
    raise NotImplementedError(tp)


class Shop(MongoDocument):
    name: str
    at: Point
    also: Point | None = None
    route: list[Point] = []
    by_name: dict[str, Point] = {}
    cash: Money | None = None
    email: Email | None = None
    seen: set[Point] = set()
    anything: Any = None

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return _decoded(tp, value)


class Stop(msgspec.Struct):
    at: Point
    fee: Money | None = None


class Line(MongoDocument):
    stops: list[Stop] = []

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return _decoded(tp, value)


@pytest.fixture(autouse=True)
def encoders(registered_encoders: None) -> None:
    """The users' encoders, for these tests alone."""
    register_encoder(Point, lambda point: [point.x, point.y])
    register_encoder(Money, lambda money: {"amount": money.amount, "currency": money.currency})
    register_encoder(Email, str)


def shop(**fields: Any) -> Shop:
    return Shop(
        **{
            "name": "a",
            "at": Point(1.0, 2.0),
            "route": [Point(0.0, 0.0), Point(1.0, 1.0)],
            "by_name": {"x": Point(5.0, 5.0)},
            "cash": Money(Decimal("1.50"), "EUR"),
            "email": Email("a@b.c"),
            "seen": {Point(9.0, 9.0)},
            "anything": {"p": Point(7.0, 7.0)},
            **fields,
        }
    )


async def test_own_types_are_stored_and_come_back(bind: Bind) -> None:
    await bind(Shop)
    one = await shop().insert()
    assert await stored(Shop) == [
        {
            "_id": one.id,
            "name": "a",
            "at": [1.0, 2.0],
            "also": None,
            "route": [[0.0, 0.0], [1.0, 1.0]],
            "by_name": {"x": [5.0, 5.0]},
            "cash": {"amount": Decimal("1.50"), "currency": "EUR"},
            "email": "a@b.c",
            "seen": [[9.0, 9.0]],
            "anything": {"p": [7.0, 7.0]},
        }
    ]
    (found,) = await Shop.find_all()
    one.anything = {"p": [7.0, 7.0]}  # Any keeps what BSON has
    assert found == one
    assert type(found.at) is Point
    assert type(found.email) is Email
    assert found.cash == Money(Decimal("1.50"), "EUR")


class Third(float):
    """A float of one's own, which a read does not take: the raw data are simplified and read again."""


class Drained(MongoDocument):
    share: float
    items: Any = None


async def test_a_value_that_can_be_encoded_only_once_is_encoded_once(bind: Bind) -> None:
    register_encoder(GeneratorType, list)
    await bind(Drained)
    one = await Drained(share=Third(0.5), items=(each for each in range(3))).insert()
    one.items = (each for each in range(2))
    assert (await stored(Drained))[0]["items"] == [0, 1, 2]
    await one.save()
    assert await stored(Drained) == [{"_id": one._id, "share": 0.5, "items": [0, 1]}]


async def test_own_types_inside_of_nested_structs(bind: Bind) -> None:
    await bind(Line)
    stops = [Stop(Point(1.0, 1.0)), Stop(Point(2.0, 2.0), Money(Decimal(3), "EUR"))]
    await Line(stops=stops).insert()
    (found,) = await Line.find_all()
    assert found.stops == stops


async def test_own_types_in_filters_updates_and_pipelines(bind: Bind) -> None:
    await bind(Shop)
    await Shop.insert_many([shop(), shop(name="b", at=Point(3.0, 4.0))])
    assert await Shop.count({"at": Point(3.0, 4.0)}) == 1
    assert await Shop.count({"at": {"$in": [Point(1.0, 2.0), Point(3.0, 4.0)]}}) == 2
    assert await Shop.count({"$or": [{"email": Email("a@b.c")}]}) == 2
    await Shop.update_one({"at": Point(3.0, 4.0)}, {"$set": {"also": Pin(8.0, 8.0)}})
    await Shop.update_many({}, {"$push": {"route": {"$each": [Point(6.0, 6.0)]}}})
    found = await Shop.find_one({"also": Point(8.0, 8.0)})
    assert found is not None
    assert found.also == Point(8.0, 8.0)
    assert found.route[-1] == Point(6.0, 6.0)
    stages = [{"$match": {"at": Point(1.0, 2.0)}}]
    (again,) = await Shop.aggregate(stages, into=Shop).to_list()
    assert again.at == Point(1.0, 2.0)
    assert set(await Shop.distinct("name", {"at": Point(3.0, 4.0)})) == {"b"}
    new = await Shop.find_one_and_update({"at": Point(1.0, 2.0)}, {"$set": {"at": Point(0.0, 0.0)}})
    assert new is not None
    assert new.at == Point(0.0, 0.0)
    assert await Shop.delete_many({"at": Point(0.0, 0.0)}) == 1


async def test_own_types_in_bulk_writes(bind: Bind) -> None:
    await bind(Shop)
    await Shop.bulk_write(
        [
            InsertOne({"name": "a", "at": [1.0, 2.0]}),
            UpdateOne({"at": Point(1.0, 2.0)}, {"$set": {"also": Point(2.0, 2.0)}}),
        ]
    )
    (found,) = await Shop.find_all()
    assert found.also == Point(2.0, 2.0)


async def test_a_change_of_an_own_type_in_place_is_seen(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Shop)
    await shop().insert()
    (found,) = await Shop.find_all()
    assert changes(found) == {}
    found.at.x = 50.0
    found.route[1].y = 60.0
    assert changes(found) == {"at": [50.0, 2.0], "route": [[0.0, 0.0], [1.0, 60.0]]}
    with mongo_proxy.recording() as seen:
        await found.save()
    assert seen[0].body["updates"][0]["u"] == {"$set": changes_of(50.0, 60.0)}
    assert changes(found) == {}


def changes_of(x: float, y: float) -> dict[str, Any]:
    return {"at": [x, 2.0], "route": [[0.0, 0.0], [1.0, y]]}


async def test_a_stored_value_that_the_dec_hook_refuses_is_named(bind: Bind) -> None:
    await bind(Shop)
    await Shop.get_collection().insert_one({"_id": _ID, "name": "a", "at": [1.0]})
    with pytest.raises(DocumentValidationError, match=r"Shop\.at") as caught:
        await Shop.find_all()
    assert caught.value.id == _ID
    assert await Shop.find_all(on_invalid="skip") == []


_ID = ObjectId()


async def test_a_value_of_another_type_is_refused_before_the_write(bind: Bind) -> None:
    await bind(Shop)
    wrong: Any = object()
    with pytest.raises((DocumentValidationError, EncodingError), match=r"Shop\.(at|also)"):
        await shop(at=wrong).insert()
    assert await Shop.count() == 0


async def test_the_nearest_registered_class_counts(bind: Bind) -> None:
    await bind(Shop)
    register_encoder(Pin, lambda pin: {"pin": [pin.x, pin.y]})
    await shop(anything=[Pin(1.0, 2.0), Point(3.0, 4.0)]).insert()
    assert (await stored(Shop))[0]["anything"] == [{"pin": [1.0, 2.0]}, [3.0, 4.0]]


async def test_an_encoder_may_return_another_own_type(bind: Bind) -> None:
    class Wrapped:
        def __init__(self, point: Point) -> None:
            self.point = point

    register_encoder(Wrapped, lambda wrapped: wrapped.point)
    await bind(Shop)
    await shop(anything=Wrapped(Point(1.0, 2.0))).insert()
    assert (await stored(Shop))[0]["anything"] == [1.0, 2.0]


async def test_an_encoder_registered_after_the_first_write_counts_from_then_on(bind: Bind) -> None:
    class Late:
        pass

    await bind(Shop)
    with pytest.raises(EncodingError, match=r"Shop\.anything.*register_encoder\("):
        await shop(anything=Late()).insert()
    assert await Shop.count() == 0
    register_encoder(Late, lambda _: "late")
    await shop(anything=Late()).insert()
    assert (await stored(Shop))[0]["anything"] == "late"


async def test_own_types_as_ids_and_keys(bind: Bind) -> None:
    class Slug:
        def __init__(self, text: str) -> None:
            self.text = text

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Slug) and self.text == other.text

        def __hash__(self) -> int:
            return hash(self.text)

    class Page(MongoDocument):
        _id: Slug | None = None
        links: dict[str, Slug] = {}

        @classmethod
        def dec_hook(cls, tp: type, value: Any) -> Any:
            return Slug(value)

    register_encoder(Slug, lambda slug: slug.text)
    await bind(Page)
    one = await Page(_id=Slug("home"), links={"next": Slug("about")}).insert()
    assert await stored(Page) == [{"_id": "home", "links": {"next": "about"}}]
    assert await Page.find_by_id(Slug("home")) == one
    assert await Page.find_by_id("home") == one
    one.links["prev"] = Slug("start")
    await one.save()
    assert await Page.find_all() == [one]
    assert await one.delete() == 1


async def test_an_own_subclass_of_a_struct_can_be_written_otherwise(bind: Bind) -> None:
    class Range(msgspec.Struct):
        low: int
        high: int

        @classmethod
        def of(cls, text: str) -> Self:
            low, high = text.split("-")
            return cls(int(low), int(high))

    class Row(MongoDocument):
        span: Any = None

    register_encoder(Range, lambda each: f"{each.low}-{each.high}")
    await bind(Row)
    await Row(span=[Range(1, 2)]).insert()
    assert (await stored(Row))[0]["span"] == ["1-2"]
    assert await Row.count({"span": Range(1, 2)}) == 1


async def test_a_type_that_nobody_can_read_is_told_at_the_latest_when_it_is_read(
    bind: Bind,
) -> None:
    class NoHook(MongoDocument):
        at: Point

    await bind(NoHook)
    await NoHook.get_collection().insert_one({"at": [1.0, 2.0]})
    with pytest.raises((DocumentValidationError, DefinitionError), match="NoHook"):
        await NoHook.find_all()
    assert await NoHook.find_all(on_invalid="skip") == []


async def test_an_id_that_is_refused_is_told_by_the_name_of_its_type(bind: Bind) -> None:
    Sku = NewType("Sku", int)

    class Short(MongoDocument):
        _id: Annotated[str, msgspec.Meta(max_length=3)] | None = None

    class Numbered(MongoDocument):
        _id: Sku | None = None

    class Optional(MongoDocument):
        _id: Annotated[int | None, msgspec.Meta(title="number")] = None

    await bind(Short, Numbered, Optional)
    cases: list[tuple[Any, Any, str]] = [
        (Short, "long", "str"),
        (Numbered, "x", "int"),
        (Optional, "x", "int"),
    ]
    for cls, wrong, name in cases:
        with pytest.raises(InvalidIdError, match=f"{cls.__name__}: .* which is {name}$"):
            await cls.find_by_id(wrong)


class Handle(str):  # noqa: SLOT000
    """Written in small letters."""


class Level(int):
    """Written a hundred higher."""


@pytest.mark.parametrize("beside", [{}, {"counts": {1: 2}}], ids=["alone", "an-int-key-beside"])
def test_an_encoder_holds_for_types_whose_base_bson_knows(beside: dict[str, Any]) -> None:
    register_encoder(Handle, lambda handle: str(handle).lower())
    register_encoder(Level, lambda level: int(level) + 100)
    sent = {"$or": [{"handle": Handle("Ann")}, {"level": {"$in": [Level(1)]}}], **beside}
    read = decode(encode(sent))
    assert read["$or"] == [{"handle": "ann"}, {"level": {"$in": [101]}}]


async def test_an_encoder_of_a_str_holds_in_filters_updates_and_documents(bind: Bind) -> None:
    register_encoder(Handle, lambda handle: str(handle).lower())

    class Member(MongoDocument):
        handle: str

    await bind(Member)
    await Member(handle=Handle("Ann")).insert()
    assert (await stored(Member))[0]["handle"] == "ann"
    assert await Member.count({"handle": Handle("ANN")}) == 1
    await Member.update_many({"handle": Handle("ANN")}, {"$set": {"handle": Handle("BOB")}})
    assert await Member.count({"handle": "bob"}) == 1
    found = await Member.aggregate([{"$match": {"handle": Handle("BOB")}}]).to_list()
    assert len(found) == 1
    await Member.bulk_write([UpdateOne({"handle": Handle("BOB")}, {"$set": {"handle": "c"}})])
    assert await Member.count({"handle": "c"}) == 1


class Mark(msgspec.Struct):
    """Knows itself how its types are read."""

    at: Point
    others: list[Point] = []

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        if tp is Point:
            return Point(value[0], value[1])
        raise NotImplementedError(tp)


@dataclass
class Till:
    cash: Money | None = None

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return Money(value["amount"], value["currency"])


class Map(MongoDocument):
    """Has no hook of its own."""

    marks: list[Mark] = []
    till: Till | None = None


class Kiosk(MongoDocument):
    """Has one that asks for no type."""

    email: Email | None = None
    mark: Mark | None = None
    till: Till | None = None

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return Email(value)


async def test_the_dec_hook_of_a_part_is_asked_about_its_own_types(bind: Bind) -> None:
    await bind(Map, Kiosk)
    mark = Mark(Point(1.0, 2.0), [Point(3.0, 4.0)])
    till = Till(Money(Decimal(3), "EUR"))
    one = await Map(marks=[mark], till=till).insert()
    found = await Map.find_by_id(one.id)
    assert found == one
    assert changes(one) == {}
    kiosk = await Kiosk(email=Email("a@b.c"), mark=mark, till=till).insert()
    assert await Kiosk.find_by_id(kiosk.id) == kiosk
    await Map.get_collection().insert_one({"marks": [{"at": "x"}]})
    with pytest.raises(DocumentValidationError, match=r"Map\.marks\[0\]\.at"):
        await Map.find_all()


async def test_the_dec_hook_of_a_projection_is_asked(bind: Bind) -> None:
    class Spot(msgspec.Struct):
        at: Point

        @classmethod
        def dec_hook(cls, tp: type, value: Any) -> Any:
            return Pin(*value)

    class Tour(msgspec.Struct):
        name: str
        mark: Mark

    await bind(Shop)
    await shop().insert()
    found = await Shop.find_one(projection=Spot)
    assert found is not None
    assert type(found.at) is Pin
    stages = [{"$set": {"mark": {"at": "$at"}}}]
    (tour,) = await Shop.aggregate(stages, into=Tour).to_list()
    assert tour == Tour("a", Mark(Point(1.0, 2.0)))


async def test_a_type_that_no_dec_hook_knows_is_refused_by_name(bind: Bind) -> None:
    class Chart(MongoDocument):
        mark: Mark
        cash: Money

    await bind(Chart)
    await Chart.get_collection().insert_one({"mark": {"at": [1, 2]}, "cash": {"amount": 1}})
    with pytest.raises(
        DocumentValidationError, match=r"Chart\.cash .*dec_hook does not read Money"
    ):
        await Chart.find_all()


async def test_an_encoder_may_return_a_value_of_its_own_class(bind: Bind) -> None:
    register_encoder(Handle, lambda handle: Handle(handle.lower()))
    register_encoder(Level, lambda level: level)
    register_encoder(Point, lambda point: Point(point.x + 1, point.y))

    class Row(MongoDocument):
        handle: str
        level: int
        anything: Any = None

    await bind(Row)
    await Row(handle=Handle("Ann"), level=Level(3)).insert()
    assert await Row.count({"handle": Handle("ANN"), "level": Level(3)}) == 1
    with pytest.raises(EncodingError, match=r"Row\.anything"):
        await Row(handle="b", level=1, anything=Point(1, 2)).insert()


class Ring:
    """Its encoder returns a list with another one in it."""


class Ping:
    """Its encoder returns a Pong."""


class Pong:
    """Its encoder returns a Ping."""


class Same:
    """Its encoder returns another one."""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Ring(), "the encoder of Ring returns holds another Ring"),
        (Ping(), "the encoder of P[io]ng returns holds another P[io]ng"),
        (Same(), "the encoder of Same returned a Same"),
        (Handle("a"), "the encoder of Handle returns holds another Handle"),
    ],
    ids=["list", "each-other", "itself", "str"],
)
async def test_an_encoder_that_never_ends_is_named_and_nothing_is_written(
    bind: Bind, value: Any, words: str
) -> None:
    register_encoder(Ring, lambda _: [Ring()])
    register_encoder(Ping, lambda _: Pong())
    register_encoder(Pong, lambda _: Ping())
    register_encoder(Same, lambda _: Same())
    register_encoder(Handle, lambda handle: {"handle": Handle(handle)})
    await bind(Gig)
    document = Gig(anything=[value])
    with pytest.raises(EncodingError, match=rf"Gig\.anything.*{words}"):
        document.dump()
    query = {"anything": value}
    written: list[Callable[[], Awaitable[Any]]] = [
        document.insert,
        lambda: Gig.insert_many([document]),
        lambda: document.save(upsert=True),
    ]
    sent: list[Callable[[], Awaitable[Any]]] = [
        lambda: Gig.count(query),
        lambda: Gig.update_many({}, {"$set": query}),
        lambda: Gig.insert_if_not_exists(Gig(), query),
        lambda: Gig.bulk_write([UpdateOne({}, {"$set": query}, upsert=True)]),
        lambda: Gig.aggregate([{"$match": query}]).to_list(),
    ]
    for place, calls in ((r"Gig\.anything.*", written), ("Gig.*", sent)):
        for call in calls:
            with pytest.raises(EncodingError, match=place + words):
                await call()
    assert await Gig.count() == 0


class Labelled:
    """Mixed into what BSON knows."""


class Pair(NamedTuple):
    left: int
    right: int


class Tone(str, Enum):  # noqa: UP042 - what people had before StrEnum
    LOUD = "loud"


class Rank(IntEnum):
    FIRST = 1


class Bit(Flag):
    ON = 1


class Span(msgspec.Struct, frozen=True):
    low: int
    high: int


@dataclass(frozen=True)
class Ratio:
    top: int
    bottom: int


class Gig(MongoDocument):
    pair: Pair | None = None
    pairs: list[Pair] = []
    tone: Tone | None = None
    rank: Rank | None = None
    span: Span | None = None
    ratio: Ratio | None = None
    by_name: dict[str, Pair] = {}
    day: date | None = None
    anything: Any = None

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        if tp in (Pair, Span, Ratio):
            return tp(*map(int, value.split(":")))
        if tp in (Tone, Rank):
            return tp[value]  # type: ignore[index]
        if tp is date:
            return date.fromisoformat(value)
        raise NotImplementedError(tp)


def register_known() -> None:
    for tp in (Pair, Span, Ratio):
        register_encoder(tp, lambda each: ":".join(str(part) for part in parts(each)))
    for tp in (Tone, Rank, Bit):
        register_encoder(tp, lambda each: each.name)
    register_encoder(Labelled, lambda each: f"label {each!s}")


def parts(value: Any) -> tuple[int, int]:
    if isinstance(value, Pair):
        return value
    return (value.low, value.high) if isinstance(value, Span) else (value.top, value.bottom)


class Name(Labelled, str):
    __slots__ = ()


KNOWN = [
    (Pair(1, 2), "1:2"),
    (Span(1, 2), "1:2"),
    (Ratio(1, 2), "1:2"),
    (Tone.LOUD, "LOUD"),
    (Rank.FIRST, "FIRST"),
    (Bit.ON, "ON"),
    (Name("a"), "label a"),
]


@pytest.mark.parametrize(("value", "raw"), KNOWN, ids=[type(each).__name__ for each, _ in KNOWN])
async def test_an_encoder_of_a_type_that_others_know_holds_in_every_operation(
    bind: Bind, value: Any, raw: str
) -> None:
    register_known()
    await bind(Gig)
    await Gig(anything=value).insert()
    await Gig.insert_many([Gig(anything={"l": [value]}), Gig(anything={"a": value})])
    assert [each["anything"] for each in await stored(Gig)] == [raw, {"l": [raw]}, {"a": raw}]
    query = {"anything": value}
    assert await Gig.insert_if_not_exists(Gig(anything=value), query) is None
    assert await Gig.count(query) == 1
    assert await Gig.count({"anything.a": value}) == 1
    assert await Gig.distinct("anything", query) == [raw]
    await Gig.update_one(query, {"$set": {"anything": {"b": value}}})
    await Gig.bulk_write([UpdateOne({"anything.b": value}, {"$push": {"pairs": Pair(3, 4)}})])
    match = [{"$match": {"anything.b": value}}, {"$set": {"new": {"$literal": value}}}]
    (found,) = await Gig.aggregate(match).to_list()
    assert (found["anything"], found["new"], found["pairs"]) == ({"b": raw}, raw, ["3:4"])
    replaced = await Gig.find_one_and_replace({"anything.b": value}, Gig(anything={"c": value}))
    assert replaced is not None
    assert await Gig.count({"anything": {"c": value}}) == 1


async def test_registered_types_that_msgspec_knows_are_read_by_the_dec_hook(bind: Bind) -> None:
    register_known()
    register_encoder(date, lambda day: day.isoformat())
    await bind(Gig)
    gig = await Gig(
        pair=Pair(1, 2),
        pairs=[Pair(3, 4)],
        tone=Tone.LOUD,
        rank=Rank.FIRST,
        span=Span(5, 6),
        ratio=Ratio(7, 8),
        by_name={"a": Pair(9, 10)},
        day=date(2026, 1, 1),
    ).insert()
    (raw,) = await stored(Gig)
    assert (raw["pair"], raw["tone"], raw["span"], raw["day"]) == (
        "1:2",
        "LOUD",
        "5:6",
        "2026-01-01",
    )
    found = await Gig.find_by_id(gig.id)
    assert alike(found, gig)
    assert changes(gig) == {}
    assert await Gig.count({"day": date(2026, 1, 1), "pairs": Pair(3, 4)}) == 1
    assert await Gig.count({"day": "2026-01-01", "tone": "LOUD"}) == 1  # as they are stored
    await Gig.get_collection().insert_one({"tone": "SOFT"})
    with pytest.raises(DocumentValidationError, match=r"Gig\.tone"):
        await Gig.find_all()


async def test_a_mixin_is_registered_before_the_classes_that_take_it(bind: Bind) -> None:
    class Mixin:
        pass

    register_encoder(Mixin, lambda each: f"<{each!s}>")

    class Tagged(Mixin, str):
        __slots__ = ()

    class Row(MongoDocument):
        text: str

    await bind(Row)
    await Row(text=Tagged("a")).insert()
    assert await Row.count({"text": "<a>"}) == 1 == await Row.count({"text": Tagged("a")})
