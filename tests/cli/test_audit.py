"""What ``audit`` finds in stored documents, and how it goes on."""

import asyncio
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import mongojet
import msgspec
import pytest
from bson import Binary, Code, Decimal128, ObjectId

from mongospec import MongoDocument
from mongospec_cli import Audit, Position, ReadProgress, audit
from mongospec_cli.errors import CommandError
from mongospec_testing import FaultProxy
from scripts.audit_picture import PICTURE, picture
from tests.cli.conftest import INTERRUPT, Run
from tests.conftest import Bind


class Address(msgspec.Struct):
    city: str


class Person(MongoDocument):
    name: str
    address: Address | None = None
    addresses: list[Address] = []
    by_kind: dict[str, Address] = {}
    anything: Any = None


class Story(MongoDocument):
    _id: int | None = None
    title: str
    author: Person
    readers: list[Person] = []

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if raw.get("damaged"):
            raise KeyError("headline")
        if "headline" in raw:
            raw["title"] = raw.pop("headline")
        if "price" in raw:
            raw["price"] *= 100
        return raw


async def found_in(bind: Bind, *documents: dict[str, Any]) -> Audit:
    """What is found in people and, if they have a title or a headline, stories."""
    db = await bind(Person, Story)
    for each in documents:
        await db["Story" if "author" in each else "Person"].insert_one(each)
    return await audit([Person, Story])


async def test_what_fits_is_not_told(bind: Bind) -> None:
    person = {"_id": ObjectId(), "name": "Ada", "address": {"city": "Rome"}, "anything": {"x": 1}}
    story = {"_id": 1, "title": "A", "author": person["_id"], "readers": [person["_id"]]}
    found = await found_in(bind, person, story)
    assert [(each.owner, each.collection, each.documents) for each in found.read] == [
        ("Person", "Person", 1),
        ("Story", "Story", 1),
    ]
    assert found.fits
    assert (found.unreadable, found.dangling, found.old, found.undeclared) == ([], [], [], [])


async def test_documents_that_a_read_refuses_are_grouped_by_path_and_reason(bind: Bind) -> None:
    ids = [ObjectId() for _ in range(7)]
    wrong = [{"_id": each, "name": "x", "addresses": [{"city": n}]} for n, each in enumerate(ids)]
    found = await found_in(
        bind, {"_id": ObjectId(), "name": "Ada"}, *wrong, {"_id": 5, "name": "x"}
    )
    assert not found.fits
    by_path = {each.path: each for each in found.unreadable}
    assert by_path.keys() == {"addresses[].city", "_id"}
    group = by_path["addresses[].city"]
    assert (group.owner, group.count, group.examples) == ("Person", 7, ids[:5])
    assert "`str`" in group.reason and "`int`" in group.reason
    assert by_path["_id"].examples == [5]


async def test_a_reference_to_what_is_not_there_is_told_by_its_field(bind: Bind) -> None:
    there, gone, too = ObjectId(), ObjectId(), ObjectId()
    found = await found_in(
        bind,
        {"_id": there, "name": "Ada"},
        {"_id": 1, "title": "A", "author": there, "readers": [there, gone]},
        {"_id": 2, "title": "A", "author": gone, "readers": [too, gone]},
    )
    assert not found.fits
    told = {(each.owner, each.path, each.target): each for each in found.dangling}
    assert told.keys() == {("Story", "author", "Person"), ("Story", "readers[]", "Person")}
    assert told["Story", "author", "Person"].examples == [(2, gone)]
    assert told["Story", "readers[]", "Person"].count == 3
    assert told["Story", "readers[]", "Person"].examples == [(1, gone), (2, too), (2, gone)]


