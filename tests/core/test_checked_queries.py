"""Queries against the class: a path that no document has, a value that none can have, an update that
no read would take. Each is refused before anything is sent."""

import datetime as dt
import pickle
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from inspect import signature
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    NotRequired,
    TypedDict,
    get_args,
    get_type_hints,
)

import msgspec
import pytest
from bson import Binary, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import DeleteMany, DeleteOne, ReplaceOne, UpdateMany, UpdateOne

from mongospec_core import (
    DefinitionError,
    DocumentNotFoundError,
    DocumentValidationError,
    FilterValueError,
    MongoDocument,
    MongospecError,
    OperationError,
    OptionError,
    UnknownFieldError,
    eq,
    register_encoder,
)
from mongospec_core.codec.paths import PathTree
from mongospec_core.extension import binding_of, encode_update
from mongospec_core.operations.filters import encode_filter
from mongospec_core.operations.update_checks import _UPDATES
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class Role(Enum):
    READER = "reader"
    WRITER = "writer"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Address(msgspec.Struct):
    city: str
    zip_code: int = msgspec.field(default=0, name="zipCode")


class Cat(msgspec.Struct, tag="cat", tag_field="kind"):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog", tag_field="kind"):
    tricks: list[str] = []


class Item(msgspec.Struct):
    name: str
    price: float = 0.0
    sizes: list[int] = []


@dataclass
class Size:
    width: int
    depth: int = 1


class Note(TypedDict):
    text: str
    by: NotRequired[str]


class Span(NamedTuple):
    begin: int
    end: str


class Row(msgspec.Struct, array_like=True):
    first: int
    second: str


class Own:
    """A type of the user's own."""

    def __init__(self, text: str) -> None:
        self.text = text


register_encoder(Own, lambda own: {"own": own.text})


class Member(MongoDocument):
    email: str
    age: int = 0
    created_at: dt.datetime | None = msgspec.field(default=None, name="createdAt")
    role: Role = Role.READER
    level: Level = Level.LOW
    state: Literal["new", "old"] = "new"
    score: float = 0.0
    price: Decimal | None = None
    took: dt.timedelta | None = None
    day: dt.date | None = None
    clock: dt.time | None = None
    wall: Annotated[dt.datetime, msgspec.Meta(tz=False)] | None = None
    key: uuid.UUID | None = None
    data: bytes = b""
    active: bool = True
    short: Annotated[str, msgspec.Meta(max_length=3)] = ""
    number: int | str | None = None
    stamp: Timestamp | None = None
    tags: list[str] = []
    names: set[str] = set()
    grid: list[list[int]] = []
    items: list[Item] = []
    address: Address | None = None
    pet: Cat | Dog | None = None
    size: Size | None = None
    note: Note | None = None
    span: Span | None = None
    row: Row | None = None
    pair: tuple[int, str] | None = None
    by_name: dict[str, Address] = {}
    meta: dict[str, Any] = {}
    loose: dict = {}  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument, reportUnknownVariableType]
    anything: Any = None
    own: Own | None = None

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return Own(value["own"])


class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []


async def found(act: Awaitable[Any]) -> Any:
    with suppress(DocumentNotFoundError):
        return await act


type Act = Callable[..., Awaitable[Any]]
SET: dict[str, Any] = {"$set": {"age": 1}}

BY_FILTER: dict[str, Act] = {
    "find": lambda f, **o: Member.find(f, **o).to_list(),
    "find.explain": lambda f, **o: Member.find(f, **o).explain(),
    "find_one": lambda f, **o: Member.find_one(f, **o),
    "find_all": lambda f, **o: Member.find_all(f, **o),
    "get_one": lambda f, **o: found(Member.get_one(f, **o)),
    "page": lambda f, **o: Member.page(f, **o),
    "count": lambda f, **o: Member.count(f, **o),
    "count_documents": lambda f, **o: Member.count_documents(f, **o),
    "exists": lambda f, **o: Member.exists(f, **o),
    "distinct": lambda f, **o: Member.distinct("email", f, **o),
    "update_one": lambda f, **o: Member.update_one(f, SET, **o),
    "update_many": lambda f, **o: Member.update_many(f, SET, **o),
    "find_one_and_update": lambda f, **o: Member.find_one_and_update(f, SET, **o),
    "find_one_and_replace": lambda f, **o: Member.find_one_and_replace(f, Member(email="x"), **o),
    "find_one_and_delete": lambda f, **o: Member.find_one_and_delete(f, **o),
    "delete_one": lambda f, **o: Member.delete_one(f, **o),
    "delete_many": lambda f, **o: Member.delete_many(f, **o),
    # $nor: what its filter says to be equal has to be what the document has
    "insert_if_not_exists": lambda f, **o: Member.insert_if_not_exists(
        Member(email="x"), {"$nor": [f]}, **o
    ),
    "bulk UpdateOne": lambda f, **o: Member.bulk_write([UpdateOne(f, SET)], **o),
    "bulk UpdateMany": lambda f, **o: Member.bulk_write([UpdateMany(f, SET)], **o),
    "bulk ReplaceOne": lambda f, **o: Member.bulk_write([ReplaceOne(f, {"email": "x"})], **o),
    "bulk DeleteOne": lambda f, **o: Member.bulk_write([DeleteOne(f)], **o),
    "bulk DeleteMany": lambda f, **o: Member.bulk_write([DeleteMany(f)], **o),
}
WRONG_FILTERS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a typo": ({"emial": "a"}, UnknownFieldError, "emial"),
    "a typo below": ({"address.ctiy": "a"}, UnknownFieldError, "address.ctiy"),
    "a typo in $or": ({"$or": [{"age": 1}, {"emial": "a"}]}, UnknownFieldError, "emial"),
    "a value": ({"age": "18"}, FilterValueError, "age"),
    "an id as text": ({"_id": "65f0c0ffee65f0c0ffee0001"}, FilterValueError, "_id"),
}


@pytest.mark.parametrize("wrong", WRONG_FILTERS.values(), ids=WRONG_FILTERS)
@pytest.mark.parametrize("act", BY_FILTER.values(), ids=BY_FILTER)
async def test_a_filter_that_cannot_be_right_is_refused_by_every_operation(
    bind: Bind,
    mongo_proxy: FaultProxy,
    act: Act,
    wrong: tuple[dict[str, Any], type[OptionError], str],
) -> None:
    await bind(Member)
    filter, kind, path = wrong  # noqa: A001
    with mongo_proxy.recording() as seen, pytest.raises(kind) as caught:
        await act(filter)
    assert seen == []
    error: Any = caught.value
    assert isinstance(error, OptionError)
    assert (error.document_class, error.path, error.outcome) == (Member, path, "not_applied")
    with mongo_proxy.recording() as seen:
        await act(filter, check=False)
    assert len(seen) == 1


