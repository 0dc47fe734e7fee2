"""What ``plan`` and ``apply`` do about collections: their options, and their validators."""

import asyncio
import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import mongojet
import pytest

import mongospec
from mongospec_cli import OutdatedPlanError, Step, apply, plan
from mongospec_core import MongoDocument, OperationError, close
from mongospec_testing import FaultProxy
from tests.cli.conftest import Run
from tests.conftest import Bind
from tests.core.test_collections import without_collections

NAME = "readings"
CAPPED = {"capped": True, "size": 8192}
SERIES = {"timeseries": {"timeField": "at", "granularity": "seconds"}, "expireAfterSeconds": 60}


def declaring(options: Mapping[str, Any], *, validator: Any = None) -> Any:
    class Reading(MongoDocument, validator=validator):
        __collection_name__ = NAME
        __collection_options__: ClassVar[Mapping[str, Any]] = options
        __indexes__: ClassVar[list[Any]] = [{"key": {"value": 1}}]

        at: dt.datetime | None = None
        value: int = 0

    return Reading


async def bound(bind: Bind, options: Mapping[str, Any], *, validator: Any = None) -> Any:
    """A class that is the only one that is bound; nothing is created for it."""
    await close()
    cls = declaring(options, validator=validator)
    await bind(cls, indexes="skip", validators="skip")
    return cls


def shown(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.action, step.of) for step in steps]


@pytest.mark.parametrize(
    ("options", "validator"), [(CAPPED, None), (SERIES, None), ({}, "error"), (CAPPED, "warn")]
)
async def test_a_collection_is_created_before_its_indexes(
    bind: Bind, mongo_db: mongojet.Database, options: dict[str, Any], validator: str | None
) -> None:
    cls = await bound(bind, options, validator=validator)
    found = await plan([cls])
    assert shown(found.steps) == [("create", "collection"), ("create", "index")]
    assert (await mongo_db.run_command({"listCollections": 1}))["cursor"]["firstBatch"] == []
    await apply(found, [cls])
    await apply(found, [cls])
    assert not (await plan([cls])).differs
    await bind(cls, indexes="check", validators="check")


async def test_a_validator_is_added_and_changed_in_place(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    await mongo_db[NAME].insert_one({"value": "old"})
    for validator in ("warn", "error"):
        cls = await bound(bind, {}, validator=validator)
        found = await plan([cls])
        assert shown(found.steps)[0] == ("change", "collection")
        assert found.steps[0].size.documents == 1
        await apply(found, [cls])
        assert not (await plan([cls])).differs
    with pytest.raises(mongojet.PyMongoError, match="failed validation"):
        await mongo_db[NAME].insert_one({"value": "new"})


@pytest.mark.parametrize(
    ("before", "after", "command"),
    [
        (SERIES, {**SERIES, "expireAfterSeconds": 70}, {"expireAfterSeconds": 70}),
        (SERIES, {"timeseries": SERIES["timeseries"]}, {"expireAfterSeconds": "off"}),
        (
            SERIES,
            {**SERIES, "timeseries": {"timeField": "at", "granularity": "hours"}},
            {"timeseries": {"granularity": "hours"}},
        ),
        (CAPPED, {"capped": True, "size": 100_000}, {"cappedSize": 100_000}),
        ({**CAPPED, "max": 5}, {**CAPPED, "max": 6}, {"cappedMax": 6}),
    ],
)
async def test_what_mongodb_changes_in_place_is_one_coll_mod(
    bind: Bind,
    mongo_proxy: FaultProxy,
    before: dict[str, Any],
    after: dict[str, Any],
    command: dict[str, Any],
) -> None:
    await (await bind()).run_command({"create": NAME, **before})
    cls = await bound(bind, after)
    found = await plan([cls])
    assert (shown(found.steps)[0], found.problems) == (("change", "collection"), [])
    await apply(found, [cls])  # the embedded server does not list the new values
    [sent] = [each.body for each in mongo_proxy.commands if each.name == "collMod"]
    assert {name: sent[name] for name in sent if name in command} == command
    assert len([name for name in sent if not name.startswith("$") and name != "lsid"]) == 2


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({}, CAPPED, "capped=True.*cannot change.*rename"),
        (CAPPED, {"collation": {"locale": "en"}}, "collation=.*capped=None"),
        ({"timeseries": {"timeField": "t"}}, SERIES, "timeField"),
        ({**CAPPED, "max": 5}, CAPPED, "max=None"),
    ],
)
async def test_what_cannot_be_changed_is_a_problem_that_says_what_to_do(
    bind: Bind, mongo_db: mongojet.Database, before: Any, after: Any, text: str
) -> None:
    await mongo_db.run_command({"create": NAME, **before})
    cls = await bound(bind, after)
    found = await plan([cls])
    [problem] = found.problems
    assert problem.collection == NAME
    assert re.search(text, problem.text)
    assert found.differs


