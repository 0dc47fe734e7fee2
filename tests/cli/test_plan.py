"""What ``plan`` finds: indexes that are missing, differ, or that nobody declares."""

from typing import Any, ClassVar

import mongojet
import pytest

from mongospec_cli import CollectionSize, Plan, plan
from mongospec_core import MongoDocument
from scripts.plan_picture import PICTURE, picture
from tests.cli.conftest import Run
from tests.conftest import Bind

NAME = "events"


def declaring(*indexes: dict[str, Any]) -> type[MongoDocument]:
    class Event(MongoDocument):
        __collection_name__ = NAME
        __indexes__: ClassVar[list[Any]] = list(indexes)

        kind: str
        at: int = 0
        text: str = ""

    return Event


async def planned(
    bind: Bind,
    there: list[dict[str, Any]],
    declared: list[dict[str, Any]],
    *,
    drop: bool = False,
) -> Plan:
    """The plan of a class that declares *declared* on a collection that has *there*."""
    cls = declaring(*declared)
    db = await bind(cls, indexes="skip")
    await db[NAME].insert_one({"kind": "a"})
    if there:
        named = [{"name": f"{next(iter(each['key']))}_1", **each} for each in there]
        await db.run_command({"createIndexes": NAME, "indexes": named})
    return await plan([cls], drop=drop)


async def test_what_is_missing_is_created(bind: Bind, mongo_db: mongojet.Database) -> None:
    cls = declaring({"key": {"kind": 1}}, {"key": {"at": -1}})
    await bind(cls, indexes="skip")
    found = await plan([cls])
    assert found.database == mongo_db.name
    assert [(step.action, step.name, step.owner) for step in found.steps] == [
        ("create", "kind_1", "Event"),
        ("create", "at_-1", "Event"),
    ]
    assert found.steps[0].size == CollectionSize()
    assert (await mongo_db.run_command({"listCollections": 1}))["cursor"]["firstBatch"] == []


async def test_it_knows_how_much_there_is(bind: Bind) -> None:
    found = await planned(bind, [], [{"key": {"kind": 1}}])
    [step] = found.steps
    assert step.size.documents == 1
    assert step.size.size > 0
    assert "go on" in step.blocked


async def test_what_is_there_under_another_name_is_no_difference(bind: Bind) -> None:
    there = [{"key": {"kind": 1}, "name": "old", "unique": True}]
    found = await planned(bind, there, [{"key": {"kind": 1}, "unique": True}])
    assert (found.differs, found.steps, found.undeclared) == (False, [], [])


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ({"expireAfterSeconds": 60}, {"expireAfterSeconds": 3600}, "change"),
        ({}, {"expireAfterSeconds": 3600}, "change"),
        ({}, {"hidden": True}, "change"),
        ({"expireAfterSeconds": 60}, {}, "replace"),
        ({}, {"unique": True}, "rebuild"),
        ({"unique": True}, {}, "rebuild"),
        ({}, {"sparse": True}, "rebuild"),
        ({}, {"collation": {"locale": "en"}}, "rebuild"),
        ({}, {"partialFilterExpression": {"at": {"$gt": 0}}}, "rebuild"),
        ({}, {"key": {"at": 1, "kind": 1}, "name": "at_1"}, "rebuild"),
    ],
)
async def test_a_changed_index_takes_the_way_that_mongodb_has(
    bind: Bind, before: dict[str, Any], after: dict[str, Any], action: str
) -> None:
    found = await planned(bind, [{"key": {"at": 1}, **before}], [{"key": {"at": 1}, **after}])
    [step] = found.steps
    assert step.action == action
    assert step.before is not None and step.before["name"] == "at_1"
    assert step.name == ("at_1_2" if action == "rebuild" else "at_1")
    assert step.after is not None
    assert found.undeclared == []


async def test_what_nobody_declares_is_left_alone_or_hidden(bind: Bind) -> None:
    found = await planned(bind, [{"key": {"at": 1}}], [])
    assert not found.differs
    assert [each.index and each.index["name"] for each in found.undeclared] == ["at_1"]
    cls = declaring()
    await bind(cls, indexes="skip")
    [step] = (await plan([cls], drop=True)).steps
    assert (step.action, step.name) == ("hide", "at_1")


# -- by the command


def test_a_plan_reads_like_a_diff(run: Run) -> None:
    done = run("plan", "models")
    assert (done.code, done.err) == (0, "")
    assert "users  empty" in done.out
    assert "  + create index email_1 {email: 1} unique=True  User  (nothing)" in done.out
    assert done.out.endswith(": 1 change\n")


def test_check_exits_with_1_if_there_is_a_change(run: Run) -> None:
    assert run("plan", "models", "--check").code == 1


async def test_check_exits_with_0_if_nothing_is_to_be_changed(
    run: Run, mongo_db: mongojet.Database
) -> None:
    index = {"key": {"email": 1}, "name": "email_1", "unique": True}
    await mongo_db.run_command({"createIndexes": "users", "indexes": [index]})
    done = run("plan", "models", "--check")
    assert (done.code, done.out) == (0, f"{mongo_db.name}: nothing to change\n")


def test_a_plan_as_json_has_its_steps(run: Run) -> None:
    [step] = run("plan", "models", "--json").json["steps"]
    assert (step["action"], step["collection"], step["name"]) == ("create", "users", "email_1")


def test_the_picture_in_the_readme_is_what_the_command_writes() -> None:
    assert PICTURE.read_text() == picture()
