"""Random documents of a class with every type: what is written is what is read."""

import datetime as dt
from decimal import Decimal
from typing import Any

from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongospec_core import changes
from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, decode, encode
from mongospec_core.codec.plan import plan_of
from mongospec_core.model.read import Reader
from mongospec_core.model.snapshot import differing_elements, same, split_elements
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
    assert same(decode(encode_document(PLAN, raw)), raw)


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
    differing = {n for n in wanted if n != "_id" and not same(wanted[n], raw[n])}
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
    expected = (
        {name: each for name, each in ours.items() if theirs.get(name) != each},
        {name: each for name, each in theirs.items() if ours.get(name) != each},
    )
    assert differing_elements(*both) == expected
