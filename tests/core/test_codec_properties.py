"""Random documents of a class with every type: what is written is what is read."""

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import bson
import msgspec
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongospec_core import MongoDocument, changes
from mongospec_core.codec.codec_options import (
    DECIMAL_CODEC_OPTIONS,
    decode,
    encode,
    encode_query,
)
from mongospec_core.codec.elements import bson_equal, differing_elements, split_elements
from mongospec_core.codec.plan import plan_of
from mongospec_core.model.read import Reader
from mongospec_core.model.snapshot import set_snapshot
from mongospec_core.model.write import encode_document, to_raw_documents
from tests.conftest import Bind
from tests.core.raw import alike
from tests.zoo.everything import Branch, Colour, Everything, Leaf, Level, Mood, Note, Size, Span

numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False)
moments = st.datetimes(
    dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)
) | st.datetimes(
    dt.datetime(1970, 1, 1),
    dt.datetime(2100, 1, 1),
    timezones=st.integers(-14, 14).map(lambda hours: dt.timezone(dt.timedelta(hours=hours))),
)
lengths = st.timedeltas()
prices = st.builds(
    lambda digits, places: Decimal(digits).scaleb(places),
    st.integers(-(10**28) + 1, 10**28 - 1),
    st.integers(-100, 100),
)
keys = st.text(st.characters(codec="utf-8", exclude_characters="\0$."), min_size=1, max_size=5)
leaves = st.builds(Leaf, day=st.dates(), length=lengths, price=st.none() | prices)
anything = st.recursive(
    st.none()
    | st.booleans()
    | numbers
    | reals
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.uuids()
    | prices
    | moments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
documents = st.builds(
    Everything,
    _id=st.builds(ObjectId),
    text=st.text(),
    truth=st.booleans(),
    small=numbers,
    real=reals,
    data=st.binary(),
    moment=st.none() | moments,
    day=st.none() | st.dates(),
    length=st.none() | lengths,
    clock=st.none() | st.times(),
    price=st.none() | prices,
    key=st.none() | st.uuids(),
    other=st.none() | st.builds(ObjectId),
    colour=st.none() | st.sampled_from(Colour),
    level=st.none() | st.sampled_from(Level),
    mood=st.none() | st.sampled_from(Mood),
    names=st.sets(st.text(max_size=3), max_size=3),
    days=st.frozensets(st.dates(), max_size=3),
    pair=st.none() | st.tuples(numbers, lengths),
    row=st.lists(prices, max_size=3).map(tuple),
    span=st.none() | st.builds(Span, st.dates(), st.dates()),
    branch=st.none()
    | st.builds(
        Branch,
        leaves=st.lists(leaves, max_size=2),
        by_day=st.dictionaries(st.dates(), leaves, max_size=2),
        hue=st.sampled_from(Colour),
    ),
    size=st.none() | st.builds(Size, numbers, st.dates()),
    note=st.none()
    | st.fixed_dictionaries({"text": st.text(max_size=3), "took": lengths}).map(
        lambda each: Note(**each)
    ),
    by_number=st.dictionaries(numbers, st.text(max_size=3), max_size=2),
    by_uuid=st.dictionaries(st.uuids(), st.dates(), max_size=2),
    by_colour=st.dictionaries(st.sampled_from(Colour), numbers, max_size=2),
    moments=st.lists(moments, max_size=2),
    anything=anything,
)
PLAN: Any = plan_of(Everything)


def read(data: bytes) -> Everything:
    (document,) = Reader(PLAN, DECIMAL_CODEC_OPTIONS).decode([data])
    return document


@given(documents)
@settings(deadline=None, max_examples=150)
def test_a_document_survives_bson(document: Everything) -> None:
    (raw,) = to_raw_documents(PLAN, [document], validate=True)
    back = read(encode_document(PLAN, raw))
    assert back == document
    assert alike(back, document)


@given(documents)
@settings(deadline=None, max_examples=150)
def test_the_raw_data_of_a_write_are_what_a_read_gets(document: Everything) -> None:
    (raw,) = to_raw_documents(PLAN, [document], validate=True)
    assert bson_equal(decode(encode_document(PLAN, raw)), raw)


@given(documents)
@settings(deadline=None, max_examples=150)
def test_a_document_just_read_has_no_changes(document: Everything) -> None:
    (raw,) = to_raw_documents(PLAN, [document], validate=True)
    assert changes(read(encode_document(PLAN, raw))) == {}


@given(documents)
@settings(deadline=None, max_examples=100)
def test_dump_and_load_are_inverse(document: Everything) -> None:
    to_raw_documents(PLAN, [document], validate=True)
    assert alike(Everything.load(document.dump()), document)


@given(documents, documents)
@settings(deadline=None, max_examples=100)
def test_the_changes_are_the_fields_that_differ(one: Everything, other: Everything) -> None:
    (raw,) = to_raw_documents(PLAN, [one], validate=True)
    document = read(encode_document(PLAN, raw))
    (wanted,) = to_raw_documents(PLAN, [other], validate=True)
    for name in PLAN.encode_names:
        if name != "_id":
            setattr(document, name, getattr(other, name))
    differing = {n for n in wanted if n != "_id" and not bson_equal(wanted[n], raw[n])}
    assert changes(document).keys() == differing


@given(st.lists(documents, max_size=5, unique_by=lambda each: each._id))
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_documents_survive_the_database(bind: Bind, given_: list[Everything]) -> None:
    await bind(Everything)
    await Everything.insert_many(given_)
    for document in given_:
        found = await Everything.find_one({"_id": document.id})
        assert found == document
        assert alike(found, document)
        assert changes(document) == {}
        await document.save()  # nothing changed: nothing to fail
        assert await document.delete() == 1


@pytest.mark.parametrize("more", [{}, {"n": 1}, {"_id": None}])
def test_the_filter_of_an_object_id_is_what_bson_makes_of_it(more: dict[str, Any]) -> None:
    value = {"_id": ObjectId(), **more}
    assert encode_query(value) == encode(value) == bson.encode(value)


fields = st.lists(st.tuples(st.sampled_from("abcd"), anything), max_size=4).map(dict)


@given(fields, fields)
@settings(deadline=None)
def test_two_documents_differ_in_the_elements_that_only_one_of_them_has(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    both = encode(one), encode(other)
    ours, theirs = map(split_elements, both)
    assert [*ours] == [*one]
    assert b"".join(ours.values()) == both[0][4:-1]
    assert differing_elements(*both) == {
        name: (ours.get(name), theirs.get(name))
        for name in ours | theirs
        if ours.get(name) != theirs.get(name)
    }


class Text(str):
    __slots__ = ()


class Count(int):
    __slots__ = ()


class Loss(float):
    __slots__ = ()


class Blob(bytes):
    __slots__ = ()


class Money(Decimal):
    __slots__ = ()


class Moment(dt.datetime):
    """What a library that freezes the clock returns."""


class Sizes(list[Any]):
    """A list of one's own."""


class Headers(dict[str, Any]):
    """A dict of one's own."""


def moment_of(moment: dt.datetime) -> Moment:
    return Moment.combine(moment.date(), moment.timetz()).replace(fold=moment.fold)


class Inner(msgspec.Struct):
    text: str = ""
    moment: dt.datetime | None = None
    prices: list[Decimal] = []


class Mixed(MongoDocument):
    """Each type that BSON has, by itself and at every depth."""

    text: str = ""
    number: int = 0
    real: float = 0.0
    data: bytes = b""
    price: Decimal = Decimal(0)
    moment: dt.datetime | None = None
    texts: list[str] = []
    by_text: dict[str, list[int]] = {}
    pair: tuple[str, float] | None = None
    blobs: set[bytes] = set()
    inner: Inner | None = None
    inners: dict[str, list[Inner]] = {}
    either: str | int | None = None
    anything: Any = None


local_zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]).map(
    ZoneInfo
)
around_changes = st.builds(
    lambda change, minutes, zone, fold, micro: (
        dt.datetime(*change) + dt.timedelta(minutes=minutes, microseconds=micro)
    ).replace(tzinfo=zone, fold=fold),
    st.sampled_from(
        [
            (2026, 3, 29, 2),  # forward in Berlin
            (2026, 10, 25, 2),  # back
            (2026, 3, 8, 2),  # forward in New York
            (2026, 11, 1, 1),  # back
            (2026, 10, 4, 2),  # half an hour forward on Lord Howe
            (2026, 4, 5, 1),  # half an hour back
        ]
    ),
    st.integers(-120, 120),
    local_zones,
    st.integers(0, 1),
    st.integers(0, 999_999),
)
own_texts = st.text(max_size=3).map(Text)
own_counts = numbers.map(Count)
own_losses = reals.map(Loss)
own_blobs = st.binary(max_size=3).map(Blob)
own_prices = prices.map(Money)
own_moments = around_changes.map(moment_of)
inners = st.builds(
    Inner,
    text=own_texts,
    moment=own_moments | around_changes,
    prices=st.lists(own_prices, max_size=2),
)
own = own_texts | own_counts | own_losses | own_blobs | own_prices | own_moments
mixed = st.builds(
    Mixed,
    _id=st.builds(ObjectId),
    text=own_texts,
    number=own_counts,
    real=own_losses,
    data=own_blobs,
    price=own_prices,
    moment=st.none() | own_moments,
    texts=st.lists(own_texts, max_size=2).map(Sizes),
    by_text=st.dictionaries(keys.map(Text), st.lists(own_counts, max_size=2), max_size=2),
    pair=st.none() | st.tuples(own_texts, own_losses),
    blobs=st.sets(own_blobs, max_size=2),
    inner=st.none() | inners,
    inners=st.dictionaries(keys, st.lists(inners, max_size=2), max_size=2).map(Headers),
    either=st.none() | own_texts | own_counts,
    anything=st.recursive(
        own,
        lambda inner: (
            st.lists(inner, max_size=2).map(Sizes)
            | st.dictionaries(keys, inner, max_size=2).map(Headers)
        ),
        max_leaves=5,
    ),
)
MIXED: Any = plan_of(Mixed)
OF_BSON = {str, bool, int, float, bytes, ObjectId, type(None), dt.datetime, Decimal, list, dict}