async def test_insert_if_not_exists_checks_its_filter(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Member)
    for wrong in ({"emial": "a"}, {"email": 5}):
        with mongo_proxy.recording() as seen, pytest.raises(OptionError) as caught:
            await Member.insert_if_not_exists(Member(email="a"), wrong)
        assert isinstance(caught.value, UnknownFieldError | FilterValueError)
        assert seen == []
    made = await Member.insert_if_not_exists(Member(email="a"), {"email": "a"})
    assert made is not None
    again = await Member.insert_if_not_exists(
        Member(email="b"), {"email": {"$in": [5, "a"]}}, check=False
    )
    assert again is None


BY_UPDATE: dict[str, Act] = {
    "update_one": lambda u, **o: Member.update_one({}, u, **o),
    "update_many": lambda u, **o: Member.update_many({}, u, **o),
    "update_by_id": lambda u, **o: Member.update_by_id(ObjectId(), u, **o),
    "find_one_and_update": lambda u, **o: Member.find_one_and_update({}, u, **o),
    "bulk UpdateOne": lambda u, **o: Member.bulk_write([UpdateOne({}, u)], **o),
    "bulk UpdateMany": lambda u, **o: Member.bulk_write([UpdateMany({}, u)], **o),
}
WRONG_UPDATES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a typo": ({"$set": {"emial": "a"}}, UnknownFieldError, "emial"),
    "a value": ({"$set": {"age": "18"}}, DocumentValidationError, "age"),
    "a value below": (
        {"$set": {"address": {"city": "a", "zipCode": "b"}}},
        DocumentValidationError,
        "address.zipCode",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_UPDATES.values(), ids=WRONG_UPDATES)
@pytest.mark.parametrize("act", BY_UPDATE.values(), ids=BY_UPDATE)
async def test_an_update_that_cannot_be_right_is_refused_by_every_operation(
    bind: Bind,
    mongo_proxy: FaultProxy,
    act: Act,
    wrong: tuple[dict[str, Any], type[Exception], str],
) -> None:
    await bind(Member)
    update, kind, path = wrong
    with mongo_proxy.recording() as seen, pytest.raises(kind) as caught:
        await act(update)
    assert seen == []
    error: Any = caught.value
    assert (error.document_class, error.path, error.outcome) == (Member, path, "not_applied")
    with mongo_proxy.recording() as seen:
        await act(update, check=False)
    assert len(seen) == 1


BY_SORT: dict[str, Act] = {
    "find": lambda s, **o: Member.find(sort=s, **o).to_list(),
    "find_one": lambda s, **o: Member.find_one(sort=s, **o),
    "find_by_id": lambda s, **o: Member.find_by_id(ObjectId(), sort=s, **o),
    "get_one": lambda s, **o: found(Member.get_one(sort=s, **o)),
    "get_by_id": lambda s, **o: found(Member.get_by_id(ObjectId(), sort=s, **o)),
    "reload": lambda s, **o: found(Member(_id=ObjectId(), email="x").reload(sort=s, **o)),
    "find_all": lambda s, **o: Member.find_all(sort=s, **o),
    "page": lambda s, **o: Member.page(sort=s, **o),
    "exists": lambda s, **o: Member.exists({}, sort=s, **o),
    "find_one_and_update": lambda s, **o: Member.find_one_and_update({}, SET, sort=s, **o),
    "find_one_and_replace": lambda s, **o: Member.find_one_and_replace(
        {}, Member(email="x"), sort=s, **o
    ),
    "find_one_and_delete": lambda s, **o: Member.find_one_and_delete({}, sort=s, **o),
    "bulk UpdateOne": lambda s, **o: Member.bulk_write([UpdateOne({}, SET, sort=s)], **o),
    "bulk ReplaceOne": lambda s, **o: Member.bulk_write(
        [ReplaceOne({}, {"email": "x"}, sort=s)], **o
    ),
}


@pytest.mark.parametrize("wrong", [{"emial": 1}, {"age": 1, "address.ctiy": -1}])
@pytest.mark.parametrize("act", BY_SORT.values(), ids=BY_SORT)
async def test_a_sort_by_no_field_is_refused_by_every_operation(
    bind: Bind, mongo_proxy: FaultProxy, act: Act, wrong: dict[str, int]
) -> None:
    await bind(Member)
    with mongo_proxy.recording() as seen, pytest.raises(UnknownFieldError) as caught:
        await act(wrong)
    assert seen == []
    assert caught.value.path == list(wrong)[-1]
    with mongo_proxy.recording() as seen:
        await act(wrong, check=False)
    assert len(seen) == 1


async def test_a_sort_takes_every_form_and_a_score(bind: Bind) -> None:
    await bind(Member)
    natural = {"$natural": -1}
    for sort in (
        "email",
        ["email"],
        [("address.city", -1)],
        {"items.price": 1, "tags.0": 1},
        natural,
    ):
        assert await Member.find_all(sort=sort) == []
    for wrong in ("emial", ["emial"], [("address.ctiy", -1)]):
        with pytest.raises(UnknownFieldError):
            await Member.find_all(sort=wrong)
    Member.find(sort={"score of the text": {"$meta": "textScore"}})


@pytest.mark.parametrize(
    ("sort", "hint"),
    [
        ("-email", '; did you mean [("email", -1)]?'),
        (["-address.city"], '; did you mean [("address.city", -1)]?'),
        ("-id", '; did you mean [("_id", -1)]?'),
        ("-nothing_like_it", "; it has "),
        ("emial", '; did you mean "email"?'),
    ],
    ids=str,
)
async def test_a_sort_with_a_minus_is_told_how_to_descend(bind: Bind, sort: Any, hint: str) -> None:
    await bind(Member)
    with pytest.raises(UnknownFieldError) as caught:
        await Member.find_all(sort=sort)
    assert hint in str(caught.value)


class Card(msgspec.Struct):
    email: str
    numbr: int = 0


class City(msgspec.Struct):
    ctiy: str = ""


class Deep(msgspec.Struct):
    address: City


