"""Documents that do not fit: refused at the write, and named at the read."""

import datetime as dt
import pickle
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    BulkInsertError,
    DocumentValidationError,
    EncodingError,
    HookError,
    InvalidDocument,
    MongoDocument,
    MongospecError,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Address, Person, Place


class Bottom(msgspec.Struct):
    number: int


class Middle(msgspec.Struct):
    bottoms: list[Bottom] = []


class Top(msgspec.Struct):
    middles: dict[str, Middle] = {}


class Deep(MongoDocument):
    top: Top | None = None
    price: Decimal | None = None
    numbers: list[int] = []
    short: Annotated[str, msgspec.Meta(max_length=3)] = ""
    anything: Any = None


class Loose(MongoDocument, validate_on_write=False):
    number: int = 0


def lie(value: Any) -> Any:
    """A value that the annotation does not allow, past the type checkers."""
    return value


# -- stored documents


async def test_a_stored_document_that_does_not_fit_is_named(bind: Bind) -> None:
    await bind(Person)
    bad = ObjectId()
    await Person.get_collection().insert_one({"_id": bad, "name": "a", "age": "old"})
    with pytest.raises(DocumentValidationError) as caught:
        await Person.find_one({"_id": bad})
    error = caught.value
    assert (error.document_class, error.id, error.path) == (Person, bad, "age")
    for word in ("Person.age", repr(bad), "int", "on_invalid", "__upgrade__"):
        assert word in str(error)
    assert isinstance(error, msgspec.ValidationError)
    assert isinstance(error, MongospecError)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "a", "tags": ["x", 1]}, "tags[1]"),
        ({"name": "a", "address": {"city": 5}}, "address.city"),
        ({"name": "a", "address": {"city": "r", "place": {"street": "s"}}}, "address.place.zip"),
        (
            {"name": "a", "address": {"city": "r", "place": {"street": "s", "zip": 1.5}}},
            "address.place.zip",
        ),
        ({"name": "a", "address": "Rome"}, "address"),
        ({"_id": "a string", "name": "a"}, "_id"),
    ],
)
async def test_a_read_names_the_field_that_does_not_fit(
    bind: Bind, document: dict[str, Any], path: str
) -> None:
    await bind(Person)
    await Person.get_collection().insert_one(document)
    with pytest.raises(DocumentValidationError) as caught:
        await Person.find_all()
    assert caught.value.path == path
    assert f"Person.{path}" in str(caught.value)
    assert caught.value.failures[0].id is not None


async def fill(bad: set[int], count: int = 10) -> None:
    await Person.get_collection().insert_many(
        [
            {"_id": ObjectId(f"{n:024}"), "name": n if n in bad else "a", "age": n}
            for n in range(count)
        ]
    )


async def test_a_batch_with_bad_documents_names_every_one_of_them(bind: Bind) -> None:
    await bind(Person)
    await fill({2, 5, 6, 7})
    for read in (Person.find_all(), Person.find().to_list(), Person.find().to_list(10)):
        with pytest.raises(DocumentValidationError) as caught:
            await read
        assert [int(str(each.id)) for each in caught.value.failures] == [2, 5, 6, 7]
        assert "and 1 more" in str(caught.value)


async def test_bad_documents_can_be_skipped(bind: Bind) -> None:
    await bind(Person)
    await fill({0, 9})
    kept = list(range(1, 9))
    assert [each.age for each in await Person.find_all(on_invalid="skip")] == kept
    assert [each.age async for each in Person.find(on_invalid="skip")] == kept
    assert await Person.find_one({"age": 9}, on_invalid="skip") is None
    assert await Person.find_by_id(ObjectId(f"{0:024}"), on_invalid="skip") is None


async def test_a_batch_of_only_bad_documents_does_not_end_a_cursor(bind: Bind) -> None:
    await bind(Person)
    await fill({2, 3, 4, 5})
    found = [each.age async for each in Person.find(on_invalid="skip", batch_size=2)]
    assert found == [0, 1, 6, 7, 8, 9]


async def test_a_function_may_put_something_in_a_bad_documents_place(bind: Bind) -> None:
    await bind(Person)
    await fill({3, 4})
    seen: list[InvalidDocument] = []

    def mend(failure: InvalidDocument, raw: Any) -> Person | None:
        seen.append(failure)
        return Person(_id=raw["_id"], name=f"was {raw['name']}") if raw["name"] == 3 else None

    found = await Person.find_all(on_invalid=mend)
    assert [each.name for each in found] == ["a", "a", "a", "was 3", *"aaaaa"]
    assert [(int(str(each.id)), each.path) for each in seen] == [(3, "name"), (4, "name")]


