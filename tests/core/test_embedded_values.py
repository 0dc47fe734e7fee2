"""Values inside of documents: of the class that their field says, or refused before anything is sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from pymongo import InsertOne, ReplaceOne

from mongospec_core import (
    DocumentValidationError,
    EncodingError,
    MongoDocument,
    UnknownFieldError,
    changes,
)
from tests.conftest import Bind
from tests.core.raw import alike, stored


class Pet(msgspec.Struct, frozen=True):
    name: str


class Dog(Pet, frozen=True):
    tricks: int = 0


class Car(msgspec.Struct, frozen=True):
    """No relation at all."""

    name: str
    wheels: int = 4


@dataclass(frozen=True)
class Toy:
    name: str


@dataclass(frozen=True)
class Ball(Toy):
    size: int = 1


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Bird(msgspec.Struct, tag="bird"):
    name: str


class Parrot(Bird, tag="bird"):
    words: int = 0


class Box[T](msgspec.Struct):
    value: T


@dataclass
class Crate[T]:
    value: T
    more: list[T] = field(default_factory=list)


@dataclass
class DateCrate(Crate[date]):
    label: str = ""


class Pair[T](NamedTuple):
    first: T
    rest: Sequence[T] = ()


class DatePair(Pair[date]):
    """A subclass, which says what T is."""


class Tray[T](TypedDict):
    value: T


class DateTray(Tray[date], total=False):
    took: timedelta


class Place(NamedTuple):
    pet: Pet
    since: date


class Note(TypedDict):
    pet: Pet


class LongNote(Note):
    """To type checkers a Note as well."""

    text: str


@dataclass
class House:
    pet: Pet
    toys: list[Toy] = field(default_factory=list)


class Owner(MongoDocument):
    pet: Pet | None = None
    pets: list[Pet] = []
    named: dict[str, Pet] = {}
    pair: tuple[Pet, ...] = ()
    toy: Toy | None = None
    toys: list[Toy | None] = []
    kinds: set[Pet] = set()
    frozen: frozenset[Toy] = frozenset()
    fixed: tuple[int, Pet] | None = None
    place: Place | None = None
    note: Note | None = None
    box: Box[Pet] | None = None
    crate: Crate[Pet] | None = None
    tray: Tray[Pet] | None = None
    house: House | None = None
    houses: dict[str, list[House]] = {}
    either: Cat | Bird | None = None
    mixed: int | list[Pet] | Toy | None = None
    counts: dict[str, int] = {}
    numbers: list[int] = []


REX, TOM, BALL, BLOCK = Dog("Rex"), Pet("Tom"), Ball("b"), Toy("t")
REFUSED: list[tuple[str, Any, str]] = [
    ("pet", REX, "pet .*: a Dog in place of a Pet"),
    ("pet", Car("VW"), "pet .*: a Car in place of a Pet"),
    ("pet", BLOCK, "pet .*: a Toy in place of a Pet"),
    ("pets", [TOM, REX], r"pets\[1\] .*: a Dog in place of a Pet"),
    ("pets", (REX,), r"pets\[0\] .*: a Dog in place of a Pet"),
    ("named", {"a": REX}, r"named\[\.\.\.\] .*: a Dog in place of a Pet"),
    ("pair", (REX,), r"pair\[0\] .*: a Dog in place of a Pet"),
    ("toy", BALL, "toy .*: a Ball in place of a Toy"),
    ("toy", TOM, "toy .*: a Pet in place of a Toy"),
    ("toys", [None, BALL], r"toys\[1\] .*: a Ball in place of a Toy"),
    ("kinds", {REX}, r"kinds\[0\] .*: a Dog in place of a Pet"),
    ("frozen", frozenset({BALL}), r"frozen\[0\] .*: a Ball in place of a Toy"),
    ("fixed", (1, REX), r"fixed\[1\] .*: a Dog in place of a Pet"),
    ("fixed", [1, REX], r"fixed\[1\] .*: a Dog in place of a Pet"),
    ("place", Place(REX, date(2026, 1, 1)), r"place\[0\] .*: a Dog in place of a Pet"),
    ("note", {"pet": REX}, r"note\.pet .*: a Dog in place of a Pet"),
    ("note", LongNote(pet=TOM, text="a"), "note .*: other keys than those of Note: pet"),
    ("box", Box[Pet](REX), r"box\.value .*: a Dog in place of a Pet"),
    ("crate", Crate[Pet](REX), r"crate\.value .*: a Dog in place of a Pet"),
    ("crate", Crate[Pet](TOM, [TOM, REX]), r"crate\.more\[1\] .*: a Dog in place of a Pet"),
    ("tray", {"value": REX}, r"tray\.value .*: a Dog in place of a Pet"),
    ("house", House(REX), r"house\.pet .*: a Dog in place of a Pet"),
    ("house", House(TOM, [BALL]), r"house\.toys\[0\] .*: a Ball in place of a Toy"),
    ("houses", {"a": [House(REX)]}, r"houses.*\.pet .*: a Dog in place of a Pet"),
    ("either", Parrot("P"), "either .*: a Parrot in place of a Cat or Bird"),
    ("mixed", [REX], r"mixed\[0\] .*: a Dog in place of a Pet"),
    ("mixed", BALL, "mixed .*: a Ball in place of a int or list or Toy"),
    ("counts", Box(1), "counts .*: a Box in place of a dict"),
    ("numbers", Box(1), "numbers .*: a Box in place of a list"),
]
each_refused = pytest.mark.parametrize(
    ("name", "value", "words"),
    REFUSED,
    ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(REFUSED)],
)


def owner(name: str, value: Any) -> Owner:
    return Owner(**{name: value})


@each_refused
async def test_an_embedded_value_of_another_class_is_refused(
    bind: Bind, name: str, value: Any, words: str
) -> None:
    await bind(Owner)
    with pytest.raises(DocumentValidationError, match=rf"Owner\.{words}.*nothing was written"):
        await owner(name, value).insert()
    assert await Owner.count() == 0
    saved = await Owner().insert()
    setattr(saved, name, value)
    with pytest.raises(DocumentValidationError, match=words):
        await saved.save()
    assert await stored(Owner) == [Owner(_id=saved.id).dump()]


WRITES: dict[str, Callable[[Owner, Owner], Any]] = {
    "insert_many": lambda new, old: Owner.insert_many([Owner(), new]),
    "save upsert": lambda new, old: new.save(upsert=True),
    "save_many": lambda new, old: Owner.save_many([old]),
    "insert_if_not_exists": lambda new, old: Owner.insert_if_not_exists(new, filter={"pets": []}),
    "bulk insert": lambda new, old: Owner.bulk_write([InsertOne(new)]),
    "bulk replace": lambda new, old: Owner.bulk_write([ReplaceOne({"_id": old.id}, new)]),
    "find_one_and_replace": lambda new, old: Owner.find_one_and_replace({"_id": old.id}, old),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_every_write_of_a_document_refuses_it(
    bind: Bind, write: Callable[[Owner, Owner], Any]
) -> None:
    await bind(Owner)
    old = await Owner().insert()
    before = await stored(Owner)
    old.fixed = (1, REX)
    with pytest.raises(DocumentValidationError, match=r"fixed\[1\].*a Dog in place of a Pet"):
        await write(Owner(fixed=(1, REX)), old)
    assert await stored(Owner) == before


async def test_a_write_without_validation_refuses_it_by_the_same_words(bind: Bind) -> None:
    await bind(Owner)
    with pytest.raises(
        EncodingError, match=r"Owner\.place\[0\] of _id=.*: a Dog in place of a Pet"
    ):
        await Owner(place=Place(REX, date(2026, 1, 1))).insert(validate_on_write=False)
    assert await Owner.count() == 0


@each_refused
def test_dump_and_changes_refuse_it_as_well(name: str, value: Any, words: str) -> None:
    reason = words.rpartition(": ")[2] if "other keys" not in words else "other keys"
    with pytest.raises(EncodingError, match=rf"Owner\.{name}\b.*: .*{reason}"):
        owner(name, value).dump()
    document = Owner.load({})
    setattr(document, name, value)
    with pytest.raises((EncodingError, DocumentValidationError), match=reason):
        changes(document)


@each_refused
async def test_a_bulk_write_of_dicts_refuses_it_as_well(
    bind: Bind, name: str, value: Any, words: str
) -> None:
    reason = words.rpartition(": ")[2] if "other keys" not in words else "no field|other keys"
    await bind(Owner)
    for operation in (InsertOne({name: value}), ReplaceOne({}, {name: value}, upsert=True)):
        with pytest.raises(
            (EncodingError, DocumentValidationError, UnknownFieldError), match=reason
        ):
            await Owner.bulk_write([operation])
    assert await Owner.count() == 0


@pytest.mark.parametrize(
    ("document", "meant"),
    [({"pett": None}, "pet"), ({"pet": {"name": "Tom", "nmae": "x"}}, "pet.name")],
)
async def test_a_bulk_write_of_a_dict_refuses_fields_that_a_read_would_drop(
    bind: Bind, document: dict[str, Any], meant: str
) -> None:
    await bind(Owner)
    for operation in (InsertOne(document), ReplaceOne({}, document, upsert=True)):
        with pytest.raises(UnknownFieldError, match=rf'did you mean "{meant}"'):
            await Owner.bulk_write([operation])
    assert await Owner.count() == 0
    await Owner.bulk_write([InsertOne(document)], check=False)
    assert await Owner.count() == 1


TAKEN: list[tuple[str, Any]] = [
    ("pet", TOM),
    ("pets", [TOM]),
    ("named", {"a": TOM}),
    ("pair", (TOM, TOM)),
    ("toy", BLOCK),
    ("toys", [None, BLOCK]),
    ("kinds", {TOM, Pet("Kit")}),
    ("frozen", frozenset({BLOCK})),
    ("fixed", (1, TOM)),
    ("place", Place(TOM, date(2026, 1, 1))),
    ("note", Note(pet=TOM)),
    ("box", Box[Pet](TOM)),
    ("crate", Crate[Pet](TOM, [TOM])),
    ("tray", Tray[Pet](value=TOM)),
    ("house", House(TOM, [BLOCK])),
    ("houses", {"a": [House(TOM)]}),
    ("either", Bird("b")),
    ("mixed", [TOM]),
    ("mixed", BLOCK),
    ("mixed", 7),
]


@pytest.mark.parametrize(("name", "value"), TAKEN, ids=[each for each, _ in TAKEN])
async def test_a_value_of_the_fields_class_comes_back(bind: Bind, name: str, value: Any) -> None:
    await bind(Owner)
    one = await owner(name, value).insert()
    found = await Owner.find_by_id(one.id)
    assert alike(found, one)
    assert changes(found) == {} == changes(one)


async def test_parts_with_type_parameters_are_stored_by_what_these_are(bind: Bind) -> None:
    day = date(2026, 1, 1)

    class Parts(MongoDocument):
        crate: Crate[date]
        dates: DateCrate
        took: list[Crate[timedelta]]
        pair: Pair[date]
        sub: DatePair
        tray: Tray[date]
        wide: DateTray
        deep: Crate[Pair[Tray[date]]]

    await bind(Parts)
    parts = await Parts(
        crate=Crate(day, [day]),
        dates=DateCrate(day, [day], "a"),
        took=[Crate(timedelta(days=1))],
        pair=Pair(day, [day]),
        sub=DatePair(day),
        tray={"value": day},
        wide={"value": day, "took": timedelta(hours=1)},
        deep=Crate(Pair({"value": day}, [{"value": day}])),
    ).insert()
    found = await Parts.find_by_id(parts.id)
    assert alike(found.pair.rest, [day])
    assert found.deep.value.rest == [{"value": day}]
    empty = {"pair", "sub", "deep"}  # an empty Sequence comes back as a list
    assert all(getattr(found, n) == getattr(parts, n) for n in set(Parts.__struct_fields__) - empty)
    assert changes(parts) == {}
    assert await Parts.count({"deep.value": Pair({"value": day}, [{"value": day}])}) == 1


async def test_a_short_array_of_a_named_tuple_with_defaults_is_read(bind: Bind) -> None:
    class Trip(MongoDocument):
        legs: Pair[date]

    await bind(Trip)
    day = date(2026, 1, 1)
    raw = Trip(legs=Pair(day)).dump()
    await Trip.get_collection().insert_one({"legs": raw["legs"][:1]})
    (found,) = await Trip.find_all()
    assert found.legs == Pair(day)