async def test_a_validator_that_nobody_declares_and_options_of_other_classes_are_left_alone(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    await mongo_db.run_command({"create": NAME, **CAPPED, "validator": {"value": {"$gte": 0}}})
    cls = await bound(bind, {})
    found = await plan([cls])
    assert (shown(found.steps), found.problems) == ([("create", "index")], [])


async def test_the_validator_of_a_class_without_its_keyword_is_reported_and_dropped_if_asked(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    await bind(declaring(CAPPED, validator="warn"))
    cls = await bound(bind, CAPPED)
    found = await plan([cls])
    assert (found.differs, [each.collection for each in found.undeclared]) == (False, [NAME])
    assert "$jsonSchema" in (found.undeclared[0].validator or {})
    dropping = await plan([cls], drop=True)
    assert ([(each.action, each.of) for each in dropping.steps], dropping.undeclared) == (
        [("drop", "validator")],
        [],
    )
    await apply(dropping, [cls])
    await apply(dropping, [cls])
    assert (await plan([cls])).undeclared == []
    options = (await mongo_db.run_command({"listCollections": 1}))["cursor"]["firstBatch"][0]
    assert not options["options"].get("validator")
    assert options["options"]["capped"] is True
    await mongo_db[NAME].insert_one({"value": "of another type"})


async def test_a_validator_that_was_replaced_since_the_plan_is_not_dropped(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    await bind(declaring({}, validator="error"))
    cls = await bound(bind, {})
    dropping = await plan([cls], drop=True)
    await mongo_db.run_command({"collMod": NAME, "validator": {"$jsonSchema": {"required": ["x"]}}})
    with pytest.raises(OutdatedPlanError, match="make a new plan"):
        await apply(dropping, [cls])
    await mongo_db[NAME].drop()
    await apply(dropping, [cls])


async def test_a_collection_that_is_not_what_the_plan_saw_is_left_alone(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    cls = await bound(bind, CAPPED, validator="error")
    new = await plan([cls])
    await mongo_db.run_command({"create": NAME})
    with pytest.raises(OutdatedPlanError, match="make a new plan"):
        await apply(new, [cls])
    cls = await bound(bind, {}, validator="error")
    change = await plan([cls])
    await mongo_db[NAME].drop()
    with pytest.raises(OutdatedPlanError, match="it is gone"):
        await apply(change, [cls])


async def test_two_at_once_create_one_collection(bind: Bind) -> None:
    cls = await bound(bind, CAPPED, validator="error")
    found = await plan([cls])
    await asyncio.gather(*(apply(found, [cls]) for _ in range(5)))
    assert not (await plan([cls])).differs


async def test_a_collection_that_was_created_after_a_look_is_as_good(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = await bound(bind, CAPPED, validator="error")
    found = await plan([cls])
    await apply(found, [cls])
    with (
        mongo_proxy.rewrite("listCollections", without_collections, times=1) as looked,
        mongo_proxy.fail("create", 48) as created,
    ):
        await apply(found, [cls])
    assert (len(looked.hits), len(created.hits)) == (1, 1)


async def test_a_refusal_of_the_server_is_raised(bind: Bind, mongo_proxy: FaultProxy) -> None:
    cls = await bound(bind, CAPPED)
    found = await plan([cls])
    with mongo_proxy.fail("create", 13, message="no"), pytest.raises(OperationError) as caught:
        await apply(found, [cls])
    assert caught.value.code == 13


async def test_a_class_with_references_passes_its_own_validator(bind: Bind) -> None:
    class Author(mongospec.MongoDocument, validator="error"):
        name: str

    class Post(mongospec.MongoDocument, validator="error"):
        title: str
        author: Author | None = None
        more: list[Author] = []

    db = await bind(Author, Post)
    author = await Author(name="Alice").insert()
    post = await Post(title="a", author=author, more=[author]).insert()
    post.title = "b"
    await post.save()
    with pytest.raises(mongojet.PyMongoError, match="failed validation"):
        await db["Post"].insert_one({"title": "a", "author": "Alice"})
    assert not (await plan([Author, Post])).differs


# -- by the command

MODELS = """
from mongospec import MongoDocument


class Log(MongoDocument, validator="VALIDATOR"):
    __collection_name__ = "logs"
    __collection_options__ = {"capped": True, "size": SIZE}

    text: str
"""


def write_models(folder: Path, validator: str, size: int = 8192) -> None:
    text = MODELS.replace("VALIDATOR", validator).replace("SIZE", str(size))
    (folder / "models.py").write_text(text)


def test_a_plan_shows_collections_and_apply_makes_them(run: Run, folder: Path) -> None:
    write_models(folder, "warn")
    line = "  + create collection capped=True size=8192 validator=$jsonSchema validationAction=warn  Log"
    assert line in run("plan", "models").out
    assert "ok 1/1 create logs\n" in run("apply", "models", "--yes").out
    assert run("plan", "models", "--check").code == 0
    write_models(folder, "error", 100_000)
    done = run("plan", "models", "--check")
    assert done.code == 1
    assert (
        "  ~ change collection size 8192 -> 100000, validationAction warn -> error  Log" in done.out
    )


async def test_a_problem_makes_the_exit_code_1(
    run: Run, folder: Path, mongo_db: mongojet.Database
) -> None:
    write_models(folder, "error")
    await mongo_db.run_command({"create": "logs"})
    done = run("plan", "models", "--check")
    assert done.code == 1
    assert "! logs: Log declares capped=True" in done.out
    assert "2 for you" not in done.out and "1 for you to decide" in done.out
    assert run("apply", "models", "--yes").code == 1


def test_a_validator_without_a_keyword_is_a_line_and_a_change_with_drop(
    run: Run, folder: Path
) -> None:
    write_models(folder, "error")
    assert run("apply", "models", "--yes").code == 0
    models = folder / "models.py"
    models.write_text(models.read_text().replace(', validator="error"', ""))
    done = run("plan", "models", "--check")
    assert done.code == 0
    assert "? logs: no class declares the validator $jsonSchema\n" in done.out
    assert "  --drop removes these; an index is hidden first\n" in done.out
    done = run("plan", "models", "--check", "--drop")
    assert done.code == 1
    assert "  - drop validator $jsonSchema  (the collection waits for a moment)\n" in done.out
    done = run("apply", "models", "--drop", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "ok 1/1 drop the validator of logs\n" in done.out
    assert "? logs" not in run("plan", "models").out
