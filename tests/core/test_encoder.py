"""The functions that make raw data of instances: written for each class, readable by people."""

import linecache
import traceback
from typing import Any

import msgspec
import pytest

from mongospec_core import EncodingError, MongoDocument
from mongospec_core.codec.plan import plan_of

Odd = msgspec.defstruct("Odd", [("class", list[int]), ("prénom", str), ("plain", int)])


class Point(msgspec.Struct, array_like=True):
    x: int
    y: int = 0


class Named(msgspec.Struct, rename="camel", omit_defaults=True, tag="named"):
    first_name: str
    nick_name: str | msgspec.UnsetType = msgspec.UNSET
    age: int = 1
    old_names: list[str] = msgspec.field(default_factory=list)
    more: Any = None


class Sparse(msgspec.Struct, array_like=True):
    x: int
    y: int | msgspec.UnsetType = msgspec.UNSET


class Parcel(MongoDocument):
    marks: list[str]
    counts: dict[str, int]
    point: Point | None = None
    named: Named | None = None
    anything: Any = None


def source_of(cls: Any) -> str:
    return "".join(linecache.getlines(plan_of(cls).encode.__code__.co_filename))  # type: ignore[attr-defined]


def test_the_source_of_an_encoder_can_be_read_and_stays_readable() -> None:
    source = source_of(Parcel)
    assert source.startswith("def to_raw(it):\n")
    assert "'marks': None if (value := it.marks) is None else" in source
    linecache.checkcache()
    assert source_of(Parcel) == source


def test_a_traceback_shows_the_line_of_the_field() -> None:
    with pytest.raises(EncodingError) as caught:
        Parcel(marks=[], counts={}, anything={1: 1, "1": 2}).dump()
    shown = "".join(traceback.format_exception(caught.value))
    assert "'anything': None if (value := it.anything) is None else" in shown


def test_raw_data_share_no_list_and_no_dict_with_the_instance() -> None:
    parcel = Parcel(marks=["a"], counts={"b": 1}, named=Named("Ann", old_names=["Anna"]))
    raw = plan_of(Parcel).encode(parcel)
    raw["marks"].append("x")
    raw["counts"]["x"] = 1
    raw["named"]["oldNames"].append("x")
    assert parcel == Parcel(marks=["a"], counts={"b": 1}, named=Named("Ann", old_names=["Anna"]))


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (Point(1, 2), [1, 2]),
        (Sparse(1), [1]),
        (Sparse(1, 2), [1, 2]),
        (Named("Ann"), {"type": "named", "firstName": "Ann"}),
        (
            Named("Ann", "A", 2, ["Anna"], {"x": (1,)}),
            {
                "type": "named",
                "firstName": "Ann",
                "nickName": "A",
                "age": 2,
                "oldNames": ["Anna"],
                "more": {"x": [1]},
            },
        ),
        (
            Odd(**{"class": [1], "prénom": "Zoé", "plain": 1}),
            {"class": [1], "prénom": "Zoé", "plain": 1},
        ),
    ],
)
def test_a_struct_is_written_as_its_options_say(value: Any, raw: Any) -> None:
    encoded = plan_of(type(value)).encode(value)
    assert encoded == raw
    assert type(encoded) is type(raw)
    assert list(encoded) == list(raw)