async def test_text_that_is_not_utf8_is_named(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    bad = Person(name="kaputt")
    await Person.insert_many([Person(name="fine"), bad, Person(name="good")])
    with mongo_proxy.rewrite_bson("find", lambda reply: reply.replace(b"kaputt", b"kap\xfftt")):
        with pytest.raises(DocumentValidationError) as caught:
            await Person.find_all()
        assert caught.value.path == "name"
        assert caught.value.id == bad.id
        with pytest.raises(DocumentValidationError):
            await Person.find_one({"name": "kaputt"})
        found = await Person.find_all(on_invalid="skip")
        assert [each.name for each in found] == ["fine", "good"]
        found = [each async for each in Person.find(on_invalid="skip")]
        assert [each.name for each in found] == ["fine", "good"]


async def test_a_date_with_a_time_of_day_is_not_read_as_a_date(bind: Bind) -> None:
    class Born(MongoDocument):
        day: dt.date

    await bind(Born)
    await Born.get_collection().insert_one({"day": dt.datetime(2026, 1, 1, 5, tzinfo=dt.UTC)})
    with pytest.raises(DocumentValidationError) as caught:
        await Born.find_all()
    assert caught.value.path == "day"


# -- writes


def bottom(number: Any) -> Top:
    return Top(middles={"a": Middle(bottoms=[Bottom(1), Bottom(number)])})


async def test_a_write_that_would_not_fit_three_structs_deep_is_refused(bind: Bind) -> None:
    await bind(Deep)
    _id = ObjectId()
    with pytest.raises(DocumentValidationError) as caught:
        await Deep(_id=_id, top=bottom("two")).insert()
    error = caught.value
    assert (error.document_class, error.id) == (Deep, _id)
    # msgspec does not say which key of a dict it was in
    assert error.path == "top.middles[...].bottoms[1].number"
    assert f"Deep.{error.path}" in str(error)
    assert repr(_id) in str(error)
    assert "nothing was written" in str(error)
    assert await stored(Deep) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"numbers": [1, "2"]}, "numbers[1]"),
        ({"numbers": None}, "numbers"),
        ({"numbers": [True]}, "numbers[0]"),
        ({"short": "long"}, "short"),
        ({"price": 1.5}, "price"),
        ({"price": "1.5"}, "price"),
        (
            {"top": {"middles": {"a": {"bottoms": [{"number": "1"}]}}}},
            "top.middles[...].bottoms[0].number",
        ),
    ],
)
async def test_every_write_of_a_document_checks_it(
    bind: Bind, fields: dict[str, Any], path: str
) -> None:
    await bind(Deep)
    good = await Deep().insert()
    before = await stored(Deep)
    bad = Deep(**fields)
    writes = [
        bad.insert(),
        Deep.insert_one(bad),
        Deep.insert_many([Deep(), bad]),
        Deep.insert_if_not_exists(bad, {"short": bad.short}),
        Deep.find_one_and_replace({"_id": good.id}, bad),
    ]
    for write in writes:
        with pytest.raises(DocumentValidationError) as caught:
            await write
        assert caught.value.path == path
        assert caught.value.outcome == "not_applied"
        assert bad.id is None
    for field, value in fields.items():
        setattr(good, field, value)
    with pytest.raises(DocumentValidationError) as caught:
        await good.save()
    assert (caught.value.path, caught.value.id) == (path, good.id)
    assert await stored(Deep) == before


async def test_insert_many_names_every_document_that_does_not_fit(bind: Bind) -> None:
    await bind(Deep)
    documents = [Deep(_id=ObjectId(), numbers=lie([n if n % 2 else "x"])) for n in range(6)]
    with pytest.raises(DocumentValidationError) as caught:
        await Deep.insert_many(documents)
    assert [each.id for each in caught.value.failures] == [each.id for each in documents[::2]]
    assert await stored(Deep) == []


async def test_validation_can_be_switched_off_for_a_class(bind: Bind) -> None:
    await bind(Loose)
    await Loose(number=lie("many")).insert()
    assert (await stored(Loose))[0]["number"] == "many"
    with pytest.raises(DocumentValidationError):
        await Loose(number=lie("many")).insert(validate_on_write=True)


async def test_validation_can_be_switched_off_for_a_call(bind: Bind) -> None:
    await bind(Deep)
    one = await Deep(numbers=lie("many")).insert(validate_on_write=False)
    one.numbers = lie("few")
    await one.save(validate_on_write=False)
    assert (await stored(Deep))[0]["numbers"] == "few"
    with pytest.raises(DocumentValidationError):
        await one.save()


