"""Families: tagged classes that inherit from each other and share their root's collection."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest
from mongojet import IndexModel
from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from mongospec_core import (
    DefinitionError,
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    FilterValueError,
    InvalidDocument,
    MongoDocument,
    NotBoundError,
    OperationError,
    OptionError,
    StaleDocumentError,
    changes,
    close,
    register_encoder,
)
from mongospec_testing.proxy import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("name")]
    name: str
    weight: int = 1


class Dog(Animal, tag="dog"):
    breed: str = "mutt"
    born: date | None = None


class Puppy(Dog, tag="puppy"):
    weeks: int = 8


class Cat(Animal, tag="cat"):
    price: Decimal = Decimal("9.50")
    toys: list[date] = []


FAMILY = (Animal, Dog, Puppy, Cat)


@pytest.fixture
async def zoo(bind: Bind) -> list[Animal]:
    await bind(*FAMILY)
    animals: list[Animal] = [
        Animal(name="Ant"),
        Dog(name="Rex", breed="pug", born=date(2020, 1, 1)),
        Puppy(name="Pip", weeks=9),
        Cat(name="Tom", price=Decimal("1.10"), toys=[date(2024, 2, 3)]),
    ]
    await Animal.insert_many(animals)
    return animals


# -- where the documents are, and which class they are of


async def test_a_family_has_the_collection_of_its_root(zoo: list[Animal]) -> None:
    assert {cls.get_collection_name() for cls in FAMILY} == {"Animal"}
    kinds = [each["kind"] for each in await stored(Animal)]
    assert kinds == ["animal", "dog", "puppy", "cat"]


async def test_the_root_reads_each_document_as_its_own_class(zoo: list[Animal]) -> None:
    found = await Animal.find_all(sort="_id")
    assert found == zoo
    assert [type(each) for each in found] == [Animal, Dog, Puppy, Cat]
    assert [each async for each in Animal.find(sort="_id")] == zoo
    assert [await Animal.find_by_id(each.id) for each in zoo] == zoo


async def test_a_class_sees_its_own_documents_and_those_of_its_subclasses(
    zoo: list[Animal],
) -> None:
    _, rex, pip, tom = zoo
    assert await Dog.find_all(sort="_id") == [rex, pip]
    assert await Puppy.find_all() == [pip]
    assert await Cat.find_all() == [tom]
    assert await Dog.find_one({"name": "Tom"}) is None
    assert await Dog.find_by_id(tom.id) is None
    assert await Dog.find({"weight": 1}, sort="name").to_list() == [pip, rex]


async def test_one_query_is_sent_for_a_family(zoo: list[Animal], mongo_proxy: FaultProxy) -> None:
    with mongo_proxy.recording() as seen:
        assert len(await Animal.find_all()) == 4
        await Dog.find_all({"weight": 1})
    assert [each.name for each in seen] == ["find", "find"]
    assert [each.body["filter"] for each in seen] == [
        {},
        {"weight": 1, "kind": {"$in": ["dog", "puppy"]}},
    ]


async def test_a_batch_is_converted_by_one_call(
    zoo: list[Animal], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    convert = msgspec.convert

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[0])
        return convert(*arguments, **options)

    monkeypatch.setattr(msgspec, "convert", counted)
    await Animal.find_all()
    assert len(calls) == 1


async def test_the_tag_may_be_a_number_and_may_be_the_classes_name(bind: Bind) -> None:
    class Shape(MongoDocument, tag_field="type", tag=0):
        x: int = 0

    class Circle(Shape, tag=1):
        r: int = 0

    class Event(MongoDocument, tag=True):
        pass

    class Click(Event, tag=True):
        pass

    await bind(Shape, Circle, Event, Click)
    await Shape.insert_many([Shape(), Circle(r=2)])
    await Event.insert_many([Event(), Click()])
    assert [type(each) for each in await Shape.find_all(sort="_id")] == [Shape, Circle]
    assert [type(each) for each in await Event.find_all(sort="_id")] == [Event, Click]
    assert await Circle.count() == await Click.count() == 1


# -- every operation


async def test_reads_of_a_class_count_and_list_its_own_documents(zoo: list[Animal]) -> None:
    assert await Animal.count() == 4
    assert await Dog.count() == await Dog.count_documents({}) == 2
    assert await Dog.count({"name": "Tom"}) == 0
    assert not await Dog.exists({"name": "Tom"})
    assert await Cat.exists({"name": "Tom"})
    assert sorted(await Dog.distinct("name")) == ["Pip", "Rex"]
    assert date(2020, 1, 1) in await Dog.distinct("born")
    assert await Animal.estimated_document_count() == 4
    with pytest.raises(OptionError, match=r"the whole collection 'Animal'.*use count\(\)"):
        await Dog.estimated_document_count()


async def test_a_pipeline_of_a_class_begins_with_its_own_documents(zoo: list[Animal]) -> None:
    assert [each["name"] async for each in Dog.aggregate([{"$sort": {"name": 1}}])] == [
        "Pip",
        "Rex",
    ]
    assert len(await Animal.aggregate([]).to_list()) == 4
    count = [{"$count": "n"}]
    assert await Cat.aggregate(count).to_list() == [{"n": 1}]


async def test_a_pipeline_reads_documents_of_a_family_into_its_root(zoo: list[Animal]) -> None:
    found = await Animal.aggregate([{"$sort": {"_id": 1}}], into=Animal).to_list()
    assert found == zoo
    assert [type(each) for each in found] == [Animal, Dog, Puppy, Cat]


async def test_stages_that_must_be_the_first_stay_the_first(
    zoo: list[Animal], mongo_proxy: FaultProxy
) -> None:
    near = {"$geoNear": {"near": [0, 0], "distanceField": "d"}}
    for stage, after in ((near, ["$match"]), ({"$collStats": {}}, [])):
        with (
            mongo_proxy.fail("aggregate", code=2),
            mongo_proxy.recording() as seen,
            pytest.raises(OperationError),
        ):
            await Dog.aggregate([stage]).to_list()
        first, *rest = [next(iter(each)) for each in seen[0].body["pipeline"]]
        assert ([first], rest) == (list(stage), after)


async def test_updates_and_deletes_of_a_class_spare_its_relatives(zoo: list[Animal]) -> None:
    ant, _, _, tom = zoo
    assert await Dog.update_many({}, {"$inc": {"weight": 1}}) == 2
    assert await Dog.update_one({"name": "Tom"}, {"$inc": {"weight": 1}}) == 0
    assert await Dog.update_by_id(tom.id, {"$inc": {"weight": 1}}) == 0
    weights = {each.name: each.weight for each in await Animal.find_all()}
    assert weights == {"Ant": 1, "Rex": 2, "Pip": 2, "Tom": 1}
    assert await Dog.find_one_and_update({"name": "Tom"}, {"$inc": {"weight": 1}}) is None
    updated = await Animal.find_one_and_update({"name": "Tom"}, {"$inc": {"weight": 1}})
    assert type(updated) is Cat
    assert await Dog.find_one_and_delete({"name": "Tom"}) is None
    assert await Dog.delete_one({"name": "Tom"}) == await Dog.delete_by_id(ant.id) == 0
    assert type(await Animal.find_one_and_delete({"name": "Pip"})) is Puppy
    assert await Dog.delete_many({}) == 1
    assert {each.name for each in await Animal.find_all()} == {"Ant", "Tom"}
    assert await Animal.delete_many({}) == 2


async def test_a_filter_may_ask_for_the_tag_itself(zoo: list[Animal]) -> None:
    assert await Animal.count({"kind": "dog"}) == 1
    assert await Dog.count({"kind": "puppy"}) == 1
    assert await Dog.count({"kind": "cat"}, check=False) == 0
    assert await Dog.count({"$or": [{"kind": "cat"}, {"name": "Rex"}]}, check=False) == 1
    with pytest.raises(FilterValueError, match=r"Dog\.kind is 'dog' or 'puppy'"):
        await Dog.count({"kind": "cat"})


async def test_the_hook_of_a_filter_cannot_lose_the_tag(bind: Bind) -> None:
    class Job(MongoDocument, tag_field="kind", tag="job"):
        done: bool = False

    class Mail(Job, tag="mail"):
        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {"done": False}

    await bind(Job, Mail)
    await Job.insert_many([Job(), Mail(), Mail(done=True)])
    assert [type(each) for each in await Mail.find_all()] == [Mail]
    assert await Mail.count(skip_hooks=True) == 2


# -- writes


async def test_each_document_is_saved_by_its_own_class(zoo: list[Animal]) -> None:
    rex, tom = await Animal.find_one({"name": "Rex"}), await Animal.find_one({"name": "Tom"})
    assert isinstance(rex, Dog)
    assert isinstance(tom, Cat)
    assert changes(rex) == {} == changes(tom)
    rex.breed, tom.price = "corgi", Decimal("2.20")
    await rex.save()
    await Animal.save_many([tom, *[each for each in zoo if each.name == "Ant"]])
    assert await Animal.find_all({"name": {"$in": ["Rex", "Tom"]}}, sort="_id") == [rex, tom]
    assert await tom.delete() == 1
    with pytest.raises(DocumentNotFoundError):
        await Cat.get_by_id(tom.id)


async def test_a_document_that_was_built_by_hand_keeps_its_tag(zoo: list[Animal]) -> None:
    rex = zoo[1]
    await Dog(_id=rex.id, name="Max").save()
    new = await Dog(name="New").save(upsert=True)
    assert {each["name"]: each["kind"] for each in await stored(Animal, {"kind": "dog"})} == {
        "Max": "dog",
        "New": "dog",
    }
    assert type(await Animal.find_by_id(new.id)) is Dog


async def test_an_insert_takes_documents_of_the_family_and_no_others(zoo: list[Animal]) -> None:
    assert type(await Animal.find_by_id((await Animal.insert_one(Cat(name="Kit"))).id)) is Cat
    assert await Animal.insert_if_not_exists(Dog(name="Rex"), {"name": "Rex"}) is None
    assert await Cat.insert_if_not_exists(Cat(name="Rex"), {"name": "Rex"}) is not None
    with pytest.raises(OptionError, match="this is a Cat, not a Dog"):
        await Dog.insert_many([Dog(name="x"), Cat(name="y")])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="this is a Animal, not a Dog"):
        await Dog.insert_one(Animal(name="x"))  # type: ignore[arg-type]
    assert await Animal.count() == 6


async def test_the_checks_before_a_write_are_those_of_the_documents_own_class(
    zoo: list[Animal],
) -> None:
    bad = Cat(name="Bad")
    bad.price = "much"  # type: ignore[assignment]
    with pytest.raises(DocumentValidationError, match="price"):
        await Animal.insert_many([Dog(name="Good"), bad])
    assert await Animal.count() == 4


async def test_a_replacement_may_be_of_another_class_of_the_family(zoo: list[Animal]) -> None:
    ant = zoo[0]
    new = Dog(name="Ant", breed="big")
    found = await Animal.find_one_and_replace({"name": "Ant"}, new)
    assert found == new == await Dog.find_by_id(ant.id)
    assert await Cat.find_one_and_replace({"name": "Ant"}, Cat(name="x")) is None
    inserted = await Puppy.find_one_and_replace({"name": "No"}, Puppy(name="No"), upsert=True)
    assert type(inserted) is Puppy


async def test_a_bulk_write_of_a_class_spares_its_relatives(zoo: list[Animal]) -> None:
    ant = zoo[0]
    result = await Animal.bulk_write(
        [
            InsertOne({"name": "Kit", "kind": "cat", "price": Decimal("3.00")}),
            InsertOne(Dog(name="Max")),
            ReplaceOne({"_id": ant.id}, Cat(name="Ant")),
        ]
    )
    assert (result.inserted_count, result.matched_count) == (2, 1)
    result = await Cat.bulk_write(
        [
            UpdateMany({}, {"$set": {"weight": 7}}),
            UpdateOne({"name": "Lux"}, {"$set": {"weight": 7}}, upsert=True),
            DeleteMany({"name": {"$ne": "Lux"}}),
        ]
    )
    assert (result.matched_count, result.deleted_count) == (3, 3)
    assert [type(each) for each in await Animal.find_all({"weight": 7})] == [Cat]
    assert await Dog.count() == 3


async def test_the_hooks_of_a_document_run_by_whomever_it_is_written(bind: Bind) -> None:
    class Account(MongoDocument, tag_field="kind", tag="account"):
        name: str

    class Bank(Account, tag="bank"):
        async def __pre_save__(self) -> None:
            self.name = self.name.upper()

    await bind(Account, Bank)
    await Account.insert_many([Account(name="a"), Bank(name="b")])
    assert [each.name for each in await Account.find_all(sort="name")] == ["B", "a"]


# -- upserts by operators


@pytest.mark.parametrize("cls", FAMILY)
async def test_an_upsert_by_operators_stores_the_tag_of_the_class(
    zoo: list[Animal], cls: type[Animal]
) -> None:
    update = {"$set": {"weight": 3}}
    await cls.update_one({"name": "one"}, update, upsert=True)
    await cls.find_one_and_update({"name": "two"}, update, upsert=True)
    await cls.bulk_write([UpdateOne({"name": "three"}, update, upsert=True)])
    assert [type(each) for each in await Animal.find_all({"weight": 3})] == [cls] * 3


async def test_an_upsert_keeps_the_tag_that_filter_or_update_say(zoo: list[Animal]) -> None:
    await Animal.update_one({"name": "x", "kind": "dog"}, {"$inc": {"weight": 1}}, upsert=True)
    await Dog.update_one({"name": "y"}, {"$setOnInsert": {"kind": "puppy"}}, upsert=True)
    kinds = {each["name"]: each["kind"] for each in await stored(Animal)}
    assert (kinds["x"], kinds["y"]) == ("dog", "puppy")


async def test_an_upsert_by_a_pipeline_needs_the_tag(zoo: list[Animal]) -> None:
    stages = [{"$set": {"weight": 3}}]
    for cls in (Animal, Dog):
        with pytest.raises(OptionError, match="without its tag; put 'kind'"):
            await cls.update_one({"name": "x"}, stages, upsert=True)
    assert await Animal.count() == 4
    tagged = [*stages, {"$set": {"kind": "dog"}}]
    await Animal.update_one({"name": "x"}, tagged, upsert=True)
    await Cat.update_one({"name": "y"}, stages, upsert=True)  # Cat's own filter has its tag
    assert {type(each) for each in await Animal.find_all({"weight": 3})} == {Dog, Cat}


# -- what does not fit


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("lion", r"'lion' is not the tag of a class: Animal and its subclasses have 'animal'"),
        ("`l\0`", r": ''l\\x00'' is not the tag of a class"),
        (5, r": 5 is not the tag of a class"),
        (["dog"], r": \['dog'\] is not the tag of a class"),
        (None, r": missing: Animal and its subclasses are told apart by it"),
    ],
)
async def test_an_unknown_tag_is_told(zoo: list[Animal], tag: Any, told: str) -> None:
    raw = {"name": "Leo"} if tag is None else {"name": "Leo", "kind": tag}
    await Animal.get_collection().insert_one(raw)
    with pytest.raises(DocumentValidationError, match=told) as raised:
        await Animal.find_all()
    assert raised.value.path == "kind"
    assert await Animal.find_all(on_invalid="skip", sort="_id") == zoo
    seen: list[InvalidDocument] = []
    await Animal.find_all(on_invalid=lambda failure, raw: seen.append(failure))
    assert [each.path for each in seen] == ["kind"]


async def test_a_class_that_is_not_bound_is_told_by_its_name(bind: Bind) -> None:
    await bind(*FAMILY)
    await Animal.insert_many([Cat(name="Tom"), Dog(name="Rex"), Puppy(name="Pip")])
    await close()
    await bind(Animal, Dog)
    told = "'cat' is the tag of Cat, which is not bound: add it to document_types"
    with pytest.raises(DocumentValidationError, match=told):
        await Animal.find_all({"name": "Tom"})
    with pytest.raises(DocumentValidationError, match="'puppy' is the tag of Puppy, which is not"):
        await Dog.find_all()  # a class's documents are the same, whoever is bound
    assert await Animal.find_all(on_invalid="skip") == [await Dog.find_one({"name": "Rex"})]
    with pytest.raises(OptionError, match=r"this is a Cat.*Cat is not bound"):
        await Animal.insert_many([Cat(name="x")])
    with pytest.raises(NotBoundError):
        await Cat(name="x").insert()
    await bind(Puppy, Cat)  # later, and the others read them from now on
    assert {type(each) for each in await Animal.find_all()} == {Cat, Dog, Puppy}
    assert {type(each) for each in await Dog.find_all()} == {Dog, Puppy}


async def test_a_subclass_may_be_bound_without_its_root(bind: Bind) -> None:
    await bind(Dog)
    rex = await Dog(name="Rex").insert()
    assert Dog.get_collection().name == "Animal"
    assert await Dog.find_all() == [rex]
    assert await Dog.count({"name": "Tom"}) == 0


# -- old documents


class Old(MongoDocument, tag_field="kind", tag="old"):
    name: str

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "kind" not in raw:
            raw["kind"] = "pdf" if "pages" in raw else "old"
        return raw


class Pdf(Old, tag="pdf"):
    pages: int = 0

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        raw = super().__upgrade__(raw)
        if isinstance(raw.get("pages"), str):
            raw["pages"] = int(raw["pages"])
        return raw


class Text(Old, tag="text"):
    pass


class OnlyName(msgspec.Struct):
    name: str


async def test_old_documents_without_a_tag_are_read_by_the_roots_upgrade(bind: Bind) -> None:
    await bind(Old, Pdf, Text)
    await Old.get_collection().insert_many(
        [
            {"name": "a"},
            {"name": "b", "pages": "3"},
            {"name": "c", "pages": "4", "kind": "pdf"},
            {"name": "d", "kind": "text"},
        ]
    )
    found = await Old.find_all(sort="name")
    assert [type(each) for each in found] == [Old, Pdf, Pdf, Text]
    assert [each.pages for each in found if isinstance(each, Pdf)] == [3, 4]
    found[1].name = "B"
    await found[1].save()
    assert (await stored(Old, {"name": "B"}))[0]["kind"] == "pdf"
    projected = await Old.find_all(projection=OnlyName, sort="name")
    assert [each.name for each in projected] == ["B", "a", "c", "d"]


async def test_an_upgrade_of_a_member_alone_is_run_for_its_documents(bind: Bind) -> None:
    class Base(MongoDocument, tag_field="kind", tag="base"):
        n: int = 0

    class Sub(Base, tag="sub"):
        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            raw["n"] = raw.pop("number", raw.get("n"))
            return raw

    class Broken(Base, tag="broken"):
        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            raise ValueError("too old")

    class Number(msgspec.Struct):
        n: int

    await bind(Base, Sub, Broken)
    await Base.get_collection().insert_many([{"kind": "sub", "number": 5}, {"kind": "base"}])
    assert [each.n for each in await Base.find_all(sort="_id")] == [5, 0]
    assert await Base.find_one({"kind": "sub"}, projection=Number) == Number(5)
    await Base.get_collection().insert_one({"kind": "broken"})
    with pytest.raises(DocumentValidationError, match=r"__upgrade__ raised ValueError\('too old'"):
        await Base.find_all()


# -- projections, loads, own types


async def test_a_projection_of_a_family_reads_what_is_asked_for(zoo: list[Animal]) -> None:
    names = await Animal.find_all(projection=OnlyName, sort="name")
    assert [each.name for each in names] == ["Ant", "Pip", "Rex", "Tom"]
    assert [each.name for each in await Cat.find_all(projection=OnlyName)] == ["Tom"]
    assert await Dog.find_all(projection={"_id": 0, "kind": 1}, sort="_id") == [
        {"kind": "dog"},
        {"kind": "puppy"},
    ]


async def test_load_makes_a_document_of_its_own_class(zoo: list[Animal]) -> None:
    assert type(Animal.load({"name": "Rex", "kind": "dog"})) is Dog
    assert Dog(name="x", _id=None).dump() == {
        "kind": "dog",
        "name": "x",
        "weight": 1,
        "breed": "mutt",
        "born": None,
    }
    with pytest.raises(DocumentValidationError, match="'lion'"):
        Animal.load({"name": "Rex", "kind": "lion"})


class Money(msgspec.Struct):
    cents: int


class Euro:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Dollar(Euro):
    pass


async def test_each_class_of_a_family_reads_its_own_types(bind: Bind) -> None:
    register_encoder(Euro, lambda euro: euro.cents)

    def hook(known: type[Euro]) -> Any:
        def dec_hook(tp: type, value: Any) -> Any:
            if tp is known and isinstance(value, int):
                return known(value)
            if tp is known:
                raise TypeError("too much")
            raise NotImplementedError

        return staticmethod(dec_hook)

    class Paid(MongoDocument, tag_field="kind", tag="paid"):
        dec_hook = hook(Euro)
        price: Euro

    class Foreign(Paid, tag="foreign"):
        dec_hook = hook(Dollar)
        price: Dollar

    await bind(Paid, Foreign)
    await Paid.insert_many([Paid(price=Euro(1)), Foreign(price=Dollar(2))])
    found = await Paid.find_all(sort="_id")
    assert [(type(each.price), each.price.cents) for each in found] == [(Euro, 1), (Dollar, 2)]
    await Paid.get_collection().insert_one({"kind": "foreign", "price": {"a": 1}})
    with pytest.raises(DocumentValidationError, match=r"price of .*: too much"):
        await Paid.find_all()


async def test_defaults_that_are_made_anew_are_those_of_the_documents_own_class(
    bind: Bind,
) -> None:
    class Item(MongoDocument, tag_field="kind", tag="item"):
        name: str = ""

    class Numbered(Item, tag="numbered"):
        more: int = 0
        codes: dict[str, int] = msgspec.field(default_factory=lambda: {"a": 1})

    await bind(Item, Numbered)
    await Item.get_collection().insert_many([{"kind": "item"}, {"kind": "numbered"}])
    item, numbered = await Item.find_all(sort="_id")
    assert changes(item) == {} == changes(numbered)


# -- which classes make a family


async def test_relatives_without_tags_are_refused_with_the_way_out(bind: Bind) -> None:
    class Plain(MongoDocument):
        __collection_name__ = "plain"

    class Sub(Plain):
        pass

    with pytest.raises(
        DefinitionError,
        match=r'class Plain\(\.\.\., tag_field="kind", tag=\'plain\'\), '
        r"class Sub\(Plain, tag='sub'\)",
    ):
        await bind(Plain, Sub)
    with pytest.raises(NotBoundError):
        Plain.get_collection()


async def test_two_classes_of_a_family_cannot_have_one_tag(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        pass

    class Forgot(Root):
        pass

    with pytest.raises(
        DefinitionError, match="both have the tag 'root': set another one for one of them"
    ):
        await bind(Root, Forgot)


async def test_a_family_has_one_version_field(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root", version_field="version"):
        version: int = 0

    class Sub(Root, tag="sub"):
        size: int = 0

    class Bare(MongoDocument, tag_field="kind", tag="bare"):
        pass

    class Counted(Bare, tag="counted", version_field="version"):
        version: int = 0

    with pytest.raises(DefinitionError, match="different version_field= or __shard_key__"):
        await bind(Bare, Counted)
    await bind(Root, Sub)
    sub = await Sub().insert()
    first, second = await Root.get_by_id(sub.id), await Root.get_by_id(sub.id)
    assert isinstance(first, Sub)
    assert isinstance(second, Sub)
    first.size = second.size = 5
    await Root.save_many([first])
    with pytest.raises(StaleDocumentError):
        await second.save()


async def test_relatives_with_other_tag_fields_are_no_family(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        pass

    class Other(Root, tag_field="type", tag="other"):
        pass

    with pytest.raises(DefinitionError, match="are related and share the collection 'Root'"):
        await bind(Root, Other)


async def test_a_class_with_a_collection_of_its_own_leaves_the_family(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        pass

    class Own(Root, tag="own"):
        __collection_name__ = "own"

    class Below(Own, tag="below"):
        pass

    await bind(Root, Own, Below)
    await Root().insert()
    await Own.insert_many([Own(), Below()])
    assert await Root.count() == 1
    assert [type(each) for each in await Own.find_all(sort="_id")] == [Own, Below]
    assert Below.get_collection_name() == "own"
    with pytest.raises(OptionError, match="this is a Own, not a Root"):
        await Root.insert_many([Own()])


async def test_an_abstract_class_in_the_middle_is_no_member(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        pass

    class Middle(Root, abstract=True):
        size: int = 1

    class Leaf(Middle, tag="leaf"):
        pass

    await bind(Root, Leaf)
    await Root.insert_many([Root(), Leaf(size=2)])
    assert [type(each) for each in await Root.find_all(sort="_id")] == [Root, Leaf]
    with pytest.raises(NotBoundError, match="Middle is abstract"):
        await Middle.find_all()


async def test_below_an_abstract_class_each_has_its_collection_unless_that_names_one(
    bind: Bind,
) -> None:
    class Apart(MongoDocument, abstract=True, tag_field="kind"):
        pass

    class One(Apart):
        pass

    class Two(Apart):
        pass

    class Together(MongoDocument, abstract=True, tag_field="kind"):
        __collection_name__ = "together"

    class Red(Together):
        pass

    class Blue(Together):
        pass

    assert (One.get_collection_name(), Two.get_collection_name()) == ("One", "Two")
    await bind(One, Two, Red, Blue)
    await Red().insert()
    await Blue().insert()
    assert [type(each) for each in await Red.find_all()] == [Red]
    assert await Blue.count() == 1
    assert await Blue.delete_many({}) == 1
    assert await Red.count() == 1


# -- indexes


async def test_the_indexes_of_a_family_are_merged(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("name", unique=True)]
        name: str = ""

    class Sub(Root, tag="sub"):
        __indexes__: ClassVar[Sequence[IndexModel]] = [
            IndexModel("size"),
            IndexModel("code", unique=True, partialFilterExpression={"kind": "sub"}),
        ]
        size: int = 0
        code: str = ""

    db = await bind(Root, Sub)
    reply = await db.run_command({"listIndexes": "Root"})
    names = {each["name"] for each in reply["cursor"]["firstBatch"]}
    assert names == {"_id_", "name_1", "size_1", "code_1"}
    await Root(name="a").insert()
    with pytest.raises(DuplicateKeyError):
        await Sub(name="a").insert()
    await Root(name="b").insert()  # it has no code, and need not have one


async def test_a_unique_index_on_a_field_that_a_relative_lacks_is_refused(bind: Bind) -> None:
    class Root(MongoDocument, tag_field="kind", tag="root"):
        name: str = ""

    class Sub(Root, tag="sub"):
        __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("code", unique=True)]
        code: str = ""

    with pytest.raises(
        DefinitionError,
        match=r"Sub.__indexes__: Root has none of the fields of the unique index 'code_1', .* add "
        r"sparse=True, or a partialFilterExpression on 'kind'",
    ):
        await bind(Root, Sub)
