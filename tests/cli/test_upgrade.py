"""``upgrade`` writes back what ``__upgrade__`` makes of old documents, and loses nothing."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mongojet
import pytest
from bson import ObjectId

from mongospec import MongoDocument, OperationError
from mongospec_cli import Position, ReadProgress, Upgrade, audit, upgrade
from mongospec_cli.upgrade import _Upgrader
from mongospec_testing import FaultProxy
from tests.cli.conftest import INTERRUPT, Run
from tests.conftest import Bind


class Person(MongoDocument):
    _id: Any = None
    name: str
    tags: list[str] = []

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if raw.get("damaged"):
            raise KeyError("first")
        if "first" in raw:
            raw["name"] = f"{raw.pop('first')} {raw.pop('last', '')}".strip()
        if isinstance(raw.get("tags"), str):
            raw["tags"] = raw["tags"].split()
        if "price" in raw:
            raw["price"] *= 100
        if raw.get("renumber"):
            raw["_id"] = "new"
            del raw["renumber"]
        return raw


class Plain(MongoDocument):
    name: str


async def stored(db: mongojet.Database) -> list[dict[str, Any]]:
    return await (await db["Person"].find(sort={"_id": 1})).to_list()


def counts(done: Upgrade) -> list[tuple[str, int, int, int]]:
    return [(each.owner, each.documents, each.old, each.written) for each in done.collections]


async def test_old_documents_are_written_and_a_second_run_finds_none(bind: Bind) -> None:
    db = await bind(Person, Plain)
    await db["Person"].insert_many(
        [
            {"_id": 1, "first": "Ada", "last": "L", "other": 5},
            {"_id": 2, "name": "Bo", "tags": ["x"]},
            {"_id": 3, "name": "Cy", "tags": "a b"},
        ]
    )
    done = await upgrade([Plain, Person])
    assert counts(done) == [("Person", 3, 2, 2)]
    assert done.complete
    assert await stored(db) == [
        {"_id": 1, "other": 5, "name": "Ada L"},
        {"_id": 2, "name": "Bo", "tags": ["x"]},
        {"_id": 3, "name": "Cy", "tags": ["a", "b"]},
    ]
    assert counts(await upgrade([Person])) == [("Person", 3, 0, 0)]
    assert (await audit([Person])).old == []


async def test_a_dry_run_writes_nothing(bind: Bind) -> None:
    db = await bind(Person)
    await db["Person"].insert_one({"_id": 1, "first": "Ada"})
    done = await upgrade([Person], dry_run=True)
    assert (counts(done), done.complete, done.dry_run) == ([("Person", 1, 1, 0)], False, True)
    assert await stored(db) == [{"_id": 1, "first": "Ada"}]


async def test_what_cannot_be_upgraded_is_left_with_its_reason(bind: Bind) -> None:
    db = await bind(Person)
    left: list[dict[str, Any]] = [
        {"_id": 1, "name": "x", "damaged": True},
        {"_id": 2, "first": "Ada", "tags": [5]},
        {"_id": 3, "name": "x", "price": 1},
        {"_id": 4, "name": "x", "renumber": True},
    ]
    await db["Person"].insert_many([*left, {"_id": 5, "first": "Bo"}])
    done = await upgrade([Person])
    assert counts(done) == [("Person", 5, 1, 1)]
    assert await stored(db) == [*left, {"_id": 5, "name": "Bo"}]
    reasons = {each.examples[0]: each.reason for each in done.left}
    assert "KeyError" in reasons[1]
    assert reasons[2].startswith("tags[0]: Expected `str`")
    assert "changes its own result" in reasons[3]
    assert "changes the _id" in reasons[4]
    assert not done.complete


async def test_what_a_validator_refuses_is_left(bind: Bind) -> None:
    db = await bind(Person)
    await db["Person"].insert_many([{"_id": 1, "first": "Ada"}, {"_id": 2, "first": "Bo"}])
    rule = {"name": {"$ne": "Bo"}}
    await db.run_command({"collMod": "Person", "validator": rule})
    done = await upgrade([Person])
    assert counts(done) == [("Person", 2, 2, 1)]
    assert [each.examples for each in done.left] == [[2]]


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, db: mongojet.Database, *writes: dict[str, Any]
) -> None:
    """Let others write document 1 each time between an upgrade's read and its write."""
    pending = list(writes)
    write: Callable[..., Any] = _Upgrader._write

    async def late(self: Any, old: Any) -> Any:
        if pending:
            await db["Person"].update_one({"_id": 1}, {"$set": pending.pop(0)})
        return await write(self, old)

    monkeypatch.setattr(_Upgrader, "_write", late)


