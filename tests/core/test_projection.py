"""Shapes smaller than the document: a projection derived from a Struct, results read as it."""

import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DefinitionError,
    DocumentValidationError,
    MongoDocument,
    OptionError,
    register_encoder,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person


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


# -- each finder


class Name(msgspec.Struct):
    name: str


FINDERS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "find": lambda _, shape: Big.find({"name": "Ann"}, projection=shape).to_list(),
    "find_one": lambda _, shape: Big.find_one({"name": "Ann"}, projection=shape),
    "find_by_id": lambda one, shape: Big.find_by_id(one.id, projection=shape),
    "find_all": lambda _, shape: Big.find_all({"name": "Ann"}, projection=shape),
}


@pytest.mark.parametrize("finder", FINDERS)
async def test_every_finder_takes_a_struct_or_a_dict(
    bind: Bind, mongo_proxy: FaultProxy, finder: str
) -> None:
    await bind(Big)
    one = await big()
    with mongo_proxy.recording() as seen:
        typed = await FINDERS[finder](one, Name)
        plain = await FINDERS[finder](one, {"name": 1, "price": 1, "took": 1, "_id": 0})
    assert typed in (Name("Ann"), [Name("Ann")])
    expected = {"name": "Ann", "price": Decimal("1.50"), "took": 90_000}
    assert plain in (expected, [expected])
    assert [each.body["projection"] for each in seen if each.name == "find"] == [
        {"name": 1, "_id": 0},
        {"name": 1, "price": 1, "took": 1, "_id": 0},
    ]


@pytest.mark.parametrize("finder", ["find_one", "find_by_id"])
async def test_a_shape_of_nothing_is_none(bind: Bind, finder: str) -> None:
    await bind(Big)
    one = await big()
    await one.delete()
    assert await FINDERS[finder](one, Name) is None
    assert await FINDERS[finder](one, {"name": 1}) is None


# -- what is derived from the Struct: what is sent, and what comes back


class City(msgspec.Struct):
    city: str


class GeoOnly(msgspec.Struct):
    geo: Geo


class Lat(msgspec.Struct):
    lat: float


class WithId(msgspec.Struct):
    _id: ObjectId
    name: str


class Renamed(msgspec.Struct, rename={"key": "_id", "short": "n"}):
    key: ObjectId
    short: str


class Camel(msgspec.Struct, rename="camel"):
    name: str
    no_such_field: int = 5


class Optional(msgspec.Struct):
    home: City | None
    gone: City | None = None


class Required(msgspec.Struct):
    home: City


class Deep(msgspec.Struct):
    home: GeoOnly


class Many(msgspec.Struct):
    homes: list[City]


class ManyDeep(msgspec.Struct):
    homes: tuple[GeoOnly, ...]


class Grid(msgspec.Struct):
    grid: list[list[Lat]]


class Mapped(msgspec.Struct):
    by_name: dict[str, Lat]
    numbers: dict[int, Hue]


class Scalars(msgspec.Struct):
    hue: Hue
    price: Decimal
    day: dt.date
    took: dt.timedelta
    tags: frozenset[str]


class Unset(msgspec.Struct):
    home: City | msgspec.UnsetType = msgspec.UNSET
    nope: int | msgspec.UnsetType = msgspec.UNSET


class Noted(msgspec.Struct):
    home: Annotated[City, msgspec.Meta(title="where")]


class Box[T](msgspec.Struct):
    home: T


class Tagged(msgspec.Struct, tag="big", tag_field="kind"):
    name: str


class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    name: str


def _id_free(paths: list[str]) -> dict[str, int]:
    return dict.fromkeys(paths, 1) | {"_id": 0}


SHAPES: list[tuple[Any, dict[str, int], Callable[[Big], Any]]] = [
    (WithId, {"_id": 1, "name": 1}, lambda one: WithId(_id=one.id, name="Ann")),
    (Renamed, {"_id": 1, "n": 1}, lambda one: Renamed(key=one.id, short="An")),
    (Camel, _id_free(["name", "noSuchField"]), lambda _: Camel("Ann")),
    (Optional, _id_free(["home", "gone"]), lambda _: Optional(City("Rome"))),
    (Required, _id_free(["home.city"]), lambda _: Required(City("Rome"))),
    (
        Deep,
        _id_free(["home.geo.lat", "home.geo.lon", "home.geo.note"]),
        lambda _: Deep(GeoOnly(ROME.geo)),
    ),
    (Many, _id_free(["homes.city"]), lambda _: Many([City("Rome"), City("Oslo")])),
    (
        ManyDeep,
        _id_free(["homes.geo.lat", "homes.geo.lon", "homes.geo.note"]),
        lambda _: ManyDeep((GeoOnly(ROME.geo), GeoOnly(OSLO.geo))),
    ),
    (Grid, _id_free(["grid.lat"]), lambda _: Grid([[Lat(1.0)], [Lat(2.0), Lat(3.0)]])),
    (
        Mapped,
        _id_free(["by_name", "numbers"]),
        lambda _: Mapped({"a": Lat(1.0)}, {1: Hue.RED}),
    ),
    (
        Scalars,
        _id_free(["hue", "price", "day", "took", "tags"]),
        lambda _: Scalars(
            Hue.BLUE,
            Decimal("1.50"),
            dt.date(2026, 1, 2),
            dt.timedelta(seconds=90),
            frozenset({"x"}),
        ),
    ),
    (Unset, _id_free(["home.city", "nope"]), lambda _: Unset(City("Rome"))),
    (Noted, _id_free(["home.city"]), lambda _: Noted(City("Rome"))),
    (Box[City], _id_free(["home.city"]), lambda _: Box(City("Rome"))),
    (Frozen, _id_free(["name"]), lambda _: Frozen(name="Ann")),
]