BY_PROJECTION: dict[str, Act] = {
    "find": lambda p, **o: Member.find(projection=p, **o).to_list(),
    "find_one": lambda p, **o: Member.find_one(projection=p, **o),
    "find_by_id": lambda p, **o: Member.find_by_id(ObjectId(), projection=p, **o),
    "get_one": lambda p, **o: found(Member.get_one(projection=p, **o)),
    "get_by_id": lambda p, **o: found(Member.get_by_id(ObjectId(), projection=p, **o)),
    "page": lambda p, **o: Member.page(projection=p, **o),
    "find_all": lambda p, **o: Member.find_all(projection=p, **o),
}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"emial": 1}, "emial"),
        ({"emial": False}, "emial"),
        ({"address.ctiy": 1}, "address.ctiy"),
        ({"address": {"ctiy": 1}}, "address.ctiy"),
        ({"itmes": {"$slice": 1}}, "itmes"),
        ({"items": {"$elemMatch": {"nmae": "a"}}}, "items.nmae"),
        (Card, "numbr"),
        (Deep, "address.ctiy"),
    ],
)
@pytest.mark.parametrize("act", BY_PROJECTION.values(), ids=BY_PROJECTION)
async def test_a_projection_of_no_field_is_refused_by_every_operation(
    bind: Bind, mongo_proxy: FaultProxy, act: Act, wrong: Any, path: str
) -> None:
    await bind(Member)
    for _ in range(2):  # also when the Struct was seen before
        with mongo_proxy.recording() as seen, pytest.raises(UnknownFieldError) as caught:
            await act(wrong)
        assert seen == []
        assert caught.value.path == path
    with mongo_proxy.recording() as seen:
        await act(wrong, check=False)
    assert len(seen) == 1


async def test_a_projection_may_make_new_fields(bind: Bind) -> None:
    await bind(Member)
    await Member(email="a", items=[Item("x", 1.0)], tags=["b", "c"]).insert()
    for projection in (
        {"email": 1, "_id": 0},
        {"items": {"$slice": 1}, "tags.$": 1},
        {"items": {"$elemMatch": {"price": {"$gt": 0}}}},
        {"total": {"$add": [1, 2]}, "called": "$email", "meta.any": 1},
        {"score of the text": {"$meta": "textScore"}},
    ):
        Member.find(projection=projection)
    (found,) = await Member.find_all(projection={"tags": 1, "_id": False})
    assert found == {"tags": ["b", "c"]}


async def test_the_field_of_distinct_is_checked(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Member)
    with mongo_proxy.recording() as seen, pytest.raises(UnknownFieldError, match="email"):
        await Member.distinct("emial")
    assert seen == []
    assert await Member.distinct("address.city") == []
    assert await Member.distinct("emial", check=False) == []


# -- what an error says


@pytest.mark.parametrize(
    ("path", "suggestion", "message"),
    [
        ("emial", "email", 'Member has no field "emial"; did you mean "email"?'),
        (
            "created_at",
            "createdAt",
            'Member has no field "created_at"; it is stored as "createdAt"',
        ),
        ("creatd_at", "createdAt", "did you mean"),
        ("id", "_id", 'Member has no field "id"; it is stored as "_id"'),
        ("address.zip_code", "address.zipCode", 'stored as "address.zipCode"'),
        ("adress.zip_code", "address.zipCode", 'did you mean "address.zipCode"?'),
        ("adress.nothing", "address.nothing", 'did you mean "address.nothing"?'),
        ("items.0.nmae", "items.0.name", 'did you mean "items.0.name"?'),
        ("xyz", None, "it has _id, email, age"),
        ("address.xyz", None, "it has address.city, address.zipCode"),
        ("email.first", None, '"email" is str, with nothing below it'),
        ("role.name", None, "is Role"),
        ("tags.first", None, r'"tags" is list\[str\], with nothing below it'),
        ("pair.2", None, "tuple"),
        ("", None, "it has"),
    ],
)
async def test_an_unknown_field_says_what_may_have_been_meant(
    bind: Bind, path: str, suggestion: str | None, message: str
) -> None:
    await bind(Member)
    with pytest.raises(
        UnknownFieldError, match=message.replace("?", r"\?").replace("(", r"\(")
    ) as caught:
        await Member.find_one({path: 1})
    assert caught.value.suggestion == suggestion
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.suggestion) == (str(caught.value), suggestion)


@pytest.mark.parametrize(
    ("filter", "expected", "message"),
    [
        ({"age": "18"}, "int", "Member.age is int: no document has '18' of type str there"),
        ({"_id": "65f0"}, "ObjectId", r"write ObjectId\('65f0'\), or Member.find_by_id"),
        ({"role": "admin"}, "Role ('reader', 'writer')", "'admin'"),
        ({"state": "newer"}, "'new' | 'old'", "'newer'"),
        ({"tags": 5}, "list[str]", "5"),
        ({"number": 1.5, "meta": 1}, "dict[str, Any]", "1"),
        ({"tags": {"$elemMatch": {"$eq": 5}}}, "str", "5"),
        ({"email": {"$elemMatch": {"a": 1}}}, "str", "elements of a list"),
    ],
)
async def test_a_value_that_no_document_has_says_what_is_expected(
    bind: Bind, filter: dict[str, Any], expected: str, message: str
) -> None:
    await bind(Member)
    with pytest.raises(FilterValueError, match=message) as caught:
        await Member.find_one(filter)
    assert caught.value.expected == expected
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# -- what is taken, and what is not


NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
TAKEN: list[dict[str, Any]] = [
    {},
    {"email": None, "age": None, "tags": None, "address": None},
    {"age": 1.5},
    {"age": Decimal(1)},
    {"age": Int64(1)},
    {"score": 1},
    {"price": 1},
    {"took": dt.timedelta(1)},
    {"took": 5},
    {"age": {"$gt": MinKey(), "$lt": MaxKey()}},
    {"email": re.compile("a")},
    {"email": Regex("a")},
    {"email": {"$regex": "a", "$options": "i"}},
    {"email": {"$not": re.compile("a")}},
    {"email": {"$in": [re.compile("a"), "b", None]}},
    {"tags": re.compile("a")},
    {"role": Role.READER},
    {"role": "writer"},
    {"role": re.compile("w")},
    {"role": {"$gte": "m"}},
    {"level": Level.LOW},
    {"level": 2},
    {"level": 2.0},
    {"level": {"$gte": 1.5}},
    {"state": "new"},
    {"state": {"$gt": "a"}},
    {"createdAt": NOW},
    {"createdAt": dt.date(2026, 1, 1)},
    {"day": NOW},
    {"day": {"$gte": dt.date(2026, 1, 1)}},
    {"clock": dt.time(1)},
    {"clock": "01:00:00"},
    {"clock": {"$gte": "01"}},
    {"wall": dt.datetime(2026, 1, 1)},
    {"key": uuid.UUID(int=5)},
    {"key": Binary.from_uuid(uuid.UUID(int=5))},
    {"data": Binary(b"a")},
    {"short": "longer than it may be"},
    {"number": "a"},
    {"number": 1},
    {"stamp": Timestamp(1, 1)},
    {"tags": "a"},
    {"tags": ["a", "b"]},
    {"tags": []},
    {"tags": {"$all": ["a", "b"]}},
    {"tags": {"$size": 2, "$ne": "a"}},
    {"tags": {"$elemMatch": {"$in": ["a"], "$ne": "b"}}},
    {"tags.0": "a"},
    {"names": {"a", "b"}},
    {"names": "a"},
    {"grid": [1, 2]},
    {"grid": [[1], [2]]},
    {"grid.0": 1},
    {"grid.0.1": 1},
    {"items": {"$elemMatch": {"name": "a", "price": {"$gt": 1}}}},
    {"items": {"$elemMatch": {"$or": [{"name": "a"}, {"price": 1}]}}},
    {"items": {"$all": [{"$elemMatch": {"name": "a"}}]}},
    {"items": {"name": "a"}},
    {"items": Item("a")},
    {"items.name": {"$in": ["a"]}},
    {"items.0.price": 1},
    {"items.sizes": 1},
    {"items.sizes.0": 1},
    {"address": {"city": "a"}},
    {"address": Address("a")},
    {"address.city": "a"},
    {"pet.kind": "cat"},
    {"pet.lives": 9},
    {"pet.tricks": "sit"},
    {"pet": Dog()},
    {"size.width": 1},
    {"size": {"width": 1}},
    {"note.text": "a"},
    {"note": {"text": "a"}},
    {"span.0": 1},
    {"span.1": "a"},
    {"span": [1, "a"]},
    {"span": "a"},
    {"row.1": "a"},
    {"pair": (1, "a")},
    {"pair": 1},
    {"by_name.home.city": "a"},
    {"by_name.home": {"city": "a"}},
    {"by_name": {"home": {"city": "a"}}},
    {"meta": {"any": [1]}},
    {"meta.any.thing": {"$gt": 1}},
    {"loose.any.thing": 1},
    {"anything": {"$gt": 5}},
    {"anything": 5},
    {"anything.0.below": ["x"]},
    {"anything": {"$elemMatch": {"x": 1}}},
    {"own": Own("a")},
    {"own.own": "a"},
    {"own": {"own": "a"}},
    {"age": {"$type": "string"}},
    {"age": {"$exists": True}},
    {"age": {"$mod": [2, 0]}},
    {"age": {"$not": {"$gt": 5}}},
    {"age": {"$bitsAllSet": 1}},
    {"$expr": {"$gt": ["$ageee", 1]}},
    {"$jsonSchema": {"required": ["x"]}},
    {"$text": {"$search": "x"}},
    {"$comment": "x"},
    {"$and": [{"age": 1}, {"$nor": [{"email": "a"}]}]},
    {"pair": {"$geoWithin": {"$box": [[0, 0], [1, 1]]}}},
    {"email": eq("a")},
    {"anything": eq({"$ne": None})},
]


async def judged(filter: dict[str, Any]) -> None:
    """Make a filter ready to be sent, for what the embedded server does not have."""
    await encode_filter(binding_of(Member), filter, skip_hooks=True)


@pytest.mark.parametrize("filter", TAKEN)
async def test_a_filter_that_may_be_right_is_taken(bind: Bind, filter: dict[str, Any]) -> None:
    await bind(Member, indexes="skip")
    await judged(filter)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"age": True}, "age"),
    ({"active": 1}, "active"),
    ({"age": dt.date(2026, 1, 1)}, "age"),
    ({"age": {"$gte": "18"}}, "age"),
    ({"age": {"$in": [1, "18"]}}, "age"),
    ({"age": {"$nin": ["18"]}}, "age"),
    ({"age": {"$ne": "18"}}, "age"),
    ({"age": {"$not": {"$gt": "5"}}}, "age"),
    ({"age": re.compile("a")}, "age"),
    ({"email": 5}, "email"),
    ({"email": {"a": 1}}, "email"),
    ({"email": ["a"]}, "email"),
    ({"email": eq({"$ne": None})}, "email"),
    ({"email": {"$in": [{"$ne": None}]}}, "email"),
    ({"createdAt": "2026-01-01"}, "createdAt"),
    ({"key": "65f0"}, "key"),
    ({"role": Level.LOW}, "role"),
    ({"role": {"$ne": "admin"}}, "role"),
    ({"level": 3}, "level"),
    ({"level": 1.5}, "level"),
    ({"state": "older"}, "state"),
    ({"clock": "noon"}, "clock"),
    ({"took": "1 s"}, "took"),
    ({"number": True}, "number"),
    ({"tags": ["a", 5]}, "tags"),
    ({"tags": {"$all": [5]}}, "tags"),
    ({"tags.0": 5}, "tags.0"),
    ({"tags": {"$elemMatch": {"$gt": 5}}}, "tags"),
    ({"grid": ["a"]}, "grid"),
    ({"grid.0.0": "a"}, "grid.0.0"),
    ({"items": {"$elemMatch": {"price": "a"}}}, "items.price"),
    ({"items": {"price": 1}}, "items"),
    ({"items.price": "a"}, "items.price"),
    ({"items.sizes": "a"}, "items.sizes"),
    ({"address": "Rome"}, "address"),
    ({"address": {"zipCode": 1}}, "address"),
    ({"address": {"city": 1}}, "address"),
    ({"address": Item("a")}, "address"),
    ({"pet.kind": "cow"}, "pet.kind"),
    ({"pet.lives": "a"}, "pet.lives"),
    ({"span": [1]}, "span"),
    ({"span.0": "a"}, "span.0"),
    ({"pair": (1, 2)}, "pair"),
    ({"by_name.home": {"city": 5}}, "by_name.home"),
    ({"meta": 5}, "meta"),
    ({"$nor": [{"$and": [{"age": "a"}]}]}, "age"),
]


@pytest.mark.parametrize(("filter", "path"), REFUSED)
async def test_a_value_that_no_document_can_have_is_refused(
    bind: Bind, filter: dict[str, Any], path: str
) -> None:
    await bind(Member, indexes="skip")
    with pytest.raises((FilterValueError, UnknownFieldError)) as caught:
        await judged(filter)
    if isinstance(caught.value, FilterValueError):
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("filter", "path"),
    [
        ({"address": {"city": "a", "zip": 1}}, "address.zip"),
        ({"by_name.home": {"ctiy": "a"}}, "by_name.home.ctiy"),
        ({"items": [{"name": "a", "prize": 1}]}, "items.prize"),
        ({"items": {"$elemMatch": {"nmae": "a"}}}, "items.nmae"),
        ({"items.0.nmae": 1}, "items.0.nmae"),
        ({"items.price.0": 1}, "items.price.0"),
        ({"pet.name": 1}, "pet.name"),
        ({"span.2": 1}, "span.2"),
        ({"row.second": 1}, "row.second"),
        ({"note.title": 1}, "note.title"),
        ({"size.height": 1}, "size.height"),
        ({"$nor": [{"$and": [{"agee": 1}]}]}, "agee"),
    ],
)
async def test_a_name_is_looked_for_at_every_depth(
    bind: Bind, filter: dict[str, Any], path: str
) -> None:
    await bind(Member, indexes="skip")
    with pytest.raises(UnknownFieldError) as caught:
        await judged(filter)
    assert caught.value.path == path


