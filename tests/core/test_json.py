"""The JSON edge: every type of the codec's table through msgspec's functions and through Litestar."""

import datetime as dt
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, override
from uuid import UUID

import msgspec
import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from litestar import Litestar, get, post
from litestar.openapi.spec import Schema
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.plugins import OpenAPISchemaPlugin
from litestar.testing import AsyncTestClient

from mongospec_core import (
    BulkResult,
    MongoDocument,
    UpdateResult,
    changes,
    dec_hook,
    enc_hook,
    schema_hook,
    type_decoders,
    type_encoders,
)
from tests.conftest import Bind
from tests.zoo.everything import (
    Branch,
    Colour,
    Everything,
    Leaf,
    Level,
    Mood,
    Note,
    Size,
    Span,
)

ID = ObjectId("65f0c0ffee65f0c0ffee0001")
KEY = UUID("12345678-1234-5678-1234-567812345678")
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
DAY = dt.date(2026, 1, 2)
LEAF = Leaf(day=DAY, length=dt.timedelta(minutes=5), price=Decimal("1.10"))

EVERY: dict[str, Any] = {
    "text": 'a \N{SNOWMAN} \\ "quoted"',
    "truth": True,
    "small": 2**53 + 1,
    "real": 1.5,
    "data": b"\x00\xff",
    "moment": MOMENT,
    "day": DAY,
    "length": dt.timedelta(days=1, milliseconds=5),
    "clock": dt.time(1, 2, 3, 4),
    "price": Decimal("1.50"),
    "key": KEY,
    "other": ID,
    "colour": Colour.GREEN,
    "level": Level.HIGH,
    "mood": Mood.BAD,
    "names": {"b", "a"},
    "days": frozenset({DAY}),
    "pair": (1, dt.timedelta(seconds=1)),
    "row": (Decimal("1.0"), Decimal(2)),
    "span": Span(DAY, DAY),
    "branch": Branch(leaves=[LEAF], by_day={DAY: LEAF}, hue=Colour.GREEN),
    "size": Size(5, DAY),
    "note": Note(text="x", took=dt.timedelta(1)),
    "by_number": {1: "a", -2: "b"},
    "by_uuid": {KEY: DAY},
    "by_colour": {Colour.RED: 1},
    "moments": [MOMENT],
    "anything": {"a": [1, None, "x", {"b": 1.5}]},
}


def everything(**fields: Any) -> Everything:
    return Everything(_id=ID, **(fields or EVERY))


def text_of(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=enc_hook)


def test_every_field_of_everything_is_tried() -> None:
    assert set(EVERY) == set(Everything.__struct_fields__) - {"_id"}


@pytest.mark.parametrize("field", EVERY)
def test_every_type_of_the_table_comes_back_from_json(field: str) -> None:
    one = everything(**{field: EVERY[field]})
    text = text_of(one)
    again = msgspec.json.decode(text, type=Everything, dec_hook=dec_hook)
    assert again == one
    assert type(getattr(again, field)) is type(EVERY[field])
    raw = msgspec.json.decode(text)
    assert raw["_id"] == str(ID)


async def test_what_was_read_can_be_written_as_json_and_back(bind: Bind) -> None:
    await bind(Everything)
    await everything().insert()
    (found,) = await Everything.find_all()
    again = msgspec.json.decode(text_of(found), type=Everything, dec_hook=dec_hook)
    assert again == found
    assert changes(again) != {}  # from JSON: nothing is known of a stored copy
    many = msgspec.json.decode(text_of([found, found]), type=list[Everything], dec_hook=dec_hook)
    assert many == [found, found]


def test_the_other_encoders_of_msgspec_take_the_hooks_too() -> None:
    one = everything()
    packed = msgspec.msgpack.encode(one, enc_hook=enc_hook)
    assert msgspec.msgpack.decode(packed, type=Everything, dec_hook=dec_hook) == one
    plain = msgspec.to_builtins(one, enc_hook=enc_hook)
    assert plain["_id"] == str(ID)
    assert msgspec.convert(plain, Everything, dec_hook=dec_hook) == one


