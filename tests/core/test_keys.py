"""Keys of dicts: stored as strings, they come back equal and of their type, or are refused."""

import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NewType
from zoneinfo import ZoneInfo

import msgspec
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymongo import UpdateOne

from mongospec_core import (
    DefinitionError,
    DocumentValidationError,
    EncodingError,
    MongoDocument,
    changes,
    register_encoder,
)
from mongospec_core.codec.plan import plan_of
from tests.conftest import Bind
from tests.core.raw import alike, stored


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = "good"


class Email(str):
    """A str of one's own, which needs no encoder."""

    __slots__ = ()


class Slug:
    """Written by an encoder, made again by its constructor."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slug) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Point:
    """Made again by the class's dec_hook."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


@pytest.fixture(autouse=True)
def encoders(registered_encoders: None) -> None:
    """The users' encoders, for these tests alone."""
    register_encoder(Slug, lambda slug: slug.text)
    register_encoder(Point, lambda point: f"{point.x},{point.y}")


UserId = NewType("UserId", int)
Short = Annotated[str, msgspec.Meta(max_length=9)]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)
zones = st.sampled_from(
    [ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]
)
moments = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2100, 1, 1), timezones=zones)
KEYS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, texts),
    "constrained": (Short, texts),
    "int": (int, st.integers()),
    "new type": (UserId, st.integers()),
    "float": (float, st.floats(allow_nan=False)),
    "bool": (bool, st.booleans()),
    "Enum": (Colour, st.sampled_from(Colour)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "StrEnum": (Mood, st.sampled_from(Mood)),
    "Literal": (Literal["a", 7], st.sampled_from(["a", 7])),
    "UUID": (uuid.UUID, st.uuids()),
    "Decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "date": (dt.date, st.dates()),
    "datetime": (dt.datetime, moments),
    "naive datetime": (dt.datetime, st.datetimes()),
    "time": (dt.time, st.times()),
    "timedelta": (dt.timedelta, st.timedeltas()),
    "ObjectId": (ObjectId, st.builds(ObjectId)),
    "Int64": (Int64, st.integers(-(2**63), 2**63 - 1).map(Int64)),
    "own str": (Email, texts.map(Email)),
    "own type by its constructor": (Slug, texts.map(Slug)),
    "own type by dec_hook": (Point, st.builds(Point, st.integers(), st.integers())),
    "optional UUID": (uuid.UUID | None, st.uuids()),
    "optional own type": (Slug | None, texts.map(Slug)),
    "optional date": (dt.date | None, st.dates()),
}


def class_of(key: Any, value: Any = int) -> Any:
    """A document class with dicts that have such keys."""

    def dec_hook(cls: type, tp: Any, text: Any) -> Any:
        if tp is Point:
            return Point(*map(int, text.split(",")))
        raise NotImplementedError(tp)

    namespace = {
        "__annotations__": {"value": dict[key, value], "deep": list[dict[key, dict[key, value]]]},
        "deep": [],
        "dec_hook": classmethod(dec_hook),
        "__module__": __name__,
    }
    return type(MongoDocument)("Row", (MongoDocument,), namespace)


CLASSES = {name: class_of(annotation) for name, (annotation, _) in KEYS.items()}


def copied(value: Any) -> Any:
    return {key: copied(each) for key, each in value.items()} if type(value) is dict else value


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_keys_of_every_accepted_type_come_back_equal_and_of_their_type(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(KEYS)))
    cls, keys = CLASSES[name], KEYS[name][1]
    value = data.draw(st.dictionaries(keys, st.integers(0, 9), max_size=3))
    document = cls(value=copied(value), deep=[{key: copied(value)} for key in value])
    try:
        raw = document.dump()
        plan = plan_of(cls)
        plan.truncate(document)
        back = cls.load(document.dump())
    except EncodingError:  # two keys would be one
        assume(False)
    assert alike(back, document)
    assert back.dump() == raw
    for given_, key in zip(value, document.value, strict=True):
        assert key == given_ or name == "timedelta" or (name == "datetime" and key.tzinfo is dt.UTC)


@pytest.mark.parametrize("name", KEYS)
async def test_keys_come_back_from_the_database_and_show_no_change(bind: Bind, name: str) -> None:
    cls = CLASSES[name]
    await bind(cls)
    key = _EXAMPLES[name]
    one = await cls(value={key: 1}, deep=[{key: {key: 2}}]).insert()
    found = await cls.find_by_id(one.id)
    assert alike(found, one)
    assert changes(found) == {} == changes(one)
    found.deep[0][key][key] = 3
    assert list(changes(found)) == ["deep"]
    await found.save()
    assert alike(await cls.find_by_id(one.id), found)
    assert await cls.find_one({"value": {key: 1}}) == found
    await cls.update_one({"value": {key: 1}}, {"$set": {"value": {key: 5}}})
    await cls.bulk_write([UpdateOne({"value": {key: 5}}, {"$set": {"deep": [{key: {key: 6}}]}})])
    assert alike(await cls.find_one(), cls(_id=one.id, value={key: 5}, deep=[{key: {key: 6}}]))


_EXAMPLES: dict[str, Any] = {
    "str": "a",
    "constrained": "a",
    "int": -7,
    "new type": 7,
    "float": 1.5,
    "bool": True,
    "Enum": Colour.RED,
    "IntEnum": Level.HIGH,
    "StrEnum": Mood.GOOD,
    "Literal": 7,
    "UUID": uuid.UUID(int=7),
    "Decimal": Decimal("1.50"),
    "date": dt.date(2026, 1, 1),
    "datetime": dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=dt.UTC),
    "naive datetime": dt.datetime(2026, 1, 1, 12, 30, 0, 5),
    "time": dt.time(12, 30),
    "timedelta": dt.timedelta(seconds=90),
    "ObjectId": ObjectId(),
    "Int64": Int64(7),
    "own str": Email("a@b.c"),
    "own type by its constructor": Slug("a"),
    "own type by dec_hook": Point(1, -2),
    "optional UUID": uuid.UUID(int=7),
    "optional own type": Slug("a"),
    "optional date": dt.date(2026, 1, 1),
}