GOOD_UPDATES: list[dict[str, Any]] = [
    {"$set": {"email": "a", "age": 1, "createdAt": NOW, "score": 1, "price": Decimal(1)}},
    {"$set": {"createdAt": None, "role": Role.WRITER, "level": 2, "state": "old"}},
    {"$set": {"took": dt.timedelta(1), "day": dt.date(2026, 1, 1), "clock": dt.time(1)}},
    {"$set": {"wall": dt.datetime(2026, 1, 1), "key": uuid.UUID(int=5), "data": b"a"}},
    {"$set": {"short": "abc", "number": "a", "stamp": Timestamp(1, 1)}},
    {"$set": {"tags": ["a"], "names": {"a"}, "grid": [[1]], "items": [Item("a")]}},
    {"$set": {"tags.0": "a", "grid.0.0": 1, "items.0.price": 1.5, "items.$.name": "a"}},
    {"$set": {"items.$[].price": 1, "by_name.home": Address("a"), "by_name.home.zipCode": 1}},
    {"$set": {"address": Address("a"), "pet": Cat(), "size": Size(1), "note": {"text": "a"}}},
    {"$set": {"address": {"city": "a"}, "pet": {"kind": "dog"}, "pet.lives": 3}},
    {"$set": {"span": Span(1, "a"), "span.0": 1, "row": Row(1, "a"), "pair": (1, "a")}},
    {"$set": {"meta": {"a": {"b": 1}}, "meta.a.b": [1], "anything": 1, "anything.a": "x"}},
    {"$set": {"own": Own("a"), "loose.a.b": 1}},
    {"$inc": {"age": 1, "score": 1.5, "price": Decimal(1), "took": dt.timedelta(1)}},
    {"$inc": {"items.$[].price": 1, "number": 1, "anything.n": 1}},
    {"$mul": {"age": 2, "took": 2}},
    {"$min": {"age": 1, "createdAt": NOW, "email": "a"}},
    {"$max": {"price": Decimal(1), "took": dt.timedelta(1)}},
    {"$bit": {"age": {"and": 1}}},
    {"$currentDate": {"createdAt": True, "stamp": {"$type": "timestamp"}}},
    {"$currentDate": {"createdAt": {"$type": "date"}, "anything": True}},
    {"$push": {"tags": "a", "items": Item("a"), "grid.0": 1}},
    {"$push": {"items": {"$each": [Item("a")], "$sort": {"price": 1}, "$slice": 3}}},
    {"$push": {"tags": {"$each": ["a"], "$sort": 1}}},
    {"$push": {"anything": 1, "grid": [1]}},
    {"$addToSet": {"names": "a", "tags": {"$each": ["a", "b"]}}},
    {"$pull": {"tags": "a", "items": {"price": {"$gt": 1}}, "grid.0": {"$gte": 5}}},
    {"$pull": {"tags": {"$in": ["a"]}, "anything": 1, "names": re.compile("a")}},
    {"$pullAll": {"tags": ["a"], "items": [Item("a")]}},
    {"$pop": {"tags": 1}},
    {"$unset": {"age": "", "address": "", "address.zipCode": "", "items.$.price": ""}},
    {"$unset": {"meta.a": "", "by_name.home": "", "anything": "", "pet.lives": ""}},
    {"$rename": {"meta.a": "anything"}},
    {"$unheard": {"nothing": 1}},
    {"$setOnInsert": {"email": "a"}},
]


@pytest.mark.parametrize("update", GOOD_UPDATES)
async def test_an_update_that_a_read_will_take_is_taken(bind: Bind, update: dict[str, Any]) -> None:
    await bind(Member, indexes="skip")
    await encode_update(binding_of(Member), update, {}, skip_hooks=True)


BAD_UPDATES: list[tuple[dict[str, Any], str]] = [
    ({"$set": {"email": None}}, "email"),
    ({"$set": {"age": 1.5}}, "age"),
    ({"$set": {"age": True}}, "age"),
    ({"$set": {"note.by": 0}}, "note.by"),
    ({"$set": {"createdAt": "2026-01-01"}}, "createdAt"),
    ({"$set": {"wall": NOW}}, "wall"),
    ({"$set": {"role": "admin"}}, "role"),
    ({"$set": {"short": "abcd"}}, "short"),
    ({"$set": {"took": 5}}, "took"),
    ({"$set": {"tags": ["a", 5]}}, "tags[1]"),
    ({"$set": {"tags": "a"}}, "tags"),
    ({"$set": {"tags.0": 5}}, "tags.0"),
    ({"$set": {"address": {"zipCode": 1}}}, "address.city"),
    ({"$set": {"address": Item("a")}}, "address"),
    ({"$set": {"items": [{"name": "a", "price": "b"}]}}, "items[0].price"),
    ({"$set": {"pet": {"kind": "cow"}}}, "pet.kind"),
    ({"$set": {"pair": [1]}}, "pair"),
    ({"$set": {"by_name.home": {"city": 5}}}, "by_name.home.city"),
    ({"$set": {"_id": "text"}}, "_id"),
    ({"$set": {"_id": ObjectId()}}, "_id"),
    ({"$setOnInsert": {"_id": "text"}}, "_id"),
    ({"$min": {"_id": ObjectId()}}, "_id"),
    ({"$setOnInsert": {"age": "a"}}, "age"),
    ({"$inc": {"age": 1.5}}, "age"),
    ({"$inc": {"email": 1}}, "email"),
    ({"$inc": {"age": "1"}}, "age"),
    ({"$inc": {"price": 1}}, "price"),
    ({"$inc": {"level": 1}}, "level"),
    ({"$inc": {"_id": 1}}, "_id"),
    ({"$mul": {"age": 0.5}}, "age"),
    ({"$min": {"age": "a"}}, "age"),
    ({"$max": {"createdAt": 5}}, "createdAt"),
    ({"$bit": {"email": {"and": 1}}}, "email"),
    ({"$currentDate": {"age": True}}, "age"),
    ({"$currentDate": {"day": True}}, "day"),
    ({"$currentDate": {"createdAt": {"$type": "timestamp"}}}, "createdAt"),
    ({"$push": {"tags": 5}}, "tags"),
    ({"$push": {"tags": {"$each": ["a", 5]}}}, "tags"),
    ({"$push": {"email": "a"}}, "email"),
    ({"$push": {"pair": 1}}, "pair"),
    ({"$push": {"items": {"name": 5}}}, "items.name"),
    ({"$addToSet": {"names": 5}}, "names"),
    ({"$pull": {"tags": 5}}, "tags"),
    ({"$pull": {"items": {"price": "a"}}}, "items.price"),
    ({"$pullAll": {"tags": [5]}}, "tags"),
    ({"$pop": {"age": 1}}, "age"),
    ({"$unset": {"email": ""}}, "email"),
    ({"$unset": {"address.city": ""}}, "address.city"),
    ({"$unset": {"items.$.name": ""}}, "items.$.name"),
    ({"$unset": {"tags.0": ""}}, "tags.0"),
    ({"$unset": {"_id": ""}}, "_id"),
    ({"$rename": {"email": "anything"}}, "email"),
    ({"$rename": {"age": "score"}}, "age"),
    ({"$rename": {"meta.a": "_id"}}, "_id"),
]