# -- bson's own types

BSON_TYPES: list[tuple[Any, Any, Any]] = [
    (ObjectId, ID, str(ID)),
    (Decimal128, Decimal128("1.50"), "1.50"),
    (Binary, Binary(b"\x00\xff"), "AP8="),
    (Int64, Int64(2**40), 2**40),
    (Regex, Regex("^a"), "^a"),
    (re.Pattern, re.compile("^a"), "^a"),
    (Timestamp, Timestamp(1_700_000_000, 0), "2023-11-14T22:13:20Z"),
]


@pytest.mark.parametrize(("tp", "value", "written"), BSON_TYPES, ids=lambda each: repr(each)[:20])
def test_bsons_own_types_come_back_from_json(tp: Any, value: Any, written: Any) -> None:
    text = text_of(value)
    assert msgspec.json.decode(text) == written
    again = msgspec.json.decode(text, type=tp, dec_hook=dec_hook)
    assert again == value
    assert type(again) is type(value)
    schema = msgspec.json.schema(tp, schema_hook=schema_hook)
    assert schema["type"] == ("integer" if tp is Int64 else "string")
    if "pattern" in schema:
        assert re.fullmatch(schema["pattern"], written)


class Open(MongoDocument):
    value: Any = None


ODD: list[Any] = [
    Int64(5),
    Regex("^a", re.IGNORECASE),
    re.compile("^a"),
    Binary(b"x", 5),
    Timestamp(1, 2),
    Code("f()"),
    DBRef("users", ID, "other"),
    DatetimeMS(2**50),
    MinKey(),
    MaxKey(),
    Decimal128("NaN"),
    Decimal("NaN"),
]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_a_field_of_any_type_was_given_can_be_written(value: Any) -> None:
    """One odd stored value must not turn a whole list of documents into an error."""
    text = text_of([Open(value=[value]), Open(value={"a": value})])
    assert len(msgspec.json.decode(text)) == 2


def test_what_nobody_knows_is_refused_by_name() -> None:
    class Strange:
        pass

    with pytest.raises(NotImplementedError, match="no JSON for Strange"):
        text_of([Strange()])
    with pytest.raises(NotImplementedError, match="no JSON for Strange"):
        msgspec.json.decode(b"1", type=Strange, dec_hook=dec_hook)
    with pytest.raises(NotImplementedError, match="no JSON Schema for Strange"):
        schema_hook(Strange)


WRONG: list[tuple[Any, bytes]] = [
    (ObjectId, b'"65f0"'),
    (ObjectId, b"5"),
    (ObjectId, b"null"),
    (ObjectId, b'["65f0c0ffee65f0c0ffee0001"]'),
    (Decimal128, b'"one"'),
    (Decimal128, b"[]"),
    (Binary, b'"***"'),
    (Binary, b"5"),
    (Int64, b'"many"'),
    (Int64, b"1.5"),
    (Regex, b"5"),
    (re.Pattern, b'"("'),
    (Timestamp, b'"yesterday"'),
]


@pytest.mark.parametrize(("tp", "text"), WRONG, ids=str)
def test_what_does_not_fit_is_a_validation_error_with_its_path(tp: Any, text: bytes) -> None:
    wanted = msgspec.defstruct("Wanted", [("value", tp)])
    with pytest.raises(msgspec.ValidationError, match=r"\$\.value"):
        msgspec.json.decode(b'{"value":%b}' % text, type=wanted, dec_hook=dec_hook)


def test_a_documents_id_may_be_left_out_or_null() -> None:
    for text in (b"{}", b'{"_id":null}'):
        one = msgspec.json.decode(text, type=Open, dec_hook=dec_hook)
        assert one.id is None
    with pytest.raises(msgspec.ValidationError, match=r"_id"):
        msgspec.json.decode(b'{"_id":"nope"}', type=Open, dec_hook=dec_hook)


