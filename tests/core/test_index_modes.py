"""What an index declaration means: compared, created, refused; each refusal in the classes' terms."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

import mongojet
import pytest
from mongojet import IndexModel

from mongospec_core import (
    DefinitionError,
    IndexConflictError,
    MongoDocument,
    NotBoundError,
    OperationError,
    OptionError,
    close,
    init,
)
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind


class State(Enum):
    OPEN = "open"
    DONE = "done"


def class_of(*indexes: Any, name: str = "Indexed") -> Any:
    """A document class that declares these indexes."""
    namespace = {
        "__annotations__": {"email": str, "age": int},
        "email": "",
        "age": 0,
        "__indexes__": indexes,
        "__collection_name__": "indexed",
        "__module__": __name__,
    }
    return type(MongoDocument)(name, (MongoDocument,), namespace, check_queries=False)


async def indexes_of(db: mongojet.Database) -> dict[str, Any]:
    reply = await db.run_command({"listIndexes": "indexed"})
    return {each["name"]: each for each in reply["cursor"]["firstBatch"] if each["name"] != "_id_"}


def created(proxy: FaultProxy) -> list[list[str]]:
    """The names of the indexes of each createIndexes command so far."""
    commands = [each for each in proxy.commands if each.name == "createIndexes"]
    return [[index["name"] for index in each.body["indexes"]] for each in commands]


# -- every kind of index: sent as declared, seen as there afterwards

KINDS: dict[str, dict[str, Any]] = {
    "ttl": {"key": {"made": 1}, "expireAfterSeconds": 3600},
    "ttl of 0": {"key": {"expires_at": 1}, "expireAfterSeconds": 0},
    "unique": {"key": {"email": 1}, "unique": True},
    "sparse": {"key": {"email": 1}, "sparse": True},
    "hidden": {"key": {"email": 1}, "hidden": True},
    "switched off": {"key": {"email": 1}, "unique": False, "sparse": False},
    "partial": {"key": {"age": 1}, "partialFilterExpression": {"age": {"$gt": 5}}},
    "partial by the codec's values": {
        "key": {"age": 1},
        "partialFilterExpression": {
            "state": State.OPEN,
            "since": {"$gt": dt.datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=dt.UTC)},
            "day": {"$gte": dt.date(2026, 1, 1)},
        },
    },
    "collation": {"key": {"email": 1}, "collation": {"locale": "en", "strength": 2}},
    "wildcard": {"key": {"$**": 1}},
    "wildcard below": {"key": {"attributes.$**": 1}},
    "wildcard projection": {"key": {"$**": 1}, "wildcardProjection": {"a": 1, "b.c": 1}},
    "2dsphere": {"key": {"place": "2dsphere"}},
    "compound": {"key": {"b": -1, "a": 1}, "unique": True},
    "path": {"key": {"address.city": 1}},
}


@pytest.mark.parametrize("declaration", KINDS.values(), ids=KINDS)
async def test_an_index_is_created_once_and_counts_as_there_afterwards(
    bind: Bind, mongo_proxy: FaultProxy, declaration: dict[str, Any]
) -> None:
    cls = class_of(declaration)
    db = await bind(cls)
    (index,) = (await indexes_of(db)).values()
    assert index["key"] == declaration["key"]
    for option in set(declaration) - {"key", "collation", "partialFilterExpression"}:
        assert index.get(option, False) == declaration[option]
    assert len(created(mongo_proxy)) == 1
    await bind(cls)
    await bind(cls, indexes="check")
    assert len(created(mongo_proxy)) == 1


DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ttl or none": ({}, {"expireAfterSeconds": 0}),
    "none or ttl": ({"expireAfterSeconds": 0}, {}),
    "another ttl": ({"expireAfterSeconds": 10}, {"expireAfterSeconds": 20}),
    "unique or not": ({}, {"unique": True}),
    "not unique": ({"unique": True}, {"unique": False}),
    "sparse": ({}, {"sparse": True}),
    "partial": ({}, {"partialFilterExpression": {"age": {"$gt": 5}}}),
    "another partial": (
        {"partialFilterExpression": {"state": State.OPEN}},
        {"partialFilterExpression": {"state": State.DONE}},
    ),
    "collation": ({}, {"collation": {"locale": "fr"}}),
    "no collation": ({"collation": {"locale": "fr"}}, {}),
    "another collation": (
        {"collation": {"locale": "en", "strength": 1}},
        {"collation": {"locale": "en", "strength": 2}},
    ),
}


@pytest.mark.parametrize(("there", "declared"), DIFFERENT.values(), ids=DIFFERENT)
async def test_an_index_of_the_same_name_that_does_something_else_is_a_conflict(
    bind: Bind, mongo_proxy: FaultProxy, there: dict[str, Any], declared: dict[str, Any]
) -> None:
    await bind(class_of({"key": {"email": 1}, **there}))
    cls = class_of({"key": {"email": 1}, **declared}, name="Other")
    for mode in ("create", "check"):
        with pytest.raises(IndexConflictError, match=r"Other declares.*'email_1'.*has 'email_1'"):
            await bind(cls, indexes=mode)
    assert len(created(mongo_proxy)) == 1
    with pytest.raises(NotBoundError):
        await cls.count()


async def test_keys_in_another_order_or_direction_are_another_index(bind: Bind) -> None:
    db = await bind(class_of(IndexModel([("a", 1), ("b", 1)])))
    await bind(class_of(IndexModel([("b", 1), ("a", 1)])))
    await bind(class_of(IndexModel([("a", 1), ("b", -1)])))
    assert set(await indexes_of(db)) == {"a_1_b_1", "b_1_a_1", "a_1_b_-1"}


@pytest.mark.parametrize(
    "declared",
    [
        {"key": {"age": 1}, "name": "mine"},
        {"key": {"email": 1}, "name": "other", "expireAfterSeconds": 5},
    ],
    ids=["same name", "same keys"],
)
async def test_a_conflict_names_the_command_that_drops_the_index_that_is_there(
    bind: Bind, mongo_proxy: FaultProxy, declared: dict[str, Any]
) -> None:
    await bind(class_of({"key": {"email": 1}, "name": "mine"}))
    mongo_proxy.fail("createIndexes", 85)  # the embedded server has both
    command = r"db\.getCollection\('indexed'\)\.dropIndex\('mine'\)"
    with pytest.raises(IndexConflictError, match=command):
        await bind(class_of(declared, name="Other"))


@pytest.mark.parametrize(
    ("option", "meant"),
    [("uniqe", "unique"), ("expire_after_seconds", "expireAfterSeconds"), ("Sparse", "sparse")],
)
async def test_a_misspelt_option_of_an_index_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, option: str, meant: str
) -> None:
    cls = class_of({"key": {"email": 1}, option: 1})
    with pytest.raises(DefinitionError, match=f"'{option}'.*did you mean '{meant}'"):
        await bind(cls)
    assert not created(mongo_proxy)


# -- text: only real servers have it


async def _text_or_skip(bind: Bind, *indexes: Any) -> Any:
    cls = class_of(*indexes)
    try:
        await bind(cls)
    except (OperationError, IndexConflictError) as error:
        build = await (await bind()).run_command({"buildInfo": 1})
        if "secantusVersion" not in build:  # however it was started: a URI may name one, too
            raise
        pytest.skip(f"the embedded server has no text indexes: {error}")
    return cls


@pytest.mark.parametrize(
    "declaration",
    [
        {"key": {"title": "text"}},
        {"key": {"age": 1, "title": "text", "body": "text"}, "weights": {"title": 10}},
        {"key": {"$**": "text"}, "default_language": "german"},
    ],
    ids=["one field", "weighted", "all fields"],
)
async def test_a_text_index_is_created_once(
    bind: Bind, mongo_proxy: FaultProxy, declaration: dict[str, Any]
) -> None:
    cls = await _text_or_skip(bind, declaration)
    await bind(cls)
    assert len(created(mongo_proxy)) == 1


async def test_a_text_index_as_servers_list_it_counts_as_there(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    """By a rewritten reply: how MongoDB lists a text index, whatever server is at hand."""
    listed = {
        "v": 2,
        "key": {"age": 1, "_fts": "text", "_ftsx": 1},
        "name": "search",
        "weights": {"body": 1, "title": 10},
        "default_language": "english",
        "language_override": "language",
        "textIndexVersion": 3,
    }

    def with_text(reply: dict[str, Any]) -> dict[str, Any]:
        reply["cursor"]["firstBatch"].append(listed)
        return reply

    await bind(class_of(IndexModel("email")))
    alike = {"key": {"age": 1, "title": "text", "body": "text"}, "weights": {"title": 10}}
    with mongo_proxy.rewrite("listIndexes", with_text):
        await bind(class_of(alike, {**alike, "name": "search"}), indexes="check")
        with pytest.raises(IndexConflictError, match="missing"):
            await bind(class_of({"key": {"age": 1, "title": "text"}}), indexes="check")
        with pytest.raises(IndexConflictError, match="search"):
            await bind(class_of({**alike, "weights": {"title": 5}, "name": "search"}))


# -- each refusal of the server


REFUSALS: dict[int, str] = {
    85: r"Indexed declares 'email_2' .*but 'indexed' has 'old'",
    86: r"Indexed declares 'email_2' .*but 'indexed' has 'old'",
    11000: r"Indexed declares 'email_2' .* unique, but 'indexed' has duplicates",
    13: r"this user may not create 'email_2' .*of Indexed on 'indexed'.*skip",
    67: r"the server cannot create 'email_2' .*of Indexed on 'indexed'.*said no",
    197: r"the server cannot create 'email_2' .*of Indexed on 'indexed'.*said no",
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_names_class_index_what_is_there_and_what_was_declared(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(class_of(IndexModel("email", name="old")))
    cls = class_of(IndexModel("email", unique=True, name="email_2"))
    with (
        mongo_proxy.fail("createIndexes", code, message="said no"),
        pytest.raises(IndexConflictError, match=REFUSALS[code]) as caught,
    ):
        await bind(cls)
    error = caught.value
    assert (error.code, error.outcome) == (code, "not_applied")
    assert "'unique': True" in str(error)
    assert isinstance(error.__cause__, OperationError)
    with pytest.raises(NotBoundError):
        await cls.count()


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_may_be_a_warning(bind: Bind, mongo_proxy: FaultProxy, code: int) -> None:
    await bind(class_of(IndexModel("email", name="old")))
    cls = class_of(IndexModel("email", unique=True, name="email_2"))
    with (
        mongo_proxy.fail("createIndexes", code, message="said no"),
        pytest.warns(UserWarning, match=REFUSALS[code]),
    ):
        await bind(cls, index_conflicts="warn")
    assert await cls.count() == 0


async def test_another_error_of_the_server_is_no_conflict_and_no_warning(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = class_of(IndexModel("email"))
    for conflicts in ("error", "warn"):
        with (
            mongo_proxy.fail("createIndexes", 8, message="who knows"),
            pytest.raises(OperationError, match="who knows") as caught,
        ):
            await bind(cls, index_conflicts=conflicts)
        assert not isinstance(caught.value, IndexConflictError)


async def test_with_warn_one_index_that_cannot_be_costs_no_other(bind: Bind) -> None:
    """The server creates all of a command or none; the others are then created one by one."""
    db = await bind(class_of())
    await db["indexed"].insert_many([{"email": "twice", "age": 1}, {"email": "twice", "age": 2}])
    cls = class_of(
        IndexModel("age", unique=True), IndexModel("email", unique=True), IndexModel("more")
    )
    with pytest.warns(UserWarning, match="twice") as warned:
        await bind(cls, index_conflicts="warn")
    (warning,) = warned
    assert "'email_1'" in str(warning.message)
    assert "age_1" not in str(warning.message)
    assert set(await indexes_of(db)) == {"age_1", "more_1"}


async def test_a_unique_compound_index_over_duplicates_names_all_its_values(bind: Bind) -> None:
    db = await bind(class_of())
    await db["indexed"].insert_many([{"email": "a", "age": 7} for _ in range(2)])
    with pytest.raises(IndexConflictError, match=r"Indexed.*email_1_age_1.*duplicates") as caught:
        await bind(class_of(IndexModel([("email", 1), ("age", 1)], unique=True)))
    assert "7" in str(caught.value)
    assert "'a'" in str(caught.value) or '"a"' in str(caught.value)


# -- modes


async def test_check_of_a_collection_that_is_not_there_names_what_is_missing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = class_of(IndexModel("email"))
    with pytest.raises(IndexConflictError, match="missing"):
        await bind(cls, indexes="check")
    assert created(mongo_proxy) == []
    db = await bind(class_of(name="Bare"))
    reply = await db.run_command({"listCollections": 1})
    assert reply["cursor"]["firstBatch"] == []


async def test_a_class_without_indexes_costs_nothing_in_any_mode(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    for mode in ("create", "check", "skip"):
        await bind(class_of(), indexes=mode)
    assert {each.name for each in mongo_proxy.commands} <= {"hello"}


@pytest.mark.parametrize("option", [{"indexes": "yes"}, {"index_conflicts": "no"}])
async def test_another_mode_is_refused(bind: Bind, option: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        await bind(class_of(), **option)


async def test_several_processes_may_start_at_once(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    """A rolling deploy: each sees the indexes missing and creates them; that is not an error."""
    cls = class_of(IndexModel("email", unique=True), IndexModel("age"))
    try:
        await asyncio.gather(*(init(mongo_db, [cls], close_client=False) for _ in range(8)))
        assert set(await indexes_of(mongo_db)) == {"email_1", "age_1"}
    finally:
        await close()


# -- merging


async def test_a_class_says_an_index_of_its_base_anew_by_its_name(bind: Bind) -> None:
    class Base(MongoDocument, abstract=True):
        __indexes__: ClassVar[Sequence[Any]] = [
            IndexModel("made", expireAfterSeconds=10, name="old"),
            IndexModel("kept"),
        ]
        made: int = 0
        kept: int = 0

    class Middle(Base, abstract=True):
        __indexes__: ClassVar[Sequence[Any]] = [
            IndexModel("made", expireAfterSeconds=20, name="old")
        ]

    class Leaf(Middle):
        __collection_name__ = "indexed"
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("own")]
        own: int = 0

    db = await bind(Leaf)
    found = await indexes_of(db)
    assert set(found) == {"old", "kept_1", "own_1"}
    assert found["old"]["expireAfterSeconds"] == 20


async def test_siblings_share_what_their_base_declares(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Base(MongoDocument, abstract=True):
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("email", unique=True)]
        __collection_name__ = "indexed"
        email: str = ""

    class One(Base):
        one: int = 0

    class Two(Base):
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("two")]
        two: int = 0

    await bind(One, Two)
    assert created(mongo_proxy) == [["email_1", "two_1"]]


async def test_a_conflict_over_a_shared_collection_names_all_its_classes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    one = class_of(IndexModel("email", unique=True), name="One")
    two = class_of(IndexModel("age", unique=True), name="Two")
    with (
        mongo_proxy.fail("createIndexes", 13, message="no"),
        pytest.raises(IndexConflictError, match="One and Two"),
    ):
        await bind(one, two)
