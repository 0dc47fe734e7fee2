"""Wrong types: whatever a public function is called with, only errors of ours come out."""

import copy
import datetime as dt
import decimal
import inspect
import random
import re
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, get_type_hints

import mongojet
import msgspec
import pytest
from bson import Code, DBRef, MaxKey, ObjectId, Regex
from pymongo import DeleteOne, InsertOne, UpdateOne

import mongospec
from mongospec import MongoDocument, MongospecError
from mongospec.contrib.kv_store import KVStore, KVStoreItem

SEED = 20251125
LONGEST = 1_000
"""Characters of a message or a note."""
CALLS = 5_000
"""Calls of one run; with another seed and more of them it looks further."""


class Inner(msgspec.Struct):
    n: int = 0


class Writer(MongoDocument):
    name: str = ""
    age: int = 0


class Book(MongoDocument):
    name: str = ""
    age: int = 0
    price: decimal.Decimal = decimal.Decimal(1)
    at: dt.datetime | None = None
    inner: Inner | None = None
    tags: list[str] = []
    numbers: dict[str, int] = {}
    anything: Any = None
    writer: Writer | None = None


class Entry(KVStore):
    pass


class Hostile:
    """It cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")

    __str__ = __repr__


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(1_500):
        value = {"a": value}
    return value


VALUES: tuple[Any, ...] = (
    *(
        None,
        0,
        5,
        -1,
        True,
        1.5,
        2**31,
        2**70,
        1e308,
        2e9,
        float("nan"),
        float("inf"),
        float("-inf"),
    ),
    *("", "text", "$x", "a.b", "\ud800", "a\0b", "x" * 100_000, b"bytes", b"\xff"),
    *(dt.datetime(2025, 1, 1), dt.date(2025, 1, 1), dt.timedelta(1), dt.time(1)),
    *(
        dt.datetime.min,
        dt.datetime.max,
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
    ),
    dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12))),
    *(
        ObjectId(),
        uuid.uuid4(),
        decimal.Decimal("1e400"),
        decimal.Decimal("NaN"),
        decimal.Decimal("sNaN"),
    ),
    *(
        Regex("("),
        re.compile("a"),
        DBRef("a", 1),
        MaxKey(),
        Code("x", {"a": 1}),
        object,
        print,
        random,
    ),
    *((), ("a", 1), {1, 2}, {"$ne": None}, {5: 1}, {None: 1}, {"": 1}, {"\ud800": 1}, {"a\0": 1}),
    *({"$set": 5}, {"$and": 5}, {"$or": [5]}, {"name": object()}, {"$set": {"age": "\ud800"}}),
    *(
        {"$set": {5: 1}},
        {"w": 0},
        {"w": []},
        {"mode": 5},
        {"level": 1},
        {("a", 1): 2},
        {1: 1, "1": 2},
    ),
    *([1], ["a"], [None], [[]], [{}], [()], [("a",)], [("a", 1, 2)], [{"a": 1}], [float("nan")]),
)
"""Values for every parameter, each copied before it is used."""


def copied(value: Any) -> Any:
    """A call may change what it is given."""
    return copy.deepcopy(value) if isinstance(value, dict | list | set) else value


MAKERS: list[Callable[[], Any]] = [
    *(partial(copied, value) for value in VALUES),
    *(list, dict, set, object, bytearray, Hostile, endless, deep, Book, Writer, Inner),
    lambda: Book,
    lambda: Writer,
    lambda: [Book],
    lambda: int,
    lambda: [Book(), Writer()],
    lambda: [Hostile()],
    lambda: {"a": Hostile()},
    lambda: (n for n in range(3)),
    lambda: iter([Book()]),
    lambda: UpdateOne({}, {"$set": {"age": 1}}),
    lambda: [InsertOne(5), DeleteOne({})],  # type: ignore[type-var, list-item]
    lambda: [UpdateOne({5: 1}, {5: 1})],  # type: ignore[dict-item]
    lambda: Book(name=5),  # type: ignore[arg-type]
    lambda: Book(age="\ud800"),  # type: ignore[arg-type]
    lambda: Book(tags=endless()),  # type: ignore[arg-type]
    lambda: Book(numbers=endless()),
    lambda: Book(anything=endless()),
    lambda: Book(inner=Book()),  # type: ignore[arg-type]
    lambda: Book(writer=Hostile()),  # type: ignore[arg-type]
    lambda: Book(writer=Writer()),
    lambda: Book(_id={"$ne": None}),
    lambda: Book(_id=Hostile()),
    lambda: Book(_id=float("nan")),
]

GOOD: dict[str, Callable[[], Any]] = {
    "filter": lambda: {"name": "x"},
    "update": lambda: {"$set": {"age": 1}},
    "id": ObjectId,
    "document": lambda: Book(name="x"),
    "documents": lambda: [Book(name="x")],
    "replacement": lambda: Book(name="x"),
    "operations": lambda: [DeleteOne({"name": "x"})],
    "pipeline": lambda: [{"$match": {"name": "x"}}],
    "field": lambda: "name",
    "data": lambda: {"name": "x"},
    "key": lambda: "k",
    "keys": lambda: ["k"],
    "value": lambda: 1,
    "default": lambda: 1,
    "items": lambda: {"k": 1},
    "timeout": lambda: 5,
}
"""Arguments that work, by the names of parameters."""


def methods() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every public method of documents and stores: its name, itself, its parameters."""
    for owner in (Book, Entry):
        for name in dir(owner):
            raw = inspect.getattr_static(owner, name)
            if name.startswith("_") or not callable(getattr(owner, name)) or name == "id":
                continue
            if owner is Entry and hasattr(Book, name):
                continue
            kind = "class" if isinstance(raw, classmethod) else "instance"
            yield f"{owner.__name__}.{name}", (owner, name, kind), parameters(getattr(owner, name))