def test_results_are_written_as_what_they_are() -> None:
    assert text_of(UpdateResult(2, 1, ID)) == b"1"
    assert text_of({"changed": UpdateResult(2, 1)}) == b'{"changed":1}'
    result = BulkResult(inserted_count=1, upserted_ids={3: ID})
    assert msgspec.json.decode(text_of(result))["upserted_ids"] == {"3": str(ID)}


def test_ids_may_be_the_keys_of_a_dict() -> None:
    class ById(MongoDocument):
        names: dict[ObjectId, str] = {}

    one = ById(names={ID: "a"})
    text = text_of(one)
    assert msgspec.json.decode(text)["names"] == {str(ID): "a"}
    assert msgspec.json.decode(text, type=ById, dec_hook=dec_hook) == one


# -- schema


def test_the_schema_describes_every_field() -> None:
    (schemas, definitions) = msgspec.json.schema_components(
        [Everything, Open], schema_hook=schema_hook, ref_template="#/{name}"
    )
    assert [each["$ref"] for each in schemas] == ["#/Everything", "#/Open"]
    properties = definitions["Everything"]["properties"]
    assert set(properties) == {"_id", *EVERY}
    hex_digits = {"type": "string", "pattern": "^[0-9a-f]{24}$", "examples": [str(ID)]}
    assert hex_digits in properties["_id"]["anyOf"]
    assert hex_digits in properties["other"]["anyOf"]


def test_a_schema_that_was_given_out_can_be_changed() -> None:
    schema = schema_hook(ObjectId)
    schema["title"] = "Id"
    schema["examples"].append("x")
    assert "title" not in schema_hook(ObjectId)
    assert schema_hook(ObjectId)["examples"] == [str(ID)]


# -- Litestar


class BsonSchemas(OpenAPISchemaPlugin):
    """What Litestar's OpenAPI asks for types that it does not know."""

    @override
    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and _described(value)

    @override
    def to_openapi_schema(self, field_definition: Any, schema_creator: Any) -> Schema:
        known = schema_hook(field_definition.annotation)
        names = {"contentEncoding": "content_encoding"}
        return Schema(**{names.get(name, name): value for name, value in known.items()})


def _described(tp: type) -> bool:
    try:
        schema_hook(tp)
    except NotImplementedError:
        return False
    return True


class Card(msgspec.Struct):
    """A shape."""

    _id: ObjectId
    text: str
    other: ObjectId | None = None


class Bson(MongoDocument):
    price: Decimal128
    blob: Binary
    size: Int64
    at: Timestamp
    friends: list[ObjectId] = []


@post("/everything")
async def create(data: JSONBody[Everything]) -> Everything:
    return await data.insert()


@get("/everything")
async def read_all() -> list[Everything]:
    return await Everything.find_all()


@get("/everything/{_id:str}")
async def read_one(_id: FromPath[str]) -> Everything | None:
    return await Everything.find_by_id(_id)


@get("/cards")
async def cards() -> list[Card]:
    return await Everything.find_all(projection=Card)


@get("/dicts")
async def dicts() -> list[dict[str, Any]]:
    return await Everything.find_all(projection={"other": 1, "price": 1, "moment": 1, "key": 1})


@get("/by-other")
async def by_other(other: FromQuery[ObjectId]) -> int:
    return await Everything.count({"other": other})


@post("/touch")
async def touch() -> dict[str, Any]:
    result = await Everything.update_many({}, {"$set": {"text": "touched"}})
    return {"changed": result}


@post("/bson")
async def bson_types(data: JSONBody[Bson]) -> Bson:
    return await data.insert()