async def test_what_the_upgrade_changes_is_told_by_its_fields(bind: Bind) -> None:
    there = ObjectId()
    found = await found_in(
        bind,
        {"_id": there, "name": "Ada"},
        {"_id": 1, "headline": "A", "author": there},
        {"_id": 2, "headline": "B", "author": there},
        {"_id": 3, "title": "C", "author": there},
        {"_id": 4, "title": "C", "author": there, "damaged": True},
    )
    [old] = found.old
    assert (old.owner, old.fields, old.stable) == ("Story", ["headline", "title"], True)
    assert (old.count, old.examples) == (2, [1, 2])
    assert [(each.examples, "KeyError" in each.reason) for each in found.unreadable] == [
        ([4], True)
    ]
    assert found.undeclared == []


async def test_an_upgrade_that_changes_its_own_result_is_told(bind: Bind) -> None:
    there = ObjectId()
    story = {"_id": 1, "title": "A", "author": there, "price": 3}
    found = await found_in(bind, {"_id": there, "name": "Ada"}, story)
    assert [(each.fields, each.stable) for each in found.old] == [(["price"], False)]


async def test_undeclared_fields_are_told_with_their_types_at_every_depth(bind: Bind) -> None:
    city: dict[str, Any] = {"city": "Rome"}
    found = await found_in(
        bind,
        {"_id": ObjectId(), "name": "Ada", "nick": "A", "address": {**city, "zip": 1}},
        {"_id": ObjectId(), "name": "Bo", "nick": None, "addresses": [city, {**city, "zip": "x"}]},
        {"_id": ObjectId(), "name": "Cy", "nick": "C", "by_kind": {"home": {**city, "zip": [1]}}},
    )
    assert found.fits
    assert {each.path: each.types for each in found.undeclared} == {
        "nick": {"string": 2, "null": 1},
        "address.zip": {"int": 1},
        "addresses[].zip": {"string": 1},
        "by_kind.{}.zip": {"array": 1},
    }
    assert [each.count for each in found.undeclared if each.path == "nick"] == [3]


class Measured(MongoDocument):
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    number: int = 0
    kinds: set[int] = set()
    data: bytes = b""
    text: str = ""


async def test_what_a_read_accepts_as_another_type_fits(bind: Bind) -> None:
    db = await bind(Measured)
    fitting: list[dict[str, Any]] = [
        *({"ratio": each} for each in (1, Decimal128("1.5"), float("nan"), float("inf"))),
        {"kinds": [1, 1]},
        {"data": Binary(b"x", 128)},
        {"text": Code("x")},
    ]
    await db["Measured"].insert_many(fitting)
    assert (await audit([Measured])).fits
    await db["Measured"].insert_many([{"number": 1.0}, {"number": True}, {"ratio": False}])
    found = await audit([Measured])
    assert [(each.path, each.count) for each in found.unreadable] == [
        ("number", 1),
        ("number", 1),
        ("ratio", 1),
    ]


async def test_without_checked_queries_the_names_at_the_top_are_compared(bind: Bind) -> None:
    class Loose(MongoDocument):
        __check_queries__ = False
        name: str

    db = await bind(Loose)
    await db["Loose"].insert_one({"name": "x", "nick": 1})
    assert [each.path for each in (await audit([Loose])).undeclared] == ["nick"]


async def test_a_damaged_document_is_one_of_its_batch(bind: Bind, mongo_proxy: FaultProxy) -> None:
    db = await bind(Person)
    names = ["Ada", "kaputt", "Bo"]
    await db["Person"].insert_many([{"_id": ObjectId(), "name": each, "nick": 1} for each in names])
    broken = mongo_proxy.rewrite_bson("find", lambda reply: reply.replace(b"kaputt", b"kap\xfftt"))
    with broken:
        found = await audit([Person])
    assert [(each.path, each.count) for each in found.unreadable] == [("name", 1)]
    assert [(each.path, each.count) for each in found.undeclared] == [("nick", 2)]


