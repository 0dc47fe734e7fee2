"""References by names that are known late: modules that refer to each other, classes in functions."""

import importlib
import sys
import uuid
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mongospec_refs import MongoDocument
from tests.conftest import Bind

MODULE = """
from typing import TYPE_CHECKING
import msgspec
from mongospec_refs import MongoDocument
if TYPE_CHECKING:
    from .{other} import {Other}

class {Me}Part(msgspec.Struct):
    other: {quote}{Other} | None{quote} = None

class {Me}(MongoDocument):
    name: str
    other: {quote}{Other} | None{quote} = None
    others: list[{quote}{Other}{quote}] = []
    part: {Me}Part = msgspec.field(default_factory={Me}Part)
"""


@pytest.fixture(params=["future", "plain"])
def modules(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Three modules that refer to each other in a circle, by names for type checkers alone."""
    package = f"circle_{uuid.uuid4().hex[:8]}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    future = "from __future__ import annotations\n" if request.param == "future" else ""
    quote = "" if future or sys.version_info >= (3, 14) else '"'
    names = ("ada", "bob", "cyd")
    for me, other in zip(names, (*names[1:], names[0]), strict=True):
        words = {"Me": me.title(), "other": other, "Other": other.title(), "quote": quote}
        text = future + dedent(MODULE).format(**words)
        (tmp_path / package / f"{me}.py").write_text(text)
    sys.path.insert(0, str(tmp_path))
    try:
        ada, bob, cyd = (
            getattr(importlib.import_module(f"{package}.{name}"), name.title()) for name in names
        )
        yield ada, bob, cyd
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_modules_that_refer_to_each_other_are_bound_in_any_order(
    bind: Bind, modules: tuple[Any, Any, Any], order: tuple[int, ...]
) -> None:
    await bind(*(modules[n] for n in order))
    ada, bob, cyd = modules
    c = await cyd(name="c").insert()
    b = await bob(name="b", other=c, others=[c]).insert()
    a = await ada(name="a", other=b, others=[b]).insert()
    a.part.other = b
    await a.save()
    read = await ada.find_by_id(a.id)
    assert read.other is read.others[0] is read.part.other
    assert type(read.other.other) is cyd


def letters() -> tuple[Any, Any]:
    class Letter(MongoDocument):
        sender: "Sender"

    class Sender(MongoDocument):
        name: str
        best: "Letter | None" = None

    return Letter, Sender


async def test_equally_named_classes_of_many_functions_are_told_apart(bind: Bind) -> None:
    kept: list[Any] = []  # a class that is gone is not in the way
    for number in range(1, 6):
        letter, sender = letters()
        kept += [sender]
        await bind(letter, sender)
        sent = await letter(sender=await sender(name="a").insert()).insert()
        assert type((await letter.find_by_id(sent.id)).sender) is sender
        assert len({id(each) for each in kept}) == number