async def test_an_int_beyond_64_bits_names_its_field(bind: Bind) -> None:
    await bind(Deep)
    _id = ObjectId()
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(EncodingError, match=r"Deep\.numbers\[1\].*64 bits") as caught:
            await Deep(_id=_id, numbers=[1, number]).insert()
        assert repr(_id) in str(caught.value)
        assert caught.value.outcome == "not_applied"
    with pytest.raises(EncodingError, match=r"Deep\.top\.middles\.a\.bottoms\[1\]\.number"):
        await Deep.insert_many([Deep(), Deep(top=bottom(2**64))])
    assert await stored(Deep) == []


async def test_an_int_beyond_64_bits_is_refused_in_filters_and_updates(bind: Bind) -> None:
    await bind(Deep)
    one = await Deep(numbers=[1]).insert()
    with pytest.raises(EncodingError, match="64 bits"):
        await Deep.find_one({"numbers": 2**63})
    with pytest.raises(EncodingError, match="64 bits"):
        await Deep.update_by_id(one.id, {"$set": {"numbers": [2**63]}})
    one.numbers = [2**63]
    with pytest.raises(EncodingError, match=r"Deep\.numbers\[0\]"):
        await one.save()
    assert (await Deep.find_by_id(one.id) or one).numbers == [1]


async def test_a_decimal_of_more_than_34_digits_names_its_field(bind: Bind) -> None:
    await bind(Deep)
    with pytest.raises(EncodingError, match=r"Deep\.price.*34 digits"):
        await Deep(price=Decimal("1." + 34 * "1")).insert()
    await Deep(price=Decimal("1." + 33 * "1")).insert()
    assert len(await stored(Deep)) == 1


async def test_a_document_of_more_than_16_mb_is_refused_before_anything_is_sent(
    bind: Bind,
) -> None:
    await bind(Deep)
    big = Deep(anything="x" * (16 * 1024 * 1024))
    for write in (big.insert(), Deep.insert_many([Deep(), big]), Deep.insert_one(big)):
        with pytest.raises(EncodingError, match=r"Deep of _id=.*16,777,216"):
            await write
        assert big.id is None
    assert await stored(Deep) == []


async def test_text_that_utf8_cannot_hold_names_its_field(bind: Bind) -> None:
    await bind(Deep)
    with pytest.raises(EncodingError, match=r"Deep\.anything\.a\[1\]"):
        await Deep(anything={"a": ["b", "\ud800"]}).insert()
    with pytest.raises(EncodingError):
        await Deep.find_one({"short": "\ud800"})
    assert await stored(Deep) == []


async def test_a_value_that_nobody_can_write_is_refused_with_the_way_out(bind: Bind) -> None:
    await bind(Deep)

    class Odd:
        pass

    with pytest.raises(EncodingError, match=r"Deep\.anything\.x.*register_encoder"):
        await Deep(anything={"x": Odd()}).insert()
    with pytest.raises(EncodingError, match="register_encoder"):
        await Deep.find_one({"short": Odd()})
    assert await stored(Deep) == []


async def test_a_key_that_cannot_be_one_is_refused(bind: Bind) -> None:
    await bind(Deep)
    for key in ((1, 2), "a\0b"):
        with pytest.raises(EncodingError, match=r"Deep\.anything"):
            await Deep(anything={"x": {key: 1}}).insert()
    assert await stored(Deep) == []


async def test_a_document_that_was_refused_can_be_mended_and_inserted(bind: Bind) -> None:
    await bind(Deep)
    one = Deep(numbers=lie(["x"]))
    with pytest.raises(DocumentValidationError):
        await one.insert()
    one.numbers = [1]
    await one.insert()
    assert await Deep.find_all() == [one]
    assert changes(one) == {}


async def test_a_struct_inside_any_is_written_as_a_document(bind: Bind) -> None:
    await bind(Deep)
    await Deep(anything=Address(city="Rome", place=Place("Via", 1))).insert()
    (found,) = await Deep.find_all()
    assert found.anything == {"city": "Rome", "place": {"street": "Via", "zip": 1}}


def test_an_error_can_be_pickled_and_says_the_same() -> None:
    error = DocumentValidationError(Deep, [InvalidDocument(1, "a", "b")], "advice")
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.failures) == (str(error), error.failures)
    assert issubclass(BulkInsertError, MongospecError)


async def test_on_invalid_takes_no_async_function(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"_id": ObjectId(), "name": 5})

    async def ask(*_: Any) -> None: ...

    with pytest.raises(HookError, match="on_invalid"):
        await Person.find_all(on_invalid=ask)