async def test_a_family_is_read_once_each_document_as_its_own_class(bind: Bind) -> None:
    class Pet(MongoDocument, tag_field="kind", tag="pet"):
        name: str

    class Cat(Pet, tag="cat"):
        lives: int

    db = await bind(Pet, Cat)
    documents = [{"kind": "pet", "name": "Rex"}, {"kind": "cat", "name": "Tom", "lives": "9"}]
    await db["Pet"].insert_many([*documents, {"kind": "dog", "name": "x"}])
    found = await audit([Cat, Pet])
    assert [(each.owner, each.documents) for each in found.read] == [("Pet", 3)]
    assert {each.path for each in found.unreadable} == {"lives", "kind"}
    assert found.undeclared == []
    assert [each.documents for each in (await audit([Cat])).read] == [1]
    assert [each.documents for each in (await audit([Cat], sample=5)).read] == [1]


async def test_too_many_groups_are_counted_together(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["mongospec_cli.groups"], "_GROUPS", 3)
    fields = {f"x{number}": 1 for number in range(9)}
    deep = {"city": "Rome", **fields}
    found = await found_in(bind, {"_id": ObjectId(), "name": "Ada", "address": deep})
    assert len(found.undeclared) == 4
    assert {each.path: each.count for each in found.undeclared}["address"] == 6


# -- in parts


async def test_it_goes_on_after_any_id_whatever_its_type(bind: Bind) -> None:
    class Mixed(MongoDocument):
        _id: Any = None

    ids: list[Any] = [1, 2.5, "$a", "65f0c0ffee65f0c0ffee0001", "5", "x:y", ObjectId(), True]
    db = await bind(Mixed)
    await db["Mixed"].insert_many([{"_id": each} for each in ids])
    ordered = [each["_id"] for each in await (await db["Mixed"].find(sort={"_id": 1})).to_list()]
    for number, each in enumerate(ordered):
        position = Position.parse(str(Position("Mixed", each)))
        assert (type(position.id), position.id) == (type(each), each)
        [read] = (await audit([Mixed], after=position)).read
        assert read.documents == len(ids) - number - 1