@pytest.mark.parametrize(("update", "path"), BAD_UPDATES)
async def test_an_update_that_would_leave_an_unreadable_document_is_refused(
    bind: Bind, update: dict[str, Any], path: str
) -> None:
    await bind(Member, indexes="skip")
    with pytest.raises(DocumentValidationError) as caught:
        await encode_update(binding_of(Member), update, {}, skip_hooks=True)
    assert (caught.value.document_class, caught.value.path) == (Member, path)
    assert caught.value.id is None
    assert str(caught.value).startswith(f"Member.{path}: ")


@pytest.mark.parametrize(
    ("update", "path"),
    [
        *(({operator: {"emial": 1}}, "emial") for operator in _UPDATES),
        ({"$set": {"address": {"city": "a", "zip": 1}}}, "address.zip"),
        ({"$set": {"items.$[].nmae": 1}}, "items.$[].nmae"),
        ({"$push": {"items": {"$each": [], "$sort": {"prize": 1}}}}, "items.prize"),
        ({"$pull": {"items": {"prize": 1}}}, "items.prize"),
        ({"$rename": {"age": "aeg"}}, "aeg"),
    ],
)
async def test_an_update_of_no_field_is_refused(
    bind: Bind, update: dict[str, Any], path: str
) -> None:
    await bind(Member, indexes="skip")
    with pytest.raises(UnknownFieldError) as caught:
        await encode_update(binding_of(Member), update, {}, skip_hooks=True)
    assert caught.value.path == path


async def test_an_id_is_set_to_itself_and_to_nothing_else(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Member)
    one = await Member(email="a").insert()
    id_, other = one.id, ObjectId()
    whole = {name: value for name, value in one.dump().items() if value is not None}
    assert await Member.update_one({"_id": id_}, {"$set": whole | {"age": 5}}) == 1
    assert await Member.update_by_id(id_, {"$set": {"_id": id_, "age": 6}}) == 1
    query = {"$and": [{"_id": {"$eq": other}}]}
    made = await Member.update_one(query, {"$set": {"_id": other, "email": "b"}}, upsert=True)
    assert made.upserted_id == other
    third = ObjectId()
    await Member.update_one(
        {"email": "c"}, {"$setOnInsert": {"_id": third}, "$set": {"age": 1}}, upsert=True
    )
    assert {each.id for each in await Member.find_all()} == {id_, other, third}
    with mongo_proxy.recording() as seen:
        for query, upsert in (
            ({}, False),
            ({"email": "d"}, True),
            ({"_id": id_, "email": "d"}, True),
        ):
            for act in (
                Member.update_one(query, {"$set": {"_id": third}}, upsert=upsert),
                Member.update_many(query, {"$set": {"_id": third}}, upsert=upsert),
                Member.find_one_and_update(query, {"$set": {"_id": third}}, upsert=upsert),
                Member.bulk_write([UpdateOne(query, {"$set": {"_id": third}}, upsert=upsert)]),
            ):
                with pytest.raises(DocumentValidationError, match=r"_id: MongoDB does not change"):
                    await act
    assert seen == []