def parameters(method: Any) -> dict[str, Any]:
    """The names that a method takes, the options of its TypedDict included, with their kind."""
    found: dict[str, Any] = {}
    for name, each in inspect.signature(method).parameters.items():
        if each.kind is each.VAR_KEYWORD:
            options = get_type_hints(method, include_extras=True)[name]
            options = getattr(options, "__args__", (options,))[0]
            found |= dict.fromkeys(
                options.__annotations__ if hasattr(options, "__annotations__") else (), "keyword"
            )
            for base in getattr(options, "__orig_bases__", ()):
                found |= dict.fromkeys(getattr(base, "__annotations__", ()), "keyword")
        elif name != "self":
            found[name] = "needed" if each.default is each.empty else "optional"
    found.setdefault("timeout", "keyword")
    return found


async def ended(result: Any) -> None:
    """Use up what a call returned: await it, enter it, or read a cursor."""
    if inspect.isawaitable(result) and not isinstance(result, mongospec.Cursor):
        result = await result
    if isinstance(result, mongospec.Cursor):
        await result.to_list()
    elif hasattr(result, "__aenter__"):
        async with result:
            await Book.count()
    elif hasattr(result, "__enter__"):
        with result:
            await Book.count()


def is_ours(error: BaseException) -> bool:
    """Whether it is of our tree, or Python's word for a call that its signature does not allow."""
    if isinstance(error, MongospecError):
        return all(len(text) < LONGEST for text in (str(error), *getattr(error, "__notes__", ())))
    frames = traceback.extract_tb(error.__traceback__)
    return type(error) is TypeError and frames[-1].filename == __file__


@pytest.fixture
async def bound(mongo_db: mongojet.Database) -> AsyncIterator[mongojet.Database]:
    await mongospec.init(mongo_db, [Book, Writer, Entry], close_client=False)
    yield mongo_db
    await mongospec.close()


async def attempt(call: Callable[[], Any], what: str, failures: list[str]) -> None:
    try:
        await ended(call())
    except Exception as error:
        if not is_ours(error):
            where = [
                f for f in traceback.extract_tb(error.__traceback__) if "mongospec" in f.filename
            ]
            frame = f"{where[-1].filename.rpartition('/')[2]}:{where[-1].lineno}" if where else "?"
            failures.append(f"{what} -> {type(error).__name__} {str(error)[:80]!r} at {frame}")


def shown(value: Any) -> str:
    try:
        return repr(value)[:60]
    except Exception:
        return type(value).__name__


@pytest.mark.filterwarnings("ignore")
async def test_a_method_called_with_wrong_types_raises_only_errors_of_ours(
    bound: mongojet.Database,
) -> None:
    chance = random.Random(SEED)
    cases = [
        (what, how, names, name, maker)
        for what, how, names in methods()
        for name in names
        for maker in MAKERS
    ]
    failures: list[str] = []
    for what, (owner, method, kind), names, name, maker in chance.sample(
        cases, min(CALLS, len(cases))
    ):
        arguments = {each: GOOD[each]() for each, need in names.items() if need == "needed"}
        arguments |= {"timeout": 5} if "timeout" in names else {}
        arguments[name] = value = maker()
        target = owner if kind == "class" else Book(name="x")
        await attempt(
            lambda target=target, method=method, arguments=arguments: getattr(target, method)(
                **arguments
            ),
            f"{what}({name}={shown(value)})",
            failures,
        )
    assert not failures, f"{len(failures)} of {len(cases)}:\n" + "\n".join(failures)


# -- functions, and what classes declare