async def test_progress_says_where_a_run_can_go_on(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mongospec_cli.batches.BATCH", 10)
    db = await bind(Person, Story)
    await db["Person"].insert_many([{"name": f"{n}"} for n in range(25)])
    told: list[ReadProgress] = []
    await audit([Person, Story], on_progress=told.append)
    assert [(each.owner, each.documents, each.total) for each in told] == [
        ("Person", number, 25) for number in (10, 20, 25)
    ]
    found = await audit([Person, Story], after=told[1].position)
    assert [each.documents for each in found.read] == [5, 0]
    found = await audit([Person, Story], after=Position("Story", 1))
    assert [each.owner for each in found.read] == ["Story"]


async def test_a_cancelled_audit_leaves_what_it_found(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mongospec_cli.batches.BATCH", 10)
    db = await bind(Person)
    await db["Person"].insert_many([{"name": n} for n in range(25)])
    found = Audit(database="")
    seen = asyncio.Event()
    task = asyncio.create_task(
        audit([Person], rate=1, into=found, on_progress=lambda _: seen.set())
    )
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (found.read[0].documents, found.unreadable[0].count) == (10, 10)


async def test_a_rate_is_not_exceeded(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mongospec_cli.batches.BATCH", 10)
    db = await bind(Person)
    await db["Person"].insert_many([{"name": "x"} for _ in range(30)])
    begun = time.monotonic()
    await audit([Person], rate=100)
    assert time.monotonic() - begun >= 0.3


async def test_a_sample_has_as_many_documents_as_were_asked_for(bind: Bind) -> None:
    db = await bind(Person)
    await db["Person"].insert_many([{"name": "x"} for _ in range(30)])
    told: list[ReadProgress] = []
    found = await audit([Person], sample=10, on_progress=told.append)
    assert found.read[0].documents == 10
    assert [(each.total, each.position) for each in told] == [(10, None)]
    with pytest.raises(CommandError, match="no order"):
        await audit([Person], sample=10, after=Position("Person", 1))


async def test_a_position_of_no_class_is_refused(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(CommandError, match="no class 'Prson', only Person"):
        await audit([Person], after=Position("Prson", 1))
    for text in ("Person", ":5", "Person:"):
        with pytest.raises(CommandError, match="CLASS:ID"):
            Position.parse(text)


# -- by the command

MODELS = """
from mongospec import MongoDocument


class User(MongoDocument):
    __collection_name__ = "users"

    name: str
    boss: "User | None" = None

    @classmethod
    def __upgrade__(cls, raw):
        if "full_name" in raw:
            raw["name"] = raw.pop("full_name")
        return raw
"""


@pytest.fixture
def models(folder: Path) -> None:
    (folder / "models.py").write_text(MODELS)


@pytest.mark.usefixtures("models")
async def test_the_command_says_what_does_not_fit_and_exits_with_1(
    run: Run, mongo_db: mongojet.Database
) -> None:
    users = mongo_db["users"]
    await users.insert_one({"full_name": "Ada", "age": 5})
    done = run("audit", "models")
    assert (done.code, done.err) == (0, "")
    assert "User  users, 1 document\n" in done.out
    assert "  ~ upgraded full_name, name  1 document  (ObjectId('" in done.out
    assert "  ? undeclared age  int 1  (" in done.out
    assert done.out.endswith(
        f"{mongo_db.name}: 1 document read, 1 document to upgrade, 1 undeclared field\n"
    )
    assert run("audit", "models", "--strict", "--sample", "5").code == 1
    await users.insert_many([{"name": 5}, {"name": "Bo", "boss": ObjectId()}])
    done = run("audit", "models")
    assert (done.code, done.err) == (1, "")
    assert "  ! unreadable name: Expected `str`, got `int`  1 document  (" in done.out
    assert "  ! dangling boss -> User  1 reference  (" in done.out
    assert "1 document cannot be read, 1 dangling reference" in done.out


@pytest.mark.usefixtures("models")
async def test_an_audit_as_json_has_its_groups(run: Run, mongo_db: mongojet.Database) -> None:
    await mongo_db["users"].insert_many([{"_id": 1, "name": "x"}, {"_id": 2, "name": "x"}])
    found = run("audit", "models", "--json", "--after", "User:1").json
    assert found["read"] == [{"owner": "User", "collection": "users", "documents": 1}]
    assert [each["examples"] for each in found["unreadable"]] == [[2]]


@pytest.mark.usefixtures("models")
def test_an_audit_that_cannot_start_is_told_in_one_line(run: Run) -> None:
    done = run("audit", "models", "--after", "Nobody:1")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "no class 'Nobody'" in done.err


async def test_ctrl_c_leaves_what_was_found_and_says_how_to_go_on(
    run: Run, folder: Path, mongo_db: mongojet.Database
) -> None:
    (folder / "models.py").write_text(INTERRUPT)
    await mongo_db["notes"].insert_many([{"_id": n, "title": n} for n in range(1, 6)])
    done = run("audit", "models", CTRL_C="1")
    assert done.code == 130
    assert "4 documents read so far, 4 documents cannot be read" in done.out
    assert done.err == "done up to Note:4; go on with --after Note:4\nmongospec: interrupted\n"
    done = run("audit", "models", "--json", CTRL_C="1")
    assert done.code == 130
    assert (done.json["finished"], done.json["after"]) == (False, "Note:4")
    assert done.json["read"][0]["documents"] == 4
    done = run("audit", "models", "--json", "--after", done.json["after"])
    assert done.code == 1
    assert (done.json["finished"], done.json["after"]) == (True, None)
    assert done.json["read"][0]["documents"] == 1


def test_the_picture_is_what_the_command_writes() -> None:
    assert PICTURE.read_text() == picture()