async def test_a_part_of_an_id_is_not_changed(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Key(msgspec.Struct):
        name: str
        number: int = 0
        tags: list[str] = []
        at: dt.datetime | None = None

    class Keyed(MongoDocument):
        _id: Key
        text: str = ""

    await bind(Keyed)
    await Keyed(_id=Key("a")).insert()
    changes: list[dict[str, Any]] = [
        {"$set": {"_id.name": "b"}},
        {"$inc": {"_id.number": 1}},
        {"$max": {"_id.number": 1}},
        {"$bit": {"_id.number": {"or": 1}}},
        {"$push": {"_id.tags": "a"}},
        {"$pull": {"_id.tags": "a"}},
        {"$pop": {"_id.tags": 1}},
        {"$unset": {"_id.number": ""}},
        {"$currentDate": {"_id.at": True}},
        {"$rename": {"_id.name": "text"}},
        {"$rename": {"text": "_id.name"}},
    ]
    with mongo_proxy.recording() as seen:
        for each in changes:
            with pytest.raises(DocumentValidationError):
                await Keyed.update_many({}, each)
    assert seen == []
    assert await Keyed.update_one({"_id": Key("a")}, {"$set": {"_id": Key("a"), "text": "x"}}) == 1


async def test_a_tag_cannot_be_changed_and_its_value_is_checked(bind: Bind) -> None:
    class Tagged(MongoDocument, tag="tagged", tag_field="kind"):
        number: int = 0

    await bind(Tagged)
    await Tagged.find_all({"kind": "tagged"})
    await Tagged.update_many({}, {"$set": {"kind": "tagged"}})
    for update in (
        {"$unset": {"kind": ""}},
        {"$set": {"kind": "other"}},
        {"$rename": {"kind": "x"}},
    ):
        with pytest.raises(DocumentValidationError, match=r"Tagged\.kind"):
            await Tagged.update_many({}, update)
    with pytest.raises(FilterValueError):
        await Tagged.find_all({"kind": "other"})


async def test_a_document_does_not_become_one_of_another_class(bind: Bind) -> None:
    class Shape(MongoDocument, tag="shape", tag_field="kind"):
        number: int = 0

    class Circle(Shape, tag="circle"):
        radius: float

    await bind(Shape, Circle)
    await Shape(number=1).insert()
    with pytest.raises(DocumentValidationError, match=r"Shape\.kind.*check=False"):
        await Shape.update_many({}, {"$set": {"kind": "circle"}})
    assert await Shape.find_all() == [Shape(_id=(await Shape.get_one())._id, number=1)]
    await Shape.update_many({}, {"$set": {"kind": "circle", "radius": 1.5}}, check=False)
    assert (await Circle.get_one()).radius == 1.5


async def test_a_family_is_asked_for_the_fields_of_all_its_members(bind: Bind) -> None:
    class Pet(MongoDocument, tag="pet", tag_field="kind", version_field="version"):
        name: str
        version: int = 0

    class Fish(Pet, tag="fish"):
        depth: int
        size: int = 0

    class Parrot(Pet, tag="parrot"):
        words: list[str] = []
        size: str = ""

    await bind(Pet, Fish, Parrot)
    fish = await Fish(name="a", depth=5).insert()
    await Parrot(name="b", words=["hi"]).insert()
    query: dict[str, Any] = {"$or": [{"depth": {"$gt": 4}}, {"words": "hi"}]}
    assert len(await Pet.find_all(query, sort=[("depth", 1), ("words", 1)])) == 2
    assert len((await Pet.page(query, sort="name", size=1)).items) == 1
    assert await Pet.count({"size": {"$in": [0, ""]}, "version": {"$gte": 0}}) == 2
    assert await Pet.distinct("depth") == [5]
    await Pet.update_many({"kind": "parrot"}, {"$push": {"words": "yo"}, "$set": {"size": "big"}})
    await Pet.update_many({"kind": "fish"}, {"$unset": {"words": ""}})
    assert await fish.reload() is fish
    for act in (
        lambda: Fish.find_one({"words": "hi"}),
        lambda: Pet.get_one({"dept": 5}),
        lambda: Pet.page({"dept": 5}),
        lambda: Pet.page({}, sort="dept"),
        lambda: Fish.update_many({}, {"$set": {"words": []}}),
    ):
        with pytest.raises(UnknownFieldError):
            await act()
    for wrong in ({"$set": {"size": b""}}, {"$unset": {"name": ""}}, {"$inc": {"depth": "1"}}):
        with pytest.raises(DocumentValidationError, match=r"Pet\."):
            await Pet.update_many({}, wrong)


ELEMENTS = {"$set": {"items.$[x].price": 2.0, "tags.$[t]": "b"}}


async def test_array_filters_are_about_the_elements(bind: Bind) -> None:
    await bind(Member)
    await Member(email="a", items=[Item("i", 1.0)], tags=["a"]).insert()
    for good in (
        [{"x.name": "i"}, {"t": "a"}],
        [{"$or": [{"x.price": {"$gt": 5}}, {"x.name": "i"}]}, {"t": {"$in": ["a"]}}],
    ):
        await encode_update(binding_of(Member), ELEMENTS, {"array_filters": good}, skip_hooks=True)


BY_ARRAY_FILTERS: dict[str, Act] = {
    "update_one": lambda a, **o: Member.update_one({}, ELEMENTS, array_filters=a, **o),
    "update_many": lambda a, **o: Member.update_many({}, ELEMENTS, array_filters=a, **o),
    "update_by_id": lambda a, **o: Member.update_by_id(ObjectId(), ELEMENTS, array_filters=a, **o),
    "find_one_and_update": lambda a, **o: Member.find_one_and_update(
        {}, ELEMENTS, array_filters=a, **o
    ),
    "bulk UpdateOne": lambda a, **o: Member.bulk_write(
        [UpdateOne({}, ELEMENTS, array_filters=a)], **o
    ),
    "bulk UpdateMany": lambda a, **o: Member.bulk_write(
        [UpdateMany({}, ELEMENTS, array_filters=a)], **o
    ),
}


@pytest.mark.parametrize(
    ("wrong", "kind", "path"),
    [
        ([{"x.nmae": "i"}, {"t": "a"}], UnknownFieldError, "x.nmae"),
        ([{"x.price": "i"}, {"t": "a"}], FilterValueError, "x.price"),
        ([{"$and": [{"x.name": "i"}, {"x.prize": 1}]}], UnknownFieldError, "x.prize"),
        ([{"x.name": "i"}, {"t": 5}], FilterValueError, "t"),
    ],
)
@pytest.mark.parametrize("act", BY_ARRAY_FILTERS.values(), ids=BY_ARRAY_FILTERS)
async def test_array_filters_that_cannot_be_right_are_refused_by_every_operation(
    bind: Bind, mongo_proxy: FaultProxy, act: Act, wrong: list[Any], kind: Any, path: str
) -> None:
    await bind(Member)
    with mongo_proxy.recording() as seen:
        with pytest.raises(kind) as caught:
            await act(wrong)
        assert seen == []
        assert (caught.value.document_class, caught.value.path) == (Member, path)
        with suppress(OperationError):  # the embedded server does not take all of them
            await act(wrong, check=False)
        assert len(seen) == 1


async def test_a_pipeline_is_not_read(bind: Bind) -> None:
    await bind(Member)
    await Member(email="a").insert()
    assert await Member.update_many({}, [{"$set": {"new": 1}}]) == 1
    assert [each async for each in Member.aggregate([{"$match": {"emial": 1}}])] == []


def takers(parameter: str, cls: type = MongoDocument) -> set[str]:
    """The public operations that take a parameter, those of ``bulk_write`` among them."""
    found: set[str] = set()
    for name in dir(cls):
        operation = getattr(cls, name)
        if not name.startswith("_") and callable(operation):
            options = signature(operation).parameters.get("options")
            named = set(signature(operation).parameters)
            named |= get_type_hints(get_args(options.annotation)[0]).keys() if options else set()
            found |= {name} if parameter in named else set()
    bulk = (UpdateOne, UpdateMany, ReplaceOne, DeleteOne, DeleteMany)
    return found | {
        f"bulk {each.__name__}" for each in bulk if parameter in signature(each).parameters
    }


@pytest.mark.parametrize(
    ("parameter", "tested"),
    [
        ("filter", BY_FILTER),
        ("update", BY_UPDATE),
        ("sort", BY_SORT),
        ("projection", BY_PROJECTION),
        ("field", ["distinct"]),
        ("array_filters", BY_ARRAY_FILTERS),
    ],
)
def test_every_operation_that_takes_a_query_is_in_its_table(parameter: str, tested: Any) -> None:
    assert {each.partition(".")[0] for each in tested} == takers(parameter)


# -- hooks, indexes, the way out


async def test_what_hooks_return_is_checked(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Hooked(MongoDocument):
        name: str = ""

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {"$and": [filter, {"tenantt": 1}]}

        @classmethod
        async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {**update, "$currentDate": {"updated": True}}

    await bind(Hooked)
    with mongo_proxy.recording() as seen:
        with pytest.raises(UnknownFieldError, match="tenantt"):
            await Hooked.find_by_id(ObjectId())
        with pytest.raises(UnknownFieldError, match="tenantt"):
            await Hooked.update_one({}, {"$set": {"name": "a"}})
    assert seen == []
    await Hooked.update_one({}, {"$set": {"name": "a"}}, skip_hooks=True)

    class Updating(MongoDocument):
        name: str = ""

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {**update, "$currentDate": {"updated": True}}

    await bind(Updating)
    with pytest.raises(UnknownFieldError, match="updated"):
        await Updating.update_one({}, {"$set": {"name": "a"}})


async def test_a_class_may_hold_more_than_it_declares(bind: Bind) -> None:
    class Free(MongoDocument, check_queries=False):
        __indexes__: ClassVar[Any] = [{"key": {"undeclared": 1}}]
        name: str = ""

    class Freer(Free):
        pass

    class Strict(Free, check_queries=True):
        __indexes__: ClassVar[Any] = [{"key": {"undeclared": 1}}]

    await bind(Free, Freer)
    for cls in (Free, Freer):
        await cls(name="a").insert()
        await cls.update_many({"undeclared": None}, {"$set": {"undeclared": 5, "name": "b"}})
        assert await cls.count({"undeclared": 5, "name": {"$ne": 5}}) == 1
        assert await cls.distinct("undeclared") == [5]
        assert await cls.find_all(sort="undeclared", projection={"undeclared": 1})
    assert (await stored(Free))[0]["undeclared"] == 5
    with pytest.raises(DefinitionError, match=r"Strict.*undeclared"):
        await bind(Strict)


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ({"key": {"emial": 1}}, r'no field "emial"; did you mean "email"\?'),
        ({"key": {"age": 1, "address.ctiy": 1}}, "address.ctiy"),
        ({"key": {"created_at": 1}}, "createdAt"),
        ({"key": {"age": 1}, "partialFilterExpression": {"agee": {"$gt": 1}}}, "agee"),
        (
            {"key": {"age": 1}, "partialFilterExpression": {"age": {"$gt": "1"}}},
            "Member.age is int",
        ),
        ({"key": {"adress.$**": 1}}, "address"),
    ],
)
async def test_an_index_of_no_field_is_refused_at_init(
    bind: Bind, mongo_proxy: FaultProxy, index: dict[str, Any], named: str
) -> None:
    class Indexed(Member):
        __indexes__: ClassVar[Any] = [index]

    with (
        mongo_proxy.recording() as seen,
        pytest.raises(DefinitionError, match=named.replace("Member", "Indexed")),
    ):
        await bind(Indexed)
    assert seen == []


