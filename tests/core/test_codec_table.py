"""Every row of the codec's table: what is stored, what comes back, filters and updates."""

import dataclasses
import datetime as dt
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from bson import Int64, ObjectId, Regex

from mongospec_core import MongoDocument, changes
from mongospec_core.codec import codec_options
from mongospec_core.model.binding import binding_of
from tests.conftest import Bind
from tests.core import raw
from tests.core.raw import alike, element
from tests.zoo.everything import Branch, Colour, Leaf, Level, Mood, Note, Size, Span

UTC = dt.UTC
ROME = dt.timezone(dt.timedelta(hours=2))
NOON = dt.datetime(2026, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)
LATER = dt.datetime(2027, 1, 1, tzinfo=UTC)
DAY, NEXT_DAY = dt.date(2026, 5, 1), dt.date(2026, 5, 2)
ID, OTHER_ID = uuid.UUID(int=7), uuid.UUID(int=8)
LEAF = Leaf(day=DAY, length=dt.timedelta(hours=1), price=Decimal("1.50"))


class Row(NamedTuple):
    """One row: an annotation, a value of it, another one, and the BSON type that both have."""

    annotation: Any
    value: Any
    other: Any
    type: int


ROWS = {
    "str": Row(str, "Zoë\0", "b", raw.STRING),
    "bool": Row(bool, True, False, raw.BOOLEAN),
    "int": Row(int, 7, -(2**31), raw.INT32),
    "large int": Row(int, 2**63 - 1, -(2**63), raw.INT64),
    "float": Row(float, 1.0, -2.5, raw.DOUBLE),
    "bytes": Row(bytes, b"\x00\xff", b"", raw.BINARY),
    "ObjectId": Row(ObjectId, ObjectId(), ObjectId(), raw.OBJECT_ID),
    "None": Row(str | None, None, None, raw.NULL),
    "aware datetime": Row(dt.datetime, NOON, LATER, raw.DATE),
    "datetime before 1970": Row(
        dt.datetime, dt.datetime(1890, 1, 1, tzinfo=UTC), dt.datetime(1, 1, 1, tzinfo=UTC), raw.DATE
    ),
    "date": Row(dt.date, DAY, dt.date(1, 1, 1), raw.DATE),
    "timedelta": Row(dt.timedelta, dt.timedelta(days=40), -dt.timedelta(milliseconds=1), raw.INT64),
    "time": Row(dt.time, dt.time(12, 30, 0, 5), dt.time(1, 2), raw.STRING),
    "aware time": Row(dt.time, dt.time(12, 30, tzinfo=UTC), dt.time(1, tzinfo=ROME), raw.STRING),
    "Decimal": Row(Decimal, Decimal("1.10"), Decimal("-1E+30"), raw.DECIMAL128),
    "UUID": Row(uuid.UUID, ID, OTHER_ID, raw.BINARY),
    "Enum": Row(Colour, Colour.RED, Colour.GREEN, raw.STRING),
    "IntEnum": Row(Level, Level.LOW, Level.HIGH, raw.INT32),
    "StrEnum": Row(Mood, Mood.GOOD, Mood.BAD, raw.STRING),
    "set": Row(set[str], {"b", "a"}, {"c"}, raw.ARRAY),
    "set of Enum": Row(set[Colour], {Colour.RED}, {Colour.GREEN, Colour.RED}, raw.ARRAY),
    "frozenset": Row(frozenset[dt.date], frozenset({DAY}), frozenset({NEXT_DAY}), raw.ARRAY),
    "tuple": Row(tuple[int, dt.date], (1, DAY), (2, NEXT_DAY), raw.ARRAY),
    "long tuple": Row(tuple[Decimal, ...], (Decimal(1), Decimal("2.0")), (), raw.ARRAY),
    "NamedTuple": Row(Span, Span(DAY, NEXT_DAY), Span(DAY, DAY), raw.ARRAY),
    "list": Row(list[dt.timedelta], [dt.timedelta(1)], [], raw.ARRAY),
    "Struct": Row(Leaf, LEAF, Leaf(day=NEXT_DAY, length=dt.timedelta(0)), raw.DOCUMENT),
    "deep Struct": Row(
        Branch, Branch(leaves=[LEAF], by_day={DAY: LEAF}, hue=Colour.GREEN), Branch(), raw.DOCUMENT
    ),
    "dataclass": Row(Size, Size(1, DAY), Size(2, NEXT_DAY), raw.DOCUMENT),
    "TypedDict": Row(
        Note,
        Note(text="a", took=dt.timedelta(1)),
        Note(text="b", took=dt.timedelta(2)),
        raw.DOCUMENT,
    ),
    "dict by str": Row(dict[str, dt.date], {"a": DAY}, {"b": NEXT_DAY}, raw.DOCUMENT),
    "dict by int": Row(dict[int, str], {1: "a", -2: "b"}, {3: "c"}, raw.DOCUMENT),
    "dict by UUID": Row(dict[uuid.UUID, int], {ID: 1}, {OTHER_ID: 2}, raw.DOCUMENT),
    "dict by Enum": Row(dict[Colour, int], {Colour.RED: 1}, {Colour.GREEN: 2}, raw.DOCUMENT),
    "dict by IntEnum": Row(dict[Level, int], {Level.LOW: 1}, {Level.HIGH: 2}, raw.DOCUMENT),
    "dict by StrEnum": Row(dict[Mood, int], {Mood.GOOD: 1}, {Mood.BAD: 2}, raw.DOCUMENT),
    "dict by date": Row(dict[dt.date, Leaf], {DAY: LEAF}, {NEXT_DAY: LEAF}, raw.DOCUMENT),
    "dict by datetime": Row(dict[dt.datetime, int], {LATER: 1}, {NOON: 2}, raw.DOCUMENT),
    "dict by ObjectId": Row(dict[ObjectId, int], {ObjectId(): 1}, {ObjectId(): 2}, raw.DOCUMENT),
    "dict by bool": Row(dict[bool, int], {True: 1, False: 0}, {False: 1}, raw.DOCUMENT),
    "dict of dicts": Row(
        dict[int, dict[uuid.UUID, set[int]]], {1: {ID: {1, 2}}}, {2: {}}, raw.DOCUMENT
    ),
    "optional": Row(Decimal | None, Decimal(1), Decimal(2), raw.DECIMAL128),
    "union": Row(int | dt.date | None, DAY, NEXT_DAY, raw.DATE),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def class_of(annotation: Any) -> Any:
    """A document class with one field, ``value``."""
    namespace = {"__annotations__": {"value": annotation}, "__module__": __name__}
    return type(MongoDocument)("Row", (MongoDocument,), namespace)


@each_row
async def test_a_value_is_stored_as_its_bson_type(bind: Bind, row: Row) -> None:
    cls = class_of(row.annotation)
    db = await bind(cls)
    await cls(value=row.value).insert()
    assert (await element(db, "Row", "value"))[0] == row.type


@each_row
async def test_a_value_comes_back_equal_and_of_its_type(bind: Bind, row: Row) -> None:
    cls = class_of(row.annotation)
    await bind(cls)
    given = await cls(value=row.value).insert()
    (found,) = await cls.find_all()
    assert alike(found.value, row.value)
    assert alike(given, found)  # the one that was written, too, is what is stored
    assert changes(found) == {} == changes(given)


@each_row
async def test_a_value_can_stand_in_a_filter(bind: Bind, row: Row) -> None:
    cls = class_of(row.annotation)
    await bind(cls)
    one = await cls(value=row.value).insert()
    assert await cls.find_all({"value": row.value}) == [one]
    assert await cls.find_all({"value": {"$in": [row.value]}}) == [one]
    assert await cls.count({"$or": [{"value": {"$eq": row.value}}]}) == 1
    if not alike(row.value, row.other):
        assert await cls.find_all({"value": row.other}) == []


@each_row
async def test_a_value_can_stand_in_an_update(bind: Bind, row: Row) -> None:
    cls = class_of(row.annotation)
    db = await bind(cls)
    one = await cls(value=row.value).insert()
    await cls.update_one({"_id": one.id}, {"$set": {"value": row.other}})
    assert (await element(db, "Row", "value"))[0] == row.type
    found = await cls.find_by_id(one.id)
    assert alike(found.value, row.other)
    await cls.update_by_id(one.id, [{"$set": {"value": {"$literal": row.value}}}])
    assert alike((await cls.find_by_id(one.id)).value, row.value)
    again = await cls.find_one_and_update({"_id": one.id}, {"$set": {"value": row.other}})
    assert alike(again.value, row.other)


@each_row
async def test_a_value_can_be_saved_in_place_of_another(bind: Bind, row: Row) -> None:
    cls = class_of(row.annotation)
    await bind(cls)
    one = await cls(value=row.value).insert()
    one.value = row.other
    await one.save()
    assert alike((await cls.find_by_id(one.id)).value, row.other)
    assert changes(one) == {}


@each_row
async def test_a_value_can_stand_in_a_list_a_dict_and_a_struct(bind: Bind, row: Row) -> None:
    Holder = msgspec.defstruct("Holder", [("inner", row.annotation)])  # noqa: N806
    cls = class_of(tuple[list[row.annotation], dict[int, row.annotation], Holder])
    await bind(cls)
    value = ([row.value, row.other], {1: row.value}, Holder(row.other))
    given = await cls(value=value).insert()
    (found,) = await cls.find_all()
    assert alike(found.value, value)
    assert changes(found) == {} == changes(given)


@each_row
async def test_a_value_can_stand_in_a_field_of_any_type(bind: Bind, row: Row) -> None:
    cls = class_of(Any)
    db = await bind(cls)
    given = await cls(value=row.value).insert()
    assert (await element(db, "Row", "value"))[0] == row.type
    (found,) = await cls.find_all()
    assert changes(found) == {} == changes(given)
    assert plain(found.value)


def plain(value: Any) -> bool:
    """Only types that BSON has, as Python's own."""
    if isinstance(value, Mapping):
        return type(value) is dict and all(map(plain, value.values()))
    if isinstance(value, list):
        return all(map(plain, value))
    known = (str, bool, int, float, bytes, ObjectId, type(None), dt.datetime, Decimal, uuid.UUID)
    return type(value) in known


async def test_a_uuid_is_binary_of_subtype_4_and_bytes_of_subtype_0(bind: Bind) -> None:
    Ids, Blobs = class_of(uuid.UUID), class_of(bytes)  # noqa: N806
    Blobs.__collection_name__ = "Blobs"
    db = await bind(Ids, Blobs)
    await Ids(value=ID).insert()
    await Blobs(value=b"ab").insert()
    assert (await element(db, "Row", "value"))[1] == b"\x10\0\0\0\x04" + ID.bytes
    assert (await element(db, "Blobs", "value"))[1] == b"\x02\0\0\0\x00ab"


async def test_a_datetime_comes_back_in_utc_cut_to_milliseconds(bind: Bind) -> None:
    cls = class_of(dt.datetime)
    await bind(cls)
    there = dt.datetime(2026, 5, 1, 14, 0, 0, 123_999, tzinfo=ROME)
    given = await cls(value=there).insert()
    (found,) = await cls.find_all()
    assert found.value == NOON == given.value
    assert found.value.utcoffset() == dt.timedelta(0)
    assert await cls.find_one({"value": there}) == found


async def test_a_datetime_is_cut_down_also_before_1970(bind: Bind) -> None:
    cls = class_of(dt.datetime)
    await bind(cls)
    early = dt.datetime(1960, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC)
    given = await cls(value=early).insert()
    (found,) = await cls.find_all()
    assert found.value == given.value == early.replace(microsecond=1_000)
    assert await cls.find_one({"value": early}) == found


async def test_a_naive_datetime_counts_as_utc(bind: Bind) -> None:
    cls = class_of(dt.datetime)
    await bind(cls)
    given = await cls(value=NOON.replace(tzinfo=None)).insert()
    (found,) = await cls.find_all()
    assert found.value == NOON == given.value


async def test_a_timedelta_is_milliseconds_and_cut_like_a_datetime(bind: Bind) -> None:
    cls = class_of(dt.timedelta)
    db = await bind(cls)
    given = await cls(value=dt.timedelta(seconds=1, microseconds=999)).insert()
    assert (await element(db, "Row", "value"))[1] == (1_000).to_bytes(8, "little")
    (found,) = await cls.find_all()
    assert found.value == given.value == dt.timedelta(seconds=1)
    negative = await cls(value=dt.timedelta(microseconds=-1)).insert()
    assert (await cls.find_by_id(negative.id)).value == negative.value


async def test_a_timedelta_sorts_and_compares_by_its_length(bind: Bind) -> None:
    cls = class_of(dt.timedelta)
    await bind(cls)
    await cls.insert_many([cls(value=dt.timedelta(hours=hours)) for hours in (30, 2, 11)])
    found = await cls.find_all({"value": {"$gt": dt.timedelta(hours=3)}}, sort="value")
    assert [each.value.total_seconds() / 3600 for each in found] == [11, 30]


async def test_a_timedelta_reads_what_subtract_of_two_dates_gives(bind: Bind) -> None:
    cls = class_of(dt.timedelta)
    await bind(cls)
    one = await cls(value=dt.timedelta(0)).insert()
    await cls.update_by_id(one.id, [{"$set": {"value": {"$subtract": [LATER, NOON]}}}])
    assert (await cls.find_by_id(one.id)).value == LATER - NOON


async def test_a_timedelta_that_another_program_stored_as_int32_can_be_read(bind: Bind) -> None:
    cls = class_of(dt.timedelta)
    await bind(cls)
    await cls.get_collection().insert_one({"value": 1500})
    (found,) = await cls.find_all()
    assert found.value == dt.timedelta(seconds=1.5)


async def test_any_keeps_what_bson_has_as_plain_python(bind: Bind) -> None:
    cls = class_of(Any)
    await bind(cls)
    kept = {"n": Int64(2**40), "d": Decimal("1.0"), "l": [1, {"u": ID}], "r": Regex("a", "i")}
    await cls(value=kept).insert()
    (found,) = await cls.find_all()
    assert alike(found.value, {**kept, "n": 2**40})


async def test_a_field_of_any_type_that_was_read_shares_nothing_with_its_stored_form(
    bind: Bind,
) -> None:
    cls = class_of(Any)
    await bind(cls)
    await cls(value={"list": [1]}).insert()
    (found,) = await cls.find_all()
    found.value["list"].append(2)
    assert changes(found) == {"value": {"list": [1, 2]}}


@pytest.mark.parametrize("expected", [set[str], frozenset[str], tuple[str, ...]])
async def test_a_set_is_unchanged_whatever_its_order_in_the_database(
    bind: Bind, expected: Any
) -> None:
    cls = class_of(expected)
    await bind(cls)
    await cls.get_collection().insert_one({"value": ["c", "a", "b"]})
    (found,) = await cls.find_all()
    assert changes(found) == {}


class Moment(msgspec.Struct, frozen=True):
    when: dt.datetime


@dataclasses.dataclass(frozen=True)
class Lapse:
    took: dt.timedelta


async def test_frozen_values_in_a_set_are_cut_and_can_still_be_found(bind: Bind) -> None:
    cls = class_of(tuple[set[Moment], frozenset[Lapse]])
    await bind(cls)
    moment = Moment(NOON.replace(microsecond=123_456))
    lapse = Lapse(dt.timedelta(microseconds=1_500))
    given = await cls(value=({moment}, frozenset({lapse}))).insert()
    (found,) = await cls.find_all()
    assert found.value == given.value
    assert found.value[0] == {Moment(NOON)}
    assert found.value[1] == {Lapse(dt.timedelta(milliseconds=1))}
    assert Moment(NOON) in given.value[0]
    assert moment.when.microsecond == 123_456  # what is frozen stays as it is


@pytest.fixture
def in_rome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is not UTC."""
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_rome")
async def test_a_naive_datetime_warns_where_local_time_is_not_utc(bind: Bind) -> None:
    cls = class_of(dt.datetime)
    await bind(cls)
    naive = NOON.replace(tzinfo=None)
    with pytest.warns(UserWarning, match=r"Row\.value holds a naive datetime.*now\(UTC\)"):
        one = await cls(value=naive).insert()
    assert one.value == NOON
    await cls(value=NOON).insert()  # an aware one warns of nothing: warnings are errors here


@pytest.mark.usefixtures("in_rome")
async def test_many_naive_datetimes_of_a_field_warn_once(bind: Bind) -> None:
    cls = class_of(list[dt.datetime])
    await bind(cls)
    naive = NOON.replace(tzinfo=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        await cls.insert_many([cls(value=[naive, naive]) for _ in range(5)])
    assert len([each for each in caught if "naive" in str(each.message)]) == 1


@pytest.mark.usefixtures("in_rome")
async def test_a_field_that_says_naive_stays_naive_and_warns_of_nothing(bind: Bind) -> None:
    cls = class_of(Annotated[dt.datetime, msgspec.Meta(tz=False)])
    await bind(cls)
    naive = dt.datetime(2026, 5, 1, 12, 0, 0, 123_456)
    one = await cls(value=naive).insert()
    (found,) = await cls.find_all()
    assert found.value == one.value == naive.replace(microsecond=123_000)
    assert changes(found) == {}


class Address(msgspec.Struct):
    city: str = ""


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, codec_options.CODEC_OPTIONS),
        (list[dict[str, str]], codec_options.CODEC_OPTIONS),
        (Address, codec_options.CODEC_OPTIONS),
        (Decimal, codec_options.DECIMAL_CODEC_OPTIONS),
        (list[Decimal | None], codec_options.DECIMAL_CODEC_OPTIONS),
        (dict[str, Any], codec_options.DECIMAL_CODEC_OPTIONS),
        (Any, codec_options.DECIMAL_CODEC_OPTIONS),
    ],
)
async def test_only_a_class_that_can_hold_decimals_pays_for_them(
    bind: Bind, annotation: Any, expected: Any
) -> None:
    cls: Any = type(MongoDocument)(
        "Flat", (MongoDocument,), {"__annotations__": {"value": annotation}, "__module__": __name__}
    )
    await bind(cls)
    assert binding_of(cls).target.codec is expected
