"""What a reply can suffer: a recipe says it in numbers, so that hypothesis can draw it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import strategies as st

from mongospec_testing.wire import decode, encode

type Recipe = list[tuple[str, int, int]]
"""Kinds of damage, each with its place and with what is put there; both are taken modulo what there is."""

FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
"""Types of BSON whose values have always the same size."""
SIZED = {2: 4, 13: 4, 14: 4, 3: 0, 4: 0, 15: 0, 5: 5}
"""Types whose values begin with their length, and what it does not count."""
LENGTHS = (0, 1, 4, 5, -1, -(2**31), 2**31 - 1, 2**24, 2**16)
TYPES = (*FIXED, *SIZED, 11, 12, 0, 0x20, 0x66, 0x80)


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31 - 1,
        -(2**31),
        Int64(0),
        Int64(2**63 - 1),
        Int64(-(2**63)),
    ),
    *(0.0, 1.5, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, Decimal128("NaN")),
    *(Decimal128("1E+6000"), DatetimeMS(2**62), DatetimeMS(-(2**62)), Timestamp(1, 1), ObjectId()),
    *("", "x", "$x", "a.b", "\0", "\ud7ff", b"", Binary(b"\0" * 3, 4), Binary(b"", 128), MaxKey()),
    *(
        [],
        [None],
        [[]],
        [1, "x"],
        [{}],
        [{"index": -1}],
        [{"index": 2**40, "code": "x"}],
        {},
        {"": ""},
    ),
    *({"a": {"b": [1]}}, {"$ref": 1}, Regex("("), Code("x"), Code("x", {"a": 1}), DBRef("x", 1)),
    *(_deep(90), _deep(150), RawBSONDocument(b"\x05\x00\x00\x00\x00"), ["x"] * 200),
)


def lengths_and_types(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """The elements of a document and of those inside: where its type stands, where its value, and the type."""
    place, end = start + 4, start + int.from_bytes(data[start : start + 4], "little") - 1
    while place < end:
        kind = data[place]
        value = data.index(b"\0", place + 1) + 1
        yield place, value, kind
        if kind in FIXED:
            place = value + FIXED[kind]
        elif kind in SIZED:
            if kind in (3, 4):
                yield from lengths_and_types(data, value)
            place = value + int.from_bytes(data[value : value + 4], "little") + SIZED[kind]
        else:
            return  # rare ones


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each dict or list with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in pairs:
        yield value, key
        if isinstance(inside, dict | list):
            yield from _places(inside)


def _structure_changed(data: bytearray, recipe: Recipe) -> None:
    elements = list(lengths_and_types(bytes(data)))
    sized = [0, *(value for _, value, each in elements if each in SIZED)]
    texts = [value + 4 for _, value, each in elements if each == 2]
    for kind, place, what in recipe:
        if kind == "length":
            start = sized[place % len(sized)]
            data[start : start + 4] = LENGTHS[what % len(LENGTHS)].to_bytes(
                4, "little", signed=True
            )
        elif kind == "length off by one":
            start = sized[place % len(sized)]
            now = int.from_bytes(data[start : start + 4], "little")
            data[start : start + 4] = ((now + (1 if what % 2 else -1)) % 2**32).to_bytes(
                4, "little"
            )
        elif kind == "type" and elements:
            data[elements[place % len(elements)][0]] = TYPES[what % len(TYPES)]
        elif kind == "text" and texts:
            start = texts[place % len(texts)]
            data[start : start + 1] = (b"\xff", b"\0", b"\xc0", b"\xed")[what % 4]


def _bytes_changed(data: bytearray, kind: str, place: int, what: int) -> None:
    at = place % len(data)
    if kind == "flip":
        data[at] ^= 1 << what % 8
    elif kind == "leave out":
        del data[at : at + 1 + what % 9]
    elif kind == "put in":
        data[at:at] = what.to_bytes(8, "little")[: 1 + what % 7]
    else:
        del data[at:]
        if kind == "cut, and its length says so":
            data[:4] = len(data).to_bytes(4, "little")


def _value_changed(body: dict[str, Any], kind: str, place: int, what: int) -> None:
    places = list(_places(body))
    if not places:
        return
    inside, key = places[place % len(places)]
    if kind == "drop":
        del inside[key]
    elif kind == "twice" and isinstance(inside, list):
        inside.append(inside[key])
    else:
        inside[key] = deepcopy(VALUES[what % len(VALUES)])


OF_VALUES = ("value", "drop", "twice")
OF_BYTES = ("flip", "cut", "cut, and its length says so", "leave out", "put in")
OF_STRUCTURE = ("length", "length off by one", "type", "text")


def damaged(recipe: Recipe) -> Callable[[bytes], bytes]:
    """What damages replies by a recipe."""

    def damage(reply: bytes) -> bytes:
        body = decode(reply)
        body.pop(
            "$clusterTime", None
        )  # the driver keeps it: a server refuses all that comes with a damaged one
        for kind, place, what in recipe:
            if kind in OF_VALUES:
                _value_changed(body, kind, place, what)
        data = bytearray(encode(body))
        _structure_changed(data, recipe)
        for kind, place, what in recipe:
            if kind in OF_BYTES and len(data) > 5:
                _bytes_changed(data, kind, place, what)
        return bytes(data) if len(data) > 5 else reply

    return damage


NUMBERS = st.integers(0, 2**16)
RECIPES: st.SearchStrategy[Recipe] = st.lists(
    st.tuples(st.sampled_from((*OF_VALUES, *OF_STRUCTURE, *OF_BYTES)), NUMBERS, NUMBERS),
    min_size=1,
    max_size=3,
)
"""Values weigh as much as bytes: what is not BSON is refused by the driver, what is BSON comes to us."""