@pytest.fixture
async def http(bind: Bind) -> AsyncIterator[AsyncTestClient[Litestar]]:
    await bind(Everything, Bson)
    app = Litestar(
        [create, read_all, read_one, cards, dicts, by_other, touch, bson_types],
        type_encoders=type_encoders,
        type_decoders=type_decoders,
        plugins=[BsonSchemas()],
        logging_config=None,
        debug=True,
    )
    async with AsyncTestClient(app) as client:
        yield client


async def test_documents_go_in_and_out_of_litestar(http: AsyncTestClient[Litestar]) -> None:
    one = everything()
    reply = await http.post("/everything", content=text_of(one))
    assert reply.status_code == 201, reply.text
    assert msgspec.json.decode(reply.content, type=Everything, dec_hook=dec_hook) == one
    assert await Everything.find_all() == [one]
    reply = await http.get(f"/everything/{ID}")
    assert msgspec.json.decode(reply.content, type=Everything, dec_hook=dec_hook) == one
    reply = await http.get("/everything")
    assert msgspec.json.decode(reply.content, type=list[Everything], dec_hook=dec_hook) == [one]


async def test_a_document_without_an_id_gets_one_from_litestar_too(
    http: AsyncTestClient[Litestar],
) -> None:
    reply = await http.post("/everything", json={"text": "new"})
    assert reply.status_code == 201, reply.text
    assert ObjectId(reply.json()["_id"]) == (await Everything.find_all())[0].id


async def test_shapes_and_dicts_go_out_of_litestar(http: AsyncTestClient[Litestar]) -> None:
    await everything().insert()
    reply = await http.get("/cards")
    assert reply.json() == [{"_id": str(ID), "text": EVERY["text"], "other": str(ID)}]
    reply = await http.get("/dicts")
    assert reply.json() == [
        {
            "_id": str(ID),
            "other": str(ID),
            "price": "1.50",
            "moment": "2026-01-02T03:04:05.678000Z",
            "key": str(KEY),
        }
    ]


async def test_an_id_may_be_a_query_parameter(http: AsyncTestClient[Litestar]) -> None:
    await everything().insert()
    reply = await http.get("/by-other", params={"other": str(ID)})
    assert (reply.status_code, reply.json()) == (200, 1)
    reply = await http.get("/by-other", params={"other": "nope"})
    assert reply.status_code == 400, reply.text


async def test_results_and_bsons_own_types_go_out_of_litestar(
    http: AsyncTestClient[Litestar],
) -> None:
    await everything().insert()
    reply = await http.post("/touch")
    assert reply.json() == {"changed": 1}, reply.text
    sent = {
        "price": "1.50",
        "blob": "AP8=",
        "size": 2**40,
        "at": "2023-11-14T22:13:20Z",
        "friends": [str(ID)],
    }
    reply = await http.post("/bson", json=sent)
    assert reply.status_code == 201, reply.text
    assert {name: value for name, value in reply.json().items() if name != "_id"} == sent


async def test_what_does_not_fit_is_a_400_of_litestar(http: AsyncTestClient[Litestar]) -> None:
    for wrong in ({"_id": "nope"}, {"text": 5}, {"other": "65f0"}, {"day": "today"}):
        reply = await http.post("/everything", json=wrong)
        assert reply.status_code == 400, reply.text
    assert await Everything.count() == 0


async def test_the_openapi_page_describes_documents(http: AsyncTestClient[Litestar]) -> None:
    reply = await http.get("/schema/openapi.json")
    assert reply.status_code == 200
    schemas = reply.json()["components"]["schemas"]
    properties = schemas["Everything"]["properties"]
    assert set(properties) == {"_id", *EVERY}
    assert "^[0-9a-f]{24}$" in str(properties["_id"])
    assert "^[0-9a-f]{24}$" in str(schemas["Card"]["properties"]["_id"])
    assert schemas["Bson"]["properties"]["price"] == {"type": "string", "format": "decimal"}
    assert (await http.get("/schema")).status_code == 200