@pytest.mark.parametrize(
    ("shape", "sent", "expected"), SHAPES, ids=[each[0].__name__ for each in SHAPES]
)
async def test_a_projection_is_derived_from_the_struct(
    bind: Bind, mongo_proxy: FaultProxy, shape: Any, sent: dict[str, int], expected: Any
) -> None:
    await bind(Big)
    one = await big()
    with mongo_proxy.recording() as seen:
        found = await Big.find_all(projection=shape, check=False)
    assert seen[0].body["projection"] == sent
    assert found == [expected(one)]
    assert type(found[0]) is type(expected(one))
    assert await Big.find(projection=shape, check=False).to_list() == found
    assert await Big.find_by_id(one.id, projection=shape, check=False) == found[0]


async def test_an_optional_part_of_a_stored_none_is_none(bind: Bind) -> None:
    await bind(Big)
    await big(home=None)
    assert await Big.find_all(projection=Optional, check=False) == [Optional(None)]
    with pytest.raises(DocumentValidationError) as caught:
        await Big.find_all(projection=Required)
    assert caught.value.document_class is Required
    await Big.get_collection().update_one({}, {"$unset": {"home": ""}})
    assert await Big.find_all(projection=Unset, check=False) == [Unset()]


async def test_a_tagged_structs_tag_is_asked_for(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Stored(MongoDocument, tag="big", tag_field="kind"):
        name: str
        age: int = 0

    await bind(Stored)
    await Stored(name="Ann").insert()
    await Stored.get_collection().insert_one({"kind": "small", "name": "Bob"})
    with mongo_proxy.recording() as seen:
        found = await Stored.find_one({"name": "Ann"}, projection=Tagged)
    assert found == Tagged("Ann")
    assert seen[0].body["projection"] == {"kind": 1, "name": 1, "_id": 0}
    with pytest.raises(DocumentValidationError):
        await Stored.find_one({"name": "Bob"}, projection=Tagged)


class Left(msgspec.Struct, tag=True):
    left: int


class Right(msgspec.Struct, tag=True):
    right: int


class Holder(MongoDocument):
    one: Left
    either: Left | Right
    many: list[Left | Right] = []
    junk: int = 0


class HolderShape(msgspec.Struct):
    one: Left
    either: Left | Right
    many: list[Left | Right]


async def test_tagged_structs_inside_keep_their_tags(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Holder)
    await Holder(one=Left(1), either=Right(2), many=[Left(3), Right(4)]).insert()
    with mongo_proxy.recording() as seen:
        (found,) = await Holder.find_all(projection=HolderShape)
    assert found == HolderShape(Left(1), Right(2), [Left(3), Right(4)])
    assert seen[0].body["projection"] == {
        "one.type": 1,
        "one.left": 1,
        "either": 1,
        "many": 1,
        "_id": 0,
    }


class Node(msgspec.Struct):
    value: int
    children: "list[Node]" = []
    parent: "Node | None" = None


class Tree(MongoDocument):
    root: Node
    more: str = ""


class TreeShape(msgspec.Struct):
    root: Node


async def test_a_recursive_struct_is_read_whole(bind: Bind) -> None:
    await bind(Tree)
    root = Node(1, [Node(2, [Node(3, [Node(4)])]), Node(5)], parent=Node(0))
    await Tree(root=root).insert()
    assert await Tree.find_all(projection=TreeShape) == [TreeShape(root)]


class Key(msgspec.Struct, frozen=True):
    shop: str
    number: int


class Keyed(MongoDocument):
    _id: Key | None = None
    text: str = ""


class KeyShape(msgspec.Struct):
    _id: Key
    text: str


class PartOfKey(msgspec.Struct):
    shop: str


class PartKeyShape(msgspec.Struct):
    _id: PartOfKey


async def test_an_id_that_is_a_struct_can_be_in_a_shape(bind: Bind) -> None:
    await bind(Keyed)
    await Keyed(_id=Key("a", 1), text="x").insert()
    assert await Keyed.find_all(projection=KeyShape) == [KeyShape(_id=Key("a", 1), text="x")]
    assert await Keyed.find_all(projection=PartKeyShape) == [PartKeyShape(_id=PartOfKey("a"))]


async def test_a_shape_without_fields_reads_ids_only(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Nothing(msgspec.Struct):
        pass

    await bind(Big)
    await big()
    with mongo_proxy.recording() as seen:
        assert await Big.find_all(projection=Nothing) == [Nothing()]
    assert seen[0].body["projection"] == {"_id": 1}


async def test_a_document_class_is_no_shape(bind: Bind) -> None:
    await bind(Big)
    for read in (Big.find_all, Big.find_one):
        with pytest.raises(OptionError, match=r"Holder.*half-filled"):
            await read(projection=Holder)


@pytest.mark.parametrize("shape", [5, "name", ["name"], dict, int])
async def test_a_projection_that_is_none_is_refused(bind: Bind, shape: Any) -> None:
    await bind(Big)
    with pytest.raises(OptionError, match="projection"):
        await Big.find_all(projection=shape, check=False)


async def test_an_unsupported_annotation_in_a_shape_is_told_with_the_shapes_name(
    bind: Bind,
) -> None:
    class Odd(msgspec.Struct):
        name: int | Decimal | Hue | dt.date | UUID | str | bytes

    await bind(Big)
    await big()
    with pytest.raises(DefinitionError, match=r"Odd\.name: Type unions may not contain"):
        await Big.find_all(projection=Odd)


async def test_on_invalid_is_asked_about_shapes_too(bind: Bind) -> None:
    class Number(msgspec.Struct):
        _id: ObjectId
        name: int

    await bind(Big)
    one = await big()
    with pytest.raises(DocumentValidationError, match=r"Number\.name") as caught:
        await Big.find_all(projection=Number)
    assert caught.value.id == one.id
    assert await Big.find_all(projection=Number, on_invalid="skip") == []
    mended = await Big.find_all(
        projection=Number, on_invalid=lambda failure, raw: Number(_id=failure.id, name=0)
    )
    assert mended == [Number(_id=one.id, name=0)]


async def test_a_shapes_own_dec_hook_reads_a_users_type(bind: Bind) -> None:
    class Upper:
        def __init__(self, text: str) -> None:
            self.text = text.upper()

    class Loud(msgspec.Struct):
        name: Upper

        @classmethod
        def dec_hook(cls, tp: type, value: Any) -> Any:
            return Upper(value)

    await bind(Big)
    await big()
    (found,) = await Big.find_all(projection=Loud)
    assert found.name.text == "ANN"


# -- dicts


async def test_a_projection_by_dict_takes_operators_and_exclusions(bind: Bind) -> None:
    await bind(Big)
    await big()
    (found,) = await Big.find_all(projection={"homes": {"$slice": 1}, "_id": 0})
    assert [each["city"] for each in found["homes"]] == ["Rome"]
    (found,) = await Big.find_all(projection={"homes": 0, "grid": 0})
    assert "homes" not in found
    assert found["day"] == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert type(found["took"]) is int
    given: dict[str, Any] = {"homes": {"$elemMatch": {"city": "Oslo"}}}
    (found,) = await Big.find_all(projection=given)
    assert [each["city"] for each in found["homes"]] == ["Oslo"]
    assert given == {"homes": {"$elemMatch": {"city": "Oslo"}}}


# -- aggregate


# -- distinct


class Note(MongoDocument):
    text: str
    length: int = 0

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "body" in raw:
            raw["text"] = raw.pop("body")
        return raw


class Card(msgspec.Struct):
    text: str = ""


async def test_a_struct_is_read_from_the_upgraded_document(bind: Bind) -> None:
    await bind(Note)
    await Note.get_collection().insert_one({"_id": ObjectId(), "body": "written years ago"})
    old = Card(text="written years ago")
    assert await Note.find_one(projection=Card) == old
    assert await Note.find_all(projection=Card) == [old]
    assert await Note.find(projection=Card).to_list() == [old]
    only_text = await Note.find_one(projection={"text": 1})
    assert only_text is not None
    assert "text" not in only_text  # a dict is what the server gives


async def test_a_projection_is_no_document_class(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="half-filled"):
        Person.find(projection=Account)

    class Names(msgspec.Struct):
        name: str

    await Person(name="a").insert()
    assert await Person.find_all(projection=Names) == [Names("a")]


async def test_a_projection_takes_the_values_of_the_codec(bind: Bind) -> None:
    class Day:
        def __init__(self, date: dt.date) -> None:
            self.date = date

    register_encoder(Day, lambda day: day.date)

    class Diary(MongoDocument):
        pages: list[dict[str, Any]] = []

    await bind(Diary)
    first, second = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
    await Diary(pages=[{"day": first, "text": "a"}, {"day": second, "text": "b"}]).insert()
    for wanted in (second, Day(second)):
        (found,) = await Diary.find_all(
            projection={"pages": {"$elemMatch": {"day": wanted}}, "_id": 0}
        )
        assert [each["text"] for each in found["pages"]] == ["b"]