async def test_an_index_of_anything_declared_is_taken(bind: Bind) -> None:
    class Indexed(Member):
        __indexes__: ClassVar[Any] = [
            {"key": {"createdAt": 1, "address.zipCode": -1}},
            {"key": {"items.price": 1}},
            {"key": {"$**": 1}},
            {"key": {"meta.$**": 1}},
            {"key": {"by_name.home.city": 1}, "partialFilterExpression": {"age": {"$gt": 1}}},
        ]

    await bind(Indexed, indexes="skip")


@pytest.mark.parametrize("operation", ["insert", "insert_many", "save", "save_many", "aggregate"])
async def test_an_operation_without_a_query_does_not_take_check(bind: Bind, operation: str) -> None:
    await bind(Member)
    one: Any = Member(email="a")
    cls: Any = Member
    acts: dict[str, Callable[[], Any]] = {
        "insert": lambda: one.insert(check=False),
        "insert_many": lambda: cls.insert_many([one], check=False),
        "save": lambda: one.save(check=False),
        "save_many": lambda: cls.save_many([one], check=False),
        "aggregate": lambda: cls.aggregate([], check=False).to_list(),
    }
    with pytest.raises(OptionError, match="check"):
        await acts[operation]()


@pytest.mark.parametrize(
    "act",
    [
        lambda: Member.distinct(5),  # type: ignore[arg-type]
        lambda: Member.distinct(None),  # type: ignore[arg-type]
        lambda: Member.find_all(sort=[(5, 1)]),  # type: ignore[list-item]
        lambda: Member.find_all(projection={5: 1}),  # type: ignore[dict-item]
        lambda: Member.update_one({}, {"$rename": {"age": 5}}),
        lambda: Member.update_one({}, {"$rename": {"age": 5}}, upsert=True),
        lambda: Member.update_one({}, {"$set": None}, upsert=True),
        lambda: Member.find_all({"$and": None}),
        lambda: Member.find_all({"$or": [5]}),
        lambda: Member.find_all({"age": {"$in": None}}),
        lambda: Member.find_all({"tags": {"$elemMatch": 5}}),
    ],
)  # pyright: ignore[reportArgumentType]
async def test_what_is_no_query_at_all_is_an_error_of_ours(bind: Bind, act: Act) -> None:
    await bind(Member)
    with pytest.raises(MongospecError):
        await act()


async def test_what_only_a_lenient_server_takes_does_not_break_the_check(bind: Bind) -> None:
    await bind(Member)
    for query, options in (
        ({"$or": 5}, {"upsert": True}),
        ({"$and": [5]}, {"upsert": True}),
        ({}, {"array_filters": [{5: 1}]}),
    ):
        with suppress(MongospecError):
            await Member.update_one(query, {"$set": {"email": "a"}}, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_flags_are_integers_with_names(bind: Bind) -> None:
    class Right(IntFlag):
        READ = 1
        WRITE = 2

    class File(MongoDocument):
        rights: Right = Right.READ

    await bind(File)
    await File().insert()
    assert await File.update_one({}, {"$bit": {"rights": {"or": 2}}}) == 1
    assert (await File.get_one({"rights": Right.READ | Right.WRITE})).rights == 3
    assert await File.count({"rights": {"$bitsAllSet": 2}}) == 1
    with pytest.raises(DocumentValidationError, match="rights"):
        await File.update_one({}, {"$set": {"rights": "READ"}})


async def test_a_recursive_class_has_few_places() -> None:
    tree = PathTree(Tree, (Tree,), None)
    assert tree.at(".".join(["children"] * 500 + ["name"])) is tree.at("children.name")
    with pytest.raises(UnknownFieldError):
        tree.at("children.0.children.nmae")