async def test_a_newer_write_is_not_lost(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    db = await bind(Person)
    await db["Person"].insert_many([{"_id": 1, "first": "Ada"}, {"_id": 2, "first": "Bo"}])
    meanwhile(monkeypatch, db, {"first": "Eve"}, {"note": "kept", "first": ["Eve"]})
    done = await upgrade([Person])
    assert await stored(db) == [
        {"_id": 1, "note": "kept", "name": "['Eve']"},
        {"_id": 2, "name": "Bo"},
    ]
    assert (counts(done), done.complete) == ([("Person", 2, 2, 2)], True)


async def test_what_others_write_all_the_time_is_left_for_another_run(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = await bind(Person)
    await db["Person"].insert_one({"_id": 1, "first": "Ada"})
    meanwhile(monkeypatch, db, *({"count": number} for number in range(5)))
    done = await upgrade([Person])
    assert (counts(done), [each.examples for each in done.left]) == ([("Person", 1, 1, 0)], [[1]])
    assert await stored(db) == [{"_id": 1, "first": "Ada", "count": 4}]
    assert (await upgrade([Person])).complete


async def test_a_failed_write_is_an_error_and_the_next_run_goes_on(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    db = await bind(Person)
    await db["Person"].insert_many([{"_id": number, "first": "Ada"} for number in range(3)])
    done = Upgrade(database="")
    with mongo_proxy.fail("update", 13), pytest.raises(OperationError):
        await upgrade([Person], into=done)
    assert counts(done) == [("Person", 0, 3, 0)]
    assert counts(await upgrade([Person])) == [("Person", 3, 3, 3)]


async def test_a_write_whose_reply_is_lost_is_not_made_twice(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    db = await bind(Person)
    await db["Person"].insert_many([{"_id": number, "first": "Ada"} for number in range(3)])
    with mongo_proxy.cut("update", at="reply", times=1):
        done = await upgrade([Person])
    assert done.complete
    assert [each["name"] for each in await stored(db)] == ["Ada"] * 3
    assert (await audit([Person])).old == []


async def test_it_goes_on_after_a_document(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mongospec_cli.batches.BATCH", 2)
    db = await bind(Person)
    await db["Person"].insert_many([{"_id": number, "first": "Ada"} for number in range(5)])
    told: list[ReadProgress] = []
    assert counts(await upgrade([Person], dry_run=True, on_progress=told.append))[0][2] == 5
    assert [str(each.position) for each in told] == ["Person:1", "Person:3", "Person:4"]
    done = await upgrade([Person], after=told[0].position)
    assert counts(done) == [("Person", 3, 3, 3)]
    assert counts(await upgrade([Person], after=Position("Person", -1))) == [("Person", 5, 2, 2)]


async def test_names_that_an_update_cannot_set_are_written_as_well(bind: Bind) -> None:
    class Odd(MongoDocument):
        name: str = ""

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            if "a.b" not in raw:
                raw["a.b"] = 1
            return raw

    db = await bind(Odd)
    await db["Odd"].insert_one({"name": "x", "other": 5})
    assert counts(await upgrade([Odd])) == [("Odd", 1, 1, 1)]
    [found] = await (await db["Odd"].find()).to_list()
    assert {name: each for name, each in found.items() if name != "_id"} == {
        "name": "x",
        "other": 5,
        "a.b": 1,
    }


# -- by the command

MODELS = """
from mongospec import MongoDocument


class User(MongoDocument):
    __collection_name__ = "users"

    name: str

    @classmethod
    def __upgrade__(cls, raw):
        if "full_name" in raw:
            raw["name"] = raw.pop("full_name")
        return raw
"""


async def test_the_command_upgrades_and_says_how_many(
    run: Run, folder: Path, mongo_db: mongojet.Database
) -> None:
    (folder / "models.py").write_text(MODELS)
    users = mongo_db["users"]
    await users.insert_many([{"full_name": "Ada"}, {"name": "Bo"}])
    done = run("upgrade", "models", "--dry-run")
    assert (done.code, done.err) == (1, "")
    assert done.out == "User  1 old one, nothing written  (2 documents read)\n"
    done = run("upgrade", "models")
    assert (done.code, done.err) == (0, "")
    assert done.out == "User  1 old one, 1 written  (2 documents read)\n"
    await users.insert_one({"_id": ObjectId(), "full_name": 5})
    done = run("upgrade", "models", "--json")
    assert done.code == 1
    assert [each["count"] for each in done.json["left"]] == [1]


async def test_ctrl_c_leaves_what_was_written_and_says_how_to_go_on(
    run: Run, folder: Path, mongo_db: mongojet.Database
) -> None:
    (folder / "models.py").write_text(INTERRUPT)
    await mongo_db["notes"].insert_many([{"_id": n, "title": "x"} for n in range(1, 6)])
    done = run("upgrade", "models", CTRL_C="1")
    assert done.code == 130
    assert "4 written" in done.out
    # The batch that was being written is told as done only if its reply came first.
    assert re.fullmatch(
        r"done up to Note:([24]); go on with --after Note:\1\nmongospec: interrupted\n", done.err
    )
    assert await mongo_db["notes"].count_documents({"text": "x"}) == 4
    await mongo_db["notes"].insert_one({"_id": 0, "title": "x"})
    done = run("upgrade", "models", "--json", CTRL_C="1")
    assert (done.code, done.json["finished"]) == (130, False)
    assert run("upgrade", "models", "--after", done.json["after"]).code == 0
    assert run("upgrade", "models", "--dry-run").code == 0
