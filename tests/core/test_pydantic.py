"""pydantic takes documents, Structs and ids as msgspec does."""

import datetime as dt
import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from bson import Decimal128, ObjectId
from pydantic import BaseModel, TypeAdapter, ValidationError

from mongospec_core import (
    ForPydantic,
    MongoDocument,
    Page,
    PydanticObjectId,
    dec_hook,
    enc_hook,
    register_encoder,
)
from mongospec_core.extension import is_new

ID = ObjectId("65f0c0ffee65f0c0ffee0001")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(msgspec.Struct):
    name: str
    parts: list["Part"] = []


class Size(TypedDict):
    width: int


class Product(MongoDocument):
    """Something that is sold."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    price: Decimal = Decimal("1.50")
    colour: Colour = Colour.RED
    made_at: dt.datetime | None = None
    seen: list[dt.datetime] = []
    by_name: dict[str, tuple[dt.datetime, ...]] = {}
    local: Annotated[dt.datetime, msgspec.Meta(tz=False)] | None = None
    day: dt.date | None = None
    parts: list[Part] = []
    size: Size | None = None
    key: uuid.UUID | None = None
    maker: ObjectId | None = None
    data: bytes = b""
    kind: Literal["a", "b"] = "a"
    by_number: dict[int, str] = {}


class Renamed(MongoDocument, rename="camel"):
    first_name: str


class Card(msgspec.Struct):
    name: str
    maker: ObjectId | None = None


class Order(BaseModel):
    product: Product
    cards: list[Annotated[Card, ForPydantic]] = []
    id: PydanticObjectId | None = None


class Point:
    def __init__(self, x: float) -> None:
        self.x = x


class Place(MongoDocument):
    at: Point

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return Point(value)


FULL: dict[str, Any] = {
    "_id": str(ID),
    "name": "Tea",
    "price": "2.50",
    "colour": "blue",
    "made_at": "2026-01-01T00:00:00Z",
    "seen": ["2026-01-01T00:00:00Z"],
    "by_name": {"x": ["2026-01-01T00:00:00Z"]},
    "local": None,
    "day": "2026-01-02",
    "parts": [{"name": "bag", "parts": [{"name": "leaf", "parts": []}]}],
    "size": {"width": 5},
    "key": str(uuid.UUID(int=5)),
    "maker": str(ID),
    "data": "eA==",
    "kind": "b",
    "by_number": {"7": "seven"},
}


def errors(tp: Any, value: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(tp).validate_python(value)
    return [(each["loc"], each["type"], each["msg"]) for each in raised.value.errors()]


def schema(tp: Any, mode: Any = "validation") -> dict[str, Any]:
    return TypeAdapter(tp).json_schema(mode=mode)


# -- values


def test_a_document_goes_through_json_and_comes_back_equal() -> None:
    adapter = TypeAdapter(Product)
    product = adapter.validate_python(FULL)
    assert product.made_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert (product.price, product.colour, product.maker) == (Decimal("2.50"), Colour.BLUE, ID)
    assert (product.parts[0].parts[0], product.by_number) == (Part("leaf"), {7: "seven"})
    assert (
        json.loads(adapter.dump_json(product)) == FULL == adapter.dump_python(product, mode="json")
    )
    assert adapter.validate_json(adapter.dump_json(product)) == product
    assert json.loads(msgspec.json.encode(product, enc_hook=enc_hook)) == FULL


def test_an_instance_stays_the_object_that_it_is() -> None:
    product = Product(name="Tea")
    order = Order(product=product, cards=[Card("x")])
    assert order.product is product
    assert order.model_dump()["product"] is product
    assert TypeAdapter(list[Product]).validate_python([product])[0] is product


def test_a_model_with_documents_and_structs_in_it_is_json_and_back() -> None:
    order = Order(product=Product(name="Tea"), cards=[Card("x", ID)], id=ID)
    again = Order.model_validate_json(order.model_dump_json())
    assert again == order
    assert isinstance(again.cards[0], Card)
    assert json.loads(order.model_dump_json())["cards"] == [{"name": "x", "maker": str(ID)}]


def test_fields_have_their_stored_names() -> None:
    adapter = TypeAdapter(Renamed)
    assert adapter.validate_python({"firstName": "Ann"}).first_name == "Ann"
    assert json.loads(adapter.dump_json(Renamed(first_name="Ann")))["firstName"] == "Ann"
    assert set(schema(Renamed)["properties"]) == {"_id", "firstName"}


def test_a_document_from_json_is_a_new_one() -> None:
    assert is_new(TypeAdapter(Product).validate_python(FULL))


def test_a_page_is_written_as_it_is() -> None:
    page = Page(items=[Product(name="Tea")], next="token")
    adapter = TypeAdapter(Page[Product])
    assert adapter.validate_python(page) is page
    again = adapter.validate_json(adapter.dump_json(page))
    assert again == page


def test_what_holds_structs_may_be_annotated_as_a_whole() -> None:
    adapter = TypeAdapter(Annotated[dict[str, list[Card]], ForPydantic])
    assert adapter.validate_python({"x": [{"name": "a"}]}) == {"x": [Card("a")]}
    assert errors(Annotated[list[Card], ForPydantic], [{"name": "a"}, {"name": 5}]) == [
        ((1, "name"), "value_error", "Expected `str`, got `int`")
    ]


def test_types_of_ones_own_are_read_by_the_class_and_written_by_their_encoder() -> None:
    register_encoder(Point, lambda point: point.x)
    adapter = TypeAdapter(Place)
    place = adapter.validate_python({"at": 1.5})
    assert place.at.x == 1.5
    assert json.loads(adapter.dump_json(place)) == {"_id": None, "at": 1.5}
    assert schema(Place)["properties"]["at"] == {"title": "Point"}


def test_a_type_that_nobody_knows_is_not_taken_for_bad_input() -> None:
    class Odd(msgspec.Struct):
        thing: type

    with pytest.raises(NotImplementedError):
        TypeAdapter(Annotated[Odd, ForPydantic]).validate_python({"thing": 5})
    with pytest.raises(Exception, match="no JSON for type"):
        TypeAdapter(Annotated[Odd, ForPydantic]).dump_json(Odd(int))


# -- errors


@pytest.mark.parametrize(
    ("change", "where", "kind", "message"),
    [
        ({"name": ""}, ("name",), "value_error", "length >= 1"),
        ({"price": "dear"}, ("price",), "value_error", "Invalid decimal"),
        ({"colour": "green"}, ("colour",), "value_error", "Invalid enum value 'green'"),
        ({"_id": "x"}, ("_id",), "value_error", "24 hex digits"),
        (
            {"parts": [{"name": "a", "parts": [{}]}]},
            ("parts", 0, "parts", 0, "name"),
            "missing",
            "",
        ),
        ({"size": {"width": "x"}}, ("size", "width"), "value_error", "`int`"),
        ({"by_name": {"x.y": [5]}}, ("by_name", "...", 0), "value_error", "Expected"),
        ({"made_at": "soon"}, ("made_at",), "value_error", "RFC3339"),
    ],
    ids=str,
)
def test_an_error_has_the_path_of_its_field(
    change: Mapping[str, Any], where: tuple[Any, ...], kind: str, message: str
) -> None:
    ((loc, found, told),) = errors(Product, {**FULL, **change})
    assert (loc, found) == (where, kind)
    assert message in told
    ((loc, found, _),) = errors(Order, {"product": {**FULL, **change}})
    assert (loc, found) == (("product", *where), kind)


def test_an_error_shows_the_value_that_it_is_about() -> None:
    with pytest.raises(ValidationError) as raised:
        Order.model_validate({"product": {**FULL, "parts": [{"name": 5}]}, "id": "x"})
    assert [each["input"] for each in raised.value.errors()] == [5, "x"]


@pytest.mark.parametrize("value", [5, "x", None, [], Card("x")], ids=repr)
def test_what_is_no_document_at_all_is_refused(value: Any) -> None:
    ((loc, kind, _),) = errors(Product, value)
    assert (loc, kind) == ((), "value_error")


def test_ids_are_read_from_their_digits() -> None:
    adapter = TypeAdapter(PydanticObjectId)
    assert adapter.validate_python(str(ID)) == ID == adapter.validate_python(ID)
    assert adapter.dump_json(ID) == b'"65f0c0ffee65f0c0ffee0001"'
    assert errors(PydanticObjectId, "x")[0][0] == ()


def test_a_decimal128_that_is_none_is_refused() -> None:
    class Money(MongoDocument):
        sum: Decimal128

    assert TypeAdapter(Money).validate_python({"sum": "1.5"}).sum == Decimal128("1.5")
    assert errors(Money, {"sum": "much"})[0][:2] == (("sum",), "value_error")


# -- schemas


def test_a_schema_describes_what_json_has() -> None:
    found = schema(Product)
    assert (found["title"], found["required"]) == ("Product", ["name"])
    assert found["description"] == "Something that is sold."
    fields = found["properties"]
    digits = {"type": "string", "pattern": "^[0-9a-f]{24}$", "examples": [str(ID)]}
    assert fields["_id"]["anyOf"] == fields["maker"]["anyOf"] == [digits, {"type": "null"}]
    assert fields["name"] == {"type": "string", "minLength": 1}
    assert fields["price"] == {"type": "string", "format": "decimal", "default": "1.50"}
    assert fields["colour"] == {"$ref": "#/$defs/Colour", "default": "red"}
    assert fields["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert found["$defs"]["Part"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert found["$defs"]["Size"]["properties"]["width"] == {"type": "integer"}
    assert found["$defs"]["Colour"] == {"title": "Colour", "enum": ["blue", "red"]}
    assert schema(Product, "serialization") == found


def test_a_datetime_is_a_date_time_as_it_is_stored_with_a_zone() -> None:
    fields = schema(Product)["properties"]
    moment = {"type": "string", "format": "date-time"}
    assert fields["made_at"]["anyOf"] == [moment, {"type": "null"}]
    assert fields["seen"]["items"] == moment
    assert fields["by_name"]["additionalProperties"]["items"] == moment
    assert fields["day"]["anyOf"][0]["format"] == "date"
    assert fields["local"]["anyOf"][0] == {"type": "string"}


def test_one_class_is_one_definition_wherever_it_stands() -> None:
    found = schema(tuple[Product, Order, Page[Product], Annotated[Card, ForPydantic]])
    assert set(found["$defs"]) == {
        *("Card", "Colour", "Order", "Page_Product_", "Part", "Product", "Size")
    }
    assert found["$defs"]["Page_Product_"]["properties"]["items"]["items"] == {
        "$ref": "#/$defs/Product"
    }


def test_classes_of_one_name_are_told_apart() -> None:
    def another() -> Any:
        class Card(msgspec.Struct):
            other: int

        return Card

    one, two = Annotated[Card, ForPydantic], Annotated[another(), ForPydantic]
    assert len(schema(tuple[one, two])["$defs"]) == 2  # type: ignore[valid-type]


def test_a_union_of_tagged_structs_keeps_the_field_that_tells_them_apart() -> None:
    class Cat(msgspec.Struct, tag=True):
        name: str

    class Dog(msgspec.Struct, tag=True):
        name: str

    class Owner(MongoDocument):
        pet: Cat | Dog

    pet = schema(Owner)["properties"]["pet"]
    assert {each["$ref"] for each in pet["anyOf"]} == {"#/$defs/Cat", "#/$defs/Dog"}
    told = {
        "propertyName": "type",
        "mapping": {"Cat": "#/$defs/Cat", "Dog": "#/$defs/Dog"},
    }
    assert pet["discriminator"] == told
    for tp in (Annotated[Cat | Dog, ForPydantic], Annotated[list[Cat | Dog], ForPydantic]):
        made = schema(tp)
        assert made.get("items", made)["discriminator"] == told
    assert TypeAdapter(Owner).validate_python({"pet": {"type": "Dog", "name": "x"}}).pet == Dog("x")


def test_fields_named_like_the_words_of_a_schema_are_described() -> None:
    class Route(MongoDocument):
        mapping: dict[str, int]
        discriminator: str
        properties: int

    assert schema(Route)["properties"].keys() == {"_id", "mapping", "discriminator", "properties"}


type Positive = Annotated[int, msgspec.Meta(ge=1)]
type FewCards = Annotated[list[Card], msgspec.Meta(max_length=1)]


def test_a_constraint_of_a_named_type_counts() -> None:
    class Model(BaseModel):
        count: Annotated[Positive, ForPydantic]
        counts: list[Annotated[Positive, ForPydantic]] = []
        cards: Annotated[FewCards, ForPydantic] = []

    assert errors(Annotated[Positive, ForPydantic], 0) == [
        ((), "value_error", "Expected `int` >= 1")
    ]
    assert errors(Model, {"count": 0})[0][0] == ("count",)
    assert errors(Model, {"count": 1, "counts": [1, 0]})[0][0] == ("counts", 1)
    card = {"name": "a"}
    assert errors(Model, {"count": 1, "cards": [card, card]})[0][0] == ("cards",)
    assert Model.model_validate({"count": 1, "cards": [card]}).cards == [Card("a")]
    described = schema(Model)["properties"]
    assert (described["count"]["minimum"], described["counts"]["items"]["minimum"]) == (1, 1)


@pytest.mark.parametrize(
    ("tp", "name"), [(Product, "Product"), (Annotated[Card, ForPydantic], "Card")]
)
def test_an_error_has_the_name_of_the_class_in_its_title(tp: Any, name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(tp).validate_python({})
    assert raised.value.title == f"function-plain[{name}()]"


# -- families


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str


class Dog(Animal, tag="dog"):
    breed: str = "mutt"


class Puppy(Dog, tag="puppy"):
    weeks: int = 0


def test_a_tagged_class_takes_the_documents_of_its_subclasses() -> None:
    adapter = TypeAdapter(list[Animal])
    animals: list[Animal] = [Animal(name="Ant"), Dog(name="Rex", breed="pug"), Puppy(name="Tiny")]
    again = adapter.validate_json(adapter.dump_json(animals))
    assert again == animals
    assert [type(each) for each in again] == [Animal, Dog, Puppy]
    assert type(TypeAdapter(Dog).validate_python({"kind": "puppy", "name": "x"})) is Puppy
    assert adapter.validate_python(animals)[1] is animals[1]


@pytest.mark.parametrize("tag", ["animal", "wolf", [], {"$gt": ""}, None, 5], ids=repr)
def test_a_tag_of_no_class_below_is_an_error_with_its_path(tag: Any) -> None:
    assert errors(Dog, {"kind": tag, "name": "x"})[0][:2] == (("kind",), "value_error")


def test_an_error_in_a_document_of_a_subclass_has_its_path() -> None:
    dog = {"kind": "dog", "name": "x", "breed": 5}
    assert [each[0] for each in errors(list[Animal], [dog])] == [(0, "breed")]
    found = errors(Page[Animal], {"items": [{"kind": "animal", "name": "a"}, dog]})
    assert [each[0] for each in found] == [("items", 1, "breed")]


def test_a_page_of_a_family_is_read_with_each_document_as_its_own_class() -> None:
    animals: list[Animal] = [Animal(name="Ant"), Dog(name="Rex"), Puppy(name="Tiny", weeks=3)]
    page = Page(items=animals, next="x", total=5)
    adapter = TypeAdapter(Page[Animal])
    again = adapter.validate_json(adapter.dump_json(page))
    assert (again, [type(each) for each in again.items]) == (page, [Animal, Dog, Puppy])
    assert adapter.validate_python(page) is page
    text = msgspec.json.encode(page, enc_hook=enc_hook)
    union = Page[Animal | Dog | Puppy]  # msgspec does not look for subclasses
    assert msgspec.json.decode(text, type=union, dec_hook=dec_hook) == page


@pytest.mark.parametrize(
    ("value", "path"),
    [({}, ("items",)), ({"items": 5}, ("items",)), ({"items": [], "next": 5}, ("next",)), (5, ())],
)
def test_what_is_not_a_page_of_a_family_is_refused(value: Any, path: tuple[Any, ...]) -> None:
    assert errors(Page[Animal], value)[0][0] == path


def test_a_schema_of_a_tagged_class_names_its_subclasses() -> None:
    found = schema(tuple[Animal, Puppy])
    assert set(found["$defs"]) == {"Animal", "Dog", "Puppy"}
    whole, puppy = found["prefixItems"]
    assert [each["$ref"] for each in whole["anyOf"]] == [
        "#/$defs/Animal",
        "#/$defs/Dog",
        "#/$defs/Puppy",
    ]
    assert whole["discriminator"] == {
        "propertyName": "kind",
        "mapping": {
            "animal": "#/$defs/Animal",
            "dog": "#/$defs/Dog",
            "puppy": "#/$defs/Puppy",
        },
    }
    assert puppy == {"$ref": "#/$defs/Puppy"}
    assert found["$defs"]["Dog"]["properties"]["kind"] == {"enum": ["dog"]}


def test_a_subclass_that_is_defined_later_is_taken_too() -> None:
    class Plant(MongoDocument, tag_field="kind", tag="plant"):
        name: str

    adapter, pages = TypeAdapter(Plant), TypeAdapter(Page[Plant])

    class Tree(Plant, tag="tree"):
        pass

    tree = {"kind": "tree", "name": "x"}
    assert type(adapter.validate_python(tree)) is Tree
    assert type(pages.validate_python({"items": [tree]}).items[0]) is Tree


# -- pydantic itself


def test_pydantic_is_imported_only_if_it_asks() -> None:
    code = (
        "import sys, mongospec\n"
        "class User(mongospec.MongoDocument):\n"
        "    name: str\n"
        "    at: mongospec.PydanticObjectId | None = None\n"
        "User(name='a').dump()\n"
        "print('pydantic' in sys.modules, 'pydantic_core' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
