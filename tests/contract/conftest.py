"""The document bases that the contract holds for, and one set of classes for each."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any, ClassVar

import mongojet
import msgspec
import pytest

import mongospec
import mongospec_core
import mongospec_refs
from tests.conftest import Bind

BASES: dict[str, Any] = {  # another base is named here; none is left out in silence
    "mongospec_core": mongospec_core.MongoDocument,
    "mongospec_refs": mongospec_refs.MongoDocument,
    "mongospec": mongospec.MongoDocument,
}


class Kind(Enum):
    SMALL = "small"
    LARGE = "large"


class Box(msgspec.Struct):
    size: int
    made: dt.date | None = None


def classes_of(base: Any) -> Any:
    """The contract's classes, over one base."""

    class Thing(base):
        __collection_name__ = "things"
        __indexes__: ClassVar = [mongojet.IndexModel("code", unique=True)]

        code: str
        price: Decimal | None = None
        kind: Kind = Kind.SMALL
        tags: list[str] = []
        box: Box | None = None
        extra: Any = None
        saves: int = 0

        def __pre_save__(self) -> None:
            self.saves += 1

    class Numbered(base):
        __collection_name__ = "numbers"

        _id: int | None = None
        text: str = ""
        updated: bool = False
        hidden: bool = False

        @classmethod
        async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update.setdefault("$set", {})["updated"] = True
            return update

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {"$and": [filter, {"hidden": {"$ne": True}}]}

    return SimpleNamespace(Thing=Thing, Numbered=Numbered)


@pytest.fixture(params=BASES.values(), ids=BASES.keys())
async def models(request: pytest.FixtureRequest, bind: Bind) -> Any:
    """The classes over each base in turn, bound to this test's database."""
    found = classes_of(request.param)
    await bind(found.Thing, found.Numbered)
    return found
