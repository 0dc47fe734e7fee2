"""Checked queries by random documents: what is right is never refused, what is taken can be read."""

import datetime as dt
import uuid
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

from bson import ObjectId, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongospec_core import DocumentValidationError, OptionError
from mongospec_core.codec.paths import PathTree
from mongospec_core.codec.plan import plan_of
from mongospec_core.operations.filter_checks import check_filter
from mongospec_core.operations.path_checks import check_projection, check_sort
from mongospec_core.operations.update_checks import check_update
from tests.core.test_checked_queries import (
    Address,
    Cat,
    Dog,
    Item,
    Level,
    Member,
    Own,
    Role,
    Row,
    Size,
    Span,
)

plan = plan_of(Member)
tree = PathTree(Member, (Member,), plan.dec_hook)

text = st.text("abcxyz", max_size=3)
whole = st.integers(-(2**31), 2**31)
number = st.floats(allow_nan=False, allow_infinity=False, width=32)
moment = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1))
addresses = st.builds(Address, city=text, zip_code=whole)
items = st.builds(Item, name=text, price=number, sizes=st.lists(whole, max_size=2))
free = st.recursive(
    st.none() | whole | text,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(text.filter(bool), inner, max_size=2)
    ),
    max_leaves=4,
)
names = st.sampled_from(["home", "work", "x1"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "email": text,
    "age": whole,
    "created_at": st.none() | moment.map(lambda at: at.replace(tzinfo=dt.UTC)),
    "role": st.sampled_from(Role),
    "level": st.sampled_from(Level),
    "state": st.sampled_from(["new", "old"]),
    "score": number,
    "price": st.none() | st.decimals(-1000, 1000, places=2),
    "took": st.none() | st.timedeltas(dt.timedelta(-9), dt.timedelta(9)),
    "day": st.none() | st.dates(dt.date(1990, 1, 1), dt.date(2040, 1, 1)),
    "clock": st.none() | st.times(),
    "wall": st.none() | moment,
    "key": st.none() | st.uuids(),
    "data": st.binary(max_size=4),
    "active": st.booleans(),
    "short": text,
    "number": st.none() | whole | text,
    "stamp": st.none() | st.builds(Timestamp, st.integers(0, 99), st.integers(0, 99)),
    "tags": st.lists(text, max_size=3),
    "names": st.sets(text, max_size=3),
    "grid": st.lists(st.lists(whole, max_size=2), max_size=2),
    "items": st.lists(items, max_size=2),
    "address": st.none() | addresses,
    "pet": st.none()
    | st.builds(Cat, lives=whole)
    | st.builds(Dog, tricks=st.lists(text, max_size=2)),
    "size": st.none() | st.builds(Size, whole, whole),
    "note": st.none() | st.fixed_dictionaries({"text": text}, optional={"by": text}),
    "span": st.none() | st.builds(Span, whole, text),
    "row": st.none() | st.builds(Row, whole, text),
    "pair": st.none() | st.tuples(whole, text),
    "by_name": st.dictionaries(names, addresses, max_size=2),
    "meta": st.dictionaries(names, free, max_size=2),
    "loose": st.dictionaries(names, free, max_size=2),
    "anything": free,
    "own": st.none() | st.builds(Own, text),
}
STORED = {each.name: each.encode_name for each in plan.fields}
members = st.fixed_dictionaries(VALUES).map(
    lambda values: Member(_id=ObjectId("65f0c0ffee65f0c0ffee0001"), **values)
)


def test_every_field_of_the_class_has_its_values() -> None:
    assert {*VALUES, "_id"} == STORED.keys()


def paths(value: Any, above: str) -> Iterator[tuple[str, Any]]:
    """The paths in raw data, by names and by places, and what stands there."""
    yield above, value
    below = value.items() if isinstance(value, dict) else ()
    below = enumerate(value) if isinstance(value, list) else below
    for name, each in below:
        if str(name):
            yield from paths(each, f"{above}.{name}")


def has_operators(value: Any) -> bool:
    return isinstance(value, dict) and any(str(each).startswith("$") for each in value)


STRICT = ("_id", "took", "wall")
"""Here an int, and a time with a zone, are stored; who writes one means something else."""

SPARE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@SPARE
@given(document=members, data=st.data())
def test_a_filter_by_what_documents_hold_is_never_refused(
    document: Member, data: st.DataObject
) -> None:
    raw = document.dump()
    there = [pair for name, value in raw.items() for pair in paths(value, name)]
    held = [(STORED[name], getattr(document, name)) for name in STORED]
    atoms: list[dict[str, Any]] = [{path: value} for path, value in (*there, *held)]
    for path, value in there:
        atoms += [{path: {operator: value}} for operator in ("$eq", "$ne", "$gt", "$lte")]
        atoms += [{path: {"$in": [value, None]}}, {path: {"$nin": [value]}}]
        atoms += [{path: {"$not": {"$gte": value}}}, {path: {"$exists": True, "$eq": value}}]
    for each in raw["items"]:
        atoms += [{"items": {"$elemMatch": each}}, {"items.name": each["name"]}]
        atoms += [{"items": {"$elemMatch": {"$or": [{"price": {"$lt": each["price"]}}]}}}]
    atoms += [{"tags": {"$all": raw["tags"]}}, {"names": {"$size": 2}}]
    for each in atoms:
        check_filter(tree, each)
    some = data.draw(st.lists(st.sampled_from(atoms), min_size=1, max_size=3))
    for logic in ("$and", "$or", "$nor"):
        check_filter(tree, {logic: [{"$and": some}, *some]})
    check_sort(tree, {path: 1 for path, _ in there})
    check_projection(tree, {path: 1 for path, _ in there})


@SPARE
@given(document=members)
def test_an_update_to_what_documents_hold_is_never_refused(document: Member) -> None:
    raw = document.dump()
    for operator in ("$set", "$setOnInsert", "$min", "$max"):
        for name, value in raw.items():
            if name in STRICT:
                continue
            check_update(tree, {operator: {name: value}})
            for path, below in paths(value, name):
                if not path.endswith(".kind"):
                    check_update(tree, {operator: {path: below}})
    for name in STORED.keys() - {"_id"}:
        check_update(tree, {"$set": {STORED[name]: getattr(document, name)}})
    for name in ("tags", "names", "grid", "items"):
        for each in raw[name]:
            for change in (each, {"$each": [each]}):
                check_update(tree, {"$push": {name: change}})
                check_update(tree, {"$addToSet": {name: change}})
            check_update(tree, {"$pull": {name: each}})
            check_update(tree, {"$pullAll": {name: [each]}})
    for each in document.items:
        check_update(tree, {"$push": {"items": each}, "$pull": {"tags": {"$in": document.tags}}})


junk = st.one_of(*VALUES.values(), free, number, st.just(Decimal("1.5")), st.just(uuid.UUID(int=1)))


def put(raw: Any, path: str, value: Any) -> None:
    """Do what ``$set`` does, to a path that is there."""
    *above, last = path.split(".")
    for name in above:
        raw = raw[int(name)] if isinstance(raw, list) else raw[name]
    raw[int(last) if isinstance(raw, list) else last] = value


@settings(SPARE, max_examples=300)
@given(document=members, data=st.data())
def test_what_is_taken_can_be_read_afterwards(document: Member, data: st.DataObject) -> None:
    raw = document.dump()
    there = [path for name, value in raw.items() for path, _ in paths(value, name)]
    path = data.draw(st.sampled_from([each for each in there if each != "_id"]))
    value = data.draw(junk)
    if ".kind" in path or path.startswith("own") or has_operators(value):  # own: any
        return
    stored = Member(email="", anything=value).dump()["anything"]
    try:
        check_update(tree, {"$set": {path: value}})
    except (DocumentValidationError, OptionError):
        return
    changed = deepcopy(raw)
    put(changed, path, stored)
    Member.load(changed)