async def test_a_key_in_its_own_zone_is_brought_to_utc_in_the_object_too(bind: Bind) -> None:
    cls = CLASSES["datetime"]
    await bind(cls)
    berlin = ZoneInfo("Europe/Berlin")
    twice = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=berlin)
    never = dt.datetime(2026, 3, 29, 2, 30, tzinfo=berlin)
    one = await cls(value={twice: 1, never: 2}).insert()
    assert await cls.find_by_id(one.id) == one
    assert list(one.value) == [twice.astimezone(dt.UTC), never.astimezone(dt.UTC)]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (int | str, "do not tell int and str apart"),
        (dt.date | uuid.UUID | None, "do not tell date and UUID apart"),
        (bytes, "keys of type bytes do not come back"),
        (Decimal128, "keys of type Decimal128 do not come back"),
        (tuple[int, int], "do not come back"),
        (None, "keys of type None do not come back"),
        (complex, "keys of type complex do not come back"),
        (msgspec.defstruct("Frozen", [("x", int)], frozen=True), "keys of type Frozen do not come"),
    ],
)
async def test_keys_that_could_not_come_back_are_refused_by_init(
    bind: Bind, key: Any, words: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"Row\.value: .*{words}"):
        await bind(class_of(key))


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [
        ("str", 1, "a key of type int in place of str"),
        ("int", "1", "a key of type str in place of int"),
        ("Enum", "red", "a key of type str in place of Colour"),
        ("optional UUID", None, "a key of type NoneType in place of UUID"),
        ("optional own type", None, "a key of type NoneType in place of Slug"),
        ("own str", "a@b.c", "a key of type str"),
        ("own type by its constructor", Slug(5), "a key of type Slug, which its text does not"),  # type: ignore[arg-type]
        ("own type by dec_hook", Point(1.5, 2), "a key of type Point, which its text does not"),  # type: ignore[arg-type]
        ("date", dt.datetime(2026, 1, 1, 5), "date"),
    ],
)
async def test_a_key_that_would_come_back_as_another_is_refused(
    bind: Bind, name: str, key: Any, words: str
) -> None:
    cls = CLASSES[name]
    await bind(cls)
    for document in (cls(value={key: 1}), cls(value={}, deep=[{key: {}}])):
        with pytest.raises(DocumentValidationError, match=rf"Row\.(value|deep).*{words}"):
            await document.insert()
    assert await cls.count() == 0


async def test_two_keys_that_would_be_one_are_refused(bind: Bind) -> None:
    cls = CLASSES["timedelta"]
    await bind(cls)
    value = {dt.timedelta(microseconds=1): 1, dt.timedelta(microseconds=2): 2}
    with pytest.raises(EncodingError, match=r"Row\.value.* two keys .* would be one"):
        await cls(value=value).insert()
    assert len(value) == 2


async def test_stored_text_that_is_not_a_key_is_named(bind: Bind) -> None:
    for name, text in (("own type by dec_hook", "1;2"), ("UUID", "no"), ("ObjectId", "no")):
        cls = CLASSES[name]
        await bind(cls)
        await cls.get_collection().insert_one({"value": {text: 1}})
        with pytest.raises(DocumentValidationError, match=r"Row\.value"):
            await cls.find_all()
        await cls.get_collection().drop()


async def test_keys_behind_any_are_text(bind: Bind) -> None:
    class Loose(MongoDocument):
        anything: Any = None
        bare: dict = {}  # type: ignore[type-arg]
        any_key: dict[Any, int] = {}

    await bind(Loose)
    await Loose(anything={1: 2}, bare={dt.date(2026, 1, 1): 1}, any_key={True: 1}).insert()
    (found,) = await Loose.find_all()
    assert (found.anything, found.bare, found.any_key) == ({"1": 2}, {"2026-01-01": 1}, {"true": 1})


async def test_an_encoder_of_a_str_holds_for_keys(bind: Bind) -> None:
    class Path(str):
        __slots__ = ()

    register_encoder(Path, lambda path: path.replace("/", "|"))

    class Disk(MongoDocument):
        sizes: dict[Path, int]

        @classmethod
        def dec_hook(cls, tp: type, value: Any) -> Any:
            return Path(value.replace("|", "/"))

    await bind(Disk)
    disk = await Disk(sizes={Path("/tmp/x"): 1}).insert()
    assert (await stored(Disk))[0]["sizes"] == {"|tmp|x": 1}
    assert alike(await Disk.find_by_id(disk.id), disk)


async def test_dates_of_ones_own_are_refused_as_keys_unless_they_can_be_read(bind: Bind) -> None:
    class Birthday(dt.date):
        pass

    class Guest(MongoDocument):
        gifts: dict[Birthday, str] = {}

    class Friend(MongoDocument):
        gifts: dict[Birthday, str] = {}

        @classmethod
        def dec_hook(cls, tp: type, value: Any) -> Any:
            return Birthday.fromisoformat(value)

    with pytest.raises(DefinitionError, match=r"Guest\.gifts: keys of type Birthday"):
        await bind(Guest)
    await bind(Friend)
    friend = await Friend(gifts={Birthday(2000, 1, 1): "cake"}).insert()
    assert alike(await Friend.find_by_id(friend.id), friend)
