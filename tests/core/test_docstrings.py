"""The examples of every public docstring run, and each public name has one."""

import datetime as dt
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import mongojet
import msgspec
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pymongo import DeleteOne, InsertOne, UpdateMany

import mongospec_core
from mongospec_core import MongoDocument
from mongospec_testing import MongoServer
from tests.conftest import Bind
from tests.readme_blocks import Block

_BLOCK = re.compile(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)")


def documented() -> Iterator[tuple[str, str]]:
    """Every public class, function and method of core, with its docstring."""
    for name in mongospec_core.__all__:
        value = getattr(mongospec_core, name)
        yield name, inspect.getdoc(value) or ""
        if isinstance(value, type) and not issubclass(value, Exception):
            for member in dir(value):
                method = getattr(value, member)
                ours = str(getattr(method, "__module__", "")).startswith("mongospec")
                if not member.startswith("_") and inspect.isroutine(method) and ours:
                    yield f"{name}.{member}", inspect.getdoc(method) or ""


ERRORS = {name for name in mongospec_core.__all__ if name.endswith("Error")}


MAPPINGS = {"type_decoders", "type_encoders"}


EXAMPLES = {
    name: textwrap.dedent(found[1])
    for name, text in documented()
    for found in _BLOCK.finditer(f"{text}\n")
}


class Address(msgspec.Struct):
    city: str = ""


class User(MongoDocument):
    __indexes__: ClassVar = [IndexModel("email", unique=True)]

    name: str
    email: str = ""
    age: int = 0
    visits: int = 0
    active: bool = True
    city: str = "Oslo"
    address: Address | None = None


class Job(MongoDocument):
    state: str = "waiting"
    created_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


class Account(MongoDocument):
    _id: int | None = None
    balance: int = 0


class Order(MongoDocument):
    sku: str


class Stock(Order):
    __collection_name__ = "stock"

    left: int = 0


class LogEntry(MongoDocument):
    text: str


class Product(MongoDocument):
    price: int
    stock: int = 1


class Tracer:
    """What the example of instrument() calls, of OpenTelemetry's tracer."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    @contextmanager
    def start_as_current_span(self, name: str) -> Iterator[Any]:
        self.spans.append({"name": name})
        yield self

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        self.spans[-1].update(attributes)


@pytest.fixture
async def names(bind: Bind) -> dict[str, Any]:
    """What the examples take for granted."""
    await bind(User, Job, Account, Order, Stock, LogEntry, Product)
    await Product.insert_many([Product(price=price) for price in range(30)])
    alice = await User(name="Alice", email="alice@example.com").insert()
    return {
        **{name: getattr(mongospec_core, name) for name in mongospec_core.__all__},
        **{cls.__name__: cls for cls in (User, Job, Account, Order, Stock, LogEntry, Product)},
        **{cls.__name__: cls for cls in (ObjectId, IndexModel, InsertOne, UpdateMany, DeleteOne)},
        "__name__": __name__,
        "alice": alice,
        "contextmanager": contextmanager,
        "mongojet": mongojet,
        "msgspec": msgspec,
        "new": User(name="New", email="new@x"),
        "order": Order(sku="tea"),
        "tracer": Tracer(),
        "users": [alice],
    }


WITHOUT = {  # they say it all by their name, or are what other calls give
    "BulkResult",
    "Cursor.close",
    "Cursor.explain",
    "InvalidDocument",
    "MongoDocument.get_collection_name",
    "Page",
    "PydanticObjectId",
    "WriteFailure",
}


def test_every_public_name_has_an_example() -> None:
    missing = {
        name
        for name, text in documented()
        if name not in EXAMPLES
        and ">>>" not in text
        and name.partition(".")[0] != "Transaction"  # transaction() gives it
        and not (name in ERRORS or name in MAPPINGS)
    }
    assert missing <= WITHOUT


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_example_of_a_docstring_runs(
    names: dict[str, Any], mongo_server: MongoServer, mongo_db: mongojet.Database, name: str
) -> None:
    server = urlsplit(mongo_server.uri)
    code = EXAMPLES[name].replace("example_db", mongo_db.name)
    for written in ("mongodb://localhost:27017/app", "mongodb://localhost:27017"):
        path = f"/{mongo_db.name}" if written.endswith("/app") else "/"
        code = code.replace(written, server._replace(path=path).geturl())
    if 'email="alice@example.com").insert()' in code:
        await User.delete_many({})  # it inserts her itself
    await Block(Path(f"docstring of {name}"), 1, code).run(names)
    if name == "instrument":
        assert [each["name"] for each in names["tracer"].spans] == ["find"]


def test_what_docstrings_show_is_what_happens() -> None:
    shown = {name: getattr(mongospec_core, name) for name in mongospec_core.__all__}
    attempted = 0
    for module in pkgutil.walk_packages(mongospec_core.__path__, "mongospec_core."):
        found = importlib.import_module(module.name)
        result = doctest.testmod(
            found, extraglobs=shown | {"msgspec": msgspec, "ObjectId": ObjectId}
        )
        assert result.failed == 0, module.name
        attempted += result.attempted
    assert attempted >= 7