def types_in(raw: Any) -> set[type]:
    inside = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return {type(raw)}.union(*map(types_in, inside))


@given(mixed)
@settings(deadline=None, max_examples=150)
def test_subclasses_of_what_bson_has_are_stored_as_that_at_every_depth(document: Mixed) -> None:
    (raw,) = to_raw_documents(MIXED, [document], validate=True)
    data = encode_document(MIXED, raw)
    (back,) = Reader(MIXED, DECIMAL_CODEC_OPTIONS).decode([data])
    assert types_in(back.anything) <= OF_BSON
    assert back == document
    set_snapshot(document, data)
    assert changes(back) == {} == changes(document)
    set_snapshot(
        document, encode_document(MIXED, to_raw_documents(MIXED, [back], validate=True)[0])
    )
    assert changes(document) == {}


class Calendar(MongoDocument):
    moment: dt.datetime
    moments: list[dt.datetime] = []
    by_name: dict[str, dt.datetime | None] = {}
    by_moment: dict[dt.datetime, int] = {}
    pair: tuple[dt.datetime, int] | None = None
    inner: Inner | None = None
    seen: set[dt.datetime] = set()
    anything: Any = None


CALENDAR: Any = plan_of(Calendar)


@given(around_changes, around_changes)
@settings(deadline=None, max_examples=200)
def test_datetimes_around_clock_changes_equal_what_is_read(
    one: dt.datetime, other: dt.datetime
) -> None:
    document = Calendar(
        moment=one,
        moments=[one, other],
        by_name={"a": other, "b": None},
        by_moment={one: 1},
        pair=(other, 1),
        inner=Inner(moment=one),
        seen={one},
        anything={"a": [other]},
    )
    (raw,) = to_raw_documents(CALENDAR, [document], validate=True)
    data = encode_document(CALENDAR, raw)
    (back,) = Reader(CALENDAR, DECIMAL_CODEC_OPTIONS).decode([data])
    assert back == document
    assert changes(back) == {}
    set_snapshot(document, data)
    assert changes(document) == {}
    cut = one.astimezone(dt.UTC)
    assert back.moment == cut.replace(microsecond=cut.microsecond // 1000 * 1000)