def functions(db: mongojet.Database) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Public functions, and arguments that work; None stands for a parameter left out."""
    store = KVStoreItem.of(Entry)
    return {
        "init": (
            mongospec.init,
            {"db": db, "document_types": [Book], "indexes": "skip", "index_conflicts": None}
            | {"timeout": None, "close_client": False},
        ),
        "connect": (
            mongospec.connect,
            {"uri": "mongodb://127.0.0.1:1/", "document_types": [Inner], "database": "x"}
            | {"indexes": "skip", "index_conflicts": None, "timeout": 0.01},
        ),
        "using": (mongospec.using, {"database": db}),
        "create_indexes": (
            mongospec.create_indexes,
            {"database": db, "document_types": [Book], "index_conflicts": None},
        ),
        "instrument": (mongospec.instrument, {"observer": None, "slow": None}),
        "timeout": (mongospec.timeout, {"seconds": 5}),
        "transaction": (
            mongospec.transaction,
            {"client": None, "read_concern": None, "write_concern": None}
            | {"max_commit_time_ms": None},
        ),
        "run_in_transaction": (
            mongospec.run_in_transaction,
            {"fn": nothing, "client": None, "timeout": 1, "write_concern": None},
        ),
        "changes": (mongospec.changes, {"document": Book()}),
        "eq": (lambda value: Book.find_one({"anything": mongospec.eq(value)}), {"value": 1}),
        "register_encoder": (partial(mongospec.register_encoder, Unknown), {"encode": str}),
        "is_resolved": (mongospec.is_resolved, {"reference": Writer()}),
        "collect_document_types": (
            mongospec.collect_document_types,
            {"targets": "json", "base": None, "on_error": "ignore"} | {"predicate": None},
        ),
        "KVStoreItem.of": (KVStoreItem.of, {"store": Entry}),
        "item": (lambda key: store[int](key).get(), {"key": "a"}),
        "item.set": (lambda value: store[int]("k").set(value), {"value": 1}),
        "item.set_default": (
            lambda value: store[int]("q", default=value).set_default(),
            {"value": 1},
        ),
        "to_list": (lambda length: Book.find().to_list(length), {"length": 1}),
        "explain": (
            lambda verbosity: Book.find().explain(verbosity),
            {"verbosity": "queryPlanner"},
        ),
    }


class Unknown:
    """A type without an encoder."""


async def nothing() -> None:
    """Do nothing in a transaction."""


@pytest.mark.filterwarnings("ignore")
async def test_a_function_called_with_wrong_types_raises_only_errors_of_ours(
    bound: mongojet.Database,
) -> None:
    failures: list[str] = []
    cases = [
        (what, function, good, name, maker)
        for what, (function, good) in functions(bound).items()
        for name in good
        for maker in MAKERS
    ]
    for what, function, good, name, maker in random.Random(SEED).sample(
        cases, min(CALLS // 3, len(cases))
    ):
        arguments = {each: value for each, value in good.items() if value is not None}
        arguments[name] = value = maker()
        await attempt(partial(function, **arguments), f"{what}({name}={shown(value)})", failures)
        mongospec.register_encoder(Unknown, str)
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


DECLARED = ("__collection_name__", "__indexes__", "__collection_options__", "__shard_key__")
KEYWORDS = (
    *("abstract", "mixin", "validate_on_write", "check_queries", "version_field", "validator"),
    *("tag", "tag_field", "unknown", "rename", "omit_defaults"),
)


def declarations(value: Any) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What a class can declare, with *value* in its place: what it is, the namespace, the keywords."""
    for name in DECLARED:
        yield name, {name: value}, {}
    for keyword in KEYWORDS:
        yield f"{keyword}=", {}, {keyword: value}
    for index in (
        value,
        {"key": value},
        {"key": {"name": value}},
        {"key": {"name": 1}, "unique": value},
    ):
        yield "__indexes__", {"__indexes__": [index]}, {}
    for option in ("capped", "size", "timeseries", "collation", "validationLevel"):
        yield "__collection_options__", {"__collection_options__": {option: value}}, {}


@pytest.mark.filterwarnings("ignore")
async def test_a_class_declared_with_wrong_types_raises_only_errors_of_ours(
    bound: mongojet.Database,
) -> None:
    async def declare(namespace: dict[str, Any], keywords: dict[str, Any]) -> None:
        body = {"__annotations__": {"name": str}, "__module__": __name__} | namespace
        cls: Any = type(MongoDocument)("Odd", (MongoDocument,), body, **keywords)
        await mongospec.init(bound, [cls], indexes="skip", validators="skip", close_client=False)

    failures: list[str] = []
    values = [maker() for maker in MAKERS]
    cases = [(*each, value) for value in values for each in declarations(value)]
    for what, namespace, keywords, value in random.Random(SEED).sample(
        cases, min(CALLS // 40, len(cases))
    ):
        await attempt(partial(declare, namespace, keywords), f"{what} {shown(value)}", failures)
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


@pytest.mark.parametrize("keyword", ["tag", "tag_field", "unknown"])
def test_a_class_keyword_of_a_wrong_type_is_an_error_of_ours(keyword: str) -> None:
    with pytest.raises(mongospec.DefinitionError, match="Odd"):
        type(MongoDocument)("Odd", (MongoDocument,), {"__module__": __name__}, **{keyword: 1.5})
