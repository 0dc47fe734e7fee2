"""What ``apply`` does: a plan's steps, one after another, however often and by whomever."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mongojet
import pytest
from bson import Int64

from mongospec_cli import OutdatedPlanError, Plan, Progress, Step, apply, plan
from mongospec_cli.apply import build_pipeline
from mongospec_core import DuplicateKeyError, MongoDocument
from mongospec_testing import Command, FaultProxy, MongoServer
from tests.cli.conftest import MODELS, Run
from tests.cli.test_plan import NAME, declaring, planned
from tests.conftest import Bind


async def indexes_of(db: mongojet.Database, name: str = NAME) -> dict[str, dict[str, Any]]:
    reply = await db.run_command({"listIndexes": name, "cursor": {}})
    return {each["name"]: each for each in reply["cursor"]["firstBatch"] if each["name"] != "_id_"}


async def applied(
    bind: Bind, there: list[dict[str, Any]], declared: list[dict[str, Any]], *, drop: bool = False
) -> type[MongoDocument]:
    found = await planned(bind, there, declared, drop=drop)
    cls = declaring(*declared)
    await bind(cls, indexes="skip")
    await apply(found, [cls])
    return cls


async def test_what_is_missing_is_there_then(bind: Bind, mongo_db: mongojet.Database) -> None:
    cls = await applied(bind, [], [{"key": {"kind": 1}}, {"key": {"at": -1}}])
    assert sorted(await indexes_of(mongo_db)) == ["at_-1", "kind_1"]
    assert not (await plan([cls])).differs


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ({"expireAfterSeconds": 60}, {"expireAfterSeconds": 3600}, "at_1"),
        ({}, {"expireAfterSeconds": 3600}, "at_1"),
        ({"expireAfterSeconds": 60}, {}, "at_1"),
        ({}, {"unique": True}, "at_1_2"),
        ({}, {"key": {"at": 1, "kind": 1}, "name": "at_1"}, "at_1_2"),
    ],
)
async def test_after_a_change_there_is_one_index_and_nothing_left_to_do(
    bind: Bind,
    mongo_db: mongojet.Database,
    before: dict[str, Any],
    after: dict[str, Any],
    name: str,
) -> None:
    cls = await applied(bind, [{"key": {"at": 1}, **before}], [{"key": {"at": 1}, **after}])
    found = await indexes_of(mongo_db)
    assert list(found) == [name]
    wanted = {"key": {"at": 1}, **after, "name": name}
    assert {option: found[name].get(option) for option in wanted} == wanted
    assert not (await plan([cls])).differs


async def test_what_nobody_declares_is_hidden_first_and_dropped_the_next_time(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    cls = await applied(bind, [{"key": {"at": 1}}], [], drop=True)
    if not (await indexes_of(mongo_db))["at_1"].get("hidden"):
        pytest.skip("this server does not list hidden indexes as hidden")
    found = await plan([cls], drop=True)
    assert [step.action for step in found.steps] == ["drop"]
    await apply(found, [cls])
    assert await indexes_of(mongo_db) == {}


async def test_a_hidden_index_that_nobody_declares_is_dropped(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    found = await planned(bind, [{"key": {"at": 1}}], [], drop=True)
    assert [step.action for step in found.steps] == ["hide"]
    there = (await indexes_of(mongo_db))["at_1"]
    cls = declaring()
    await bind(cls, indexes="skip")
    step = Step(action="drop", collection=NAME, name="at_1", before=there, blocked="")
    made = Plan(database=mongo_db.name, steps=[step])
    await apply(made, [cls])
    assert await indexes_of(mongo_db) == {}
    await apply(made, [cls])  # and again: nothing is left to drop


async def test_it_may_be_run_again_and_by_two_at_once(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    declared: list[dict[str, Any]] = [
        {"key": {"kind": 1}},
        {"key": {"at": 1}, "unique": True},
        {"key": {"text": 1}},
    ]
    there = [{"key": {"at": 1}}, {"key": {"text": 1}, "expireAfterSeconds": 60}]
    found = await planned(bind, there, declared)
    cls = declaring(*declared)
    await bind(cls, indexes="skip")
    await asyncio.gather(apply(found, [cls]), apply(found, [cls]))
    await apply(found, [cls])
    assert sorted(await indexes_of(mongo_db)) == ["at_1_2", "kind_1", "text_1"]
    assert not (await plan([cls])).differs


async def test_an_index_that_changed_since_the_plan_is_left_alone(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    found = await planned(bind, [{"key": {"at": 1}}], [{"key": {"at": 1}, "unique": True}])
    await mongo_db.run_command({"dropIndexes": NAME, "index": "at_1"})
    other = {"key": {"kind": -1}, "name": "at_1"}
    await mongo_db.run_command({"createIndexes": NAME, "indexes": [other]})
    cls = declaring({"key": {"at": 1}, "unique": True})
    await bind(cls, indexes="skip")
    with pytest.raises(OutdatedPlanError, match="make a new plan"):
        await apply(found, [cls])
    assert list(await indexes_of(mongo_db)) == ["at_1"]


async def test_a_step_that_fails_leaves_the_old_index(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    found = await planned(bind, [{"key": {"at": 1}}], [{"key": {"at": 1}, "unique": True}])
    await mongo_db[NAME].insert_many([{"at": 1}, {"at": 1}])
    cls = declaring({"key": {"at": 1}, "unique": True})
    await bind(cls, indexes="skip")
    told: list[Progress] = []
    with pytest.raises(DuplicateKeyError):
        await apply(found, [cls], on_progress=told.append)
    assert list(await indexes_of(mongo_db)) == ["at_1"]
    assert [each.finished for each in told] == [False]


async def test_progress_is_told_at_the_beginning_and_at_the_end_of_each_step(bind: Bind) -> None:
    declared: list[dict[str, Any]] = [{"key": {"kind": 1}}, {"key": {"at": 1}}]
    found = await planned(bind, [], declared)
    cls = declaring(*declared)
    await bind(cls, indexes="skip")
    told: list[Progress] = []
    await apply(found, [cls], on_progress=told.append)
    assert [(each.number, each.total, each.finished) for each in told] == [
        (1, 2, False),
        (1, 2, True),
        (2, 2, False),
        (2, 2, True),
    ]


# -- the progress of an index build

BUILD: dict[str, Any] = {
    "type": "op",
    "desc": "IndexBuildsCoordinatorMongod-0",
    "op": "command",
    "ns": f"shop.{NAME}",
    "command": {
        "createIndexes": NAME,
        "indexes": [{"key": {"at": 1}, "name": "at_1"}],
        "$db": "shop",
    },
    "msg": "Index Build: scanning collection Index Build: scanning collection: 600/1000 60%",
    "progress": {"done": 600, "total": Int64(1000)},
}
"""An operation as MongoDB documents the output of ``$currentOp``."""


def operations(*builds: dict[str, Any]) -> dict[str, Any]:
    """The reply to ``$currentOp``."""
    return {"cursor": {"id": Int64(0), "ns": "admin.$cmd.aggregate", "firstBatch": builds}, "ok": 1}


def asks_for_operations(command: Command) -> bool:
    return "$currentOp" in command.body["pipeline"][0]


async def building(bind: Bind) -> tuple[Plan, type[MongoDocument]]:
    """The plan of an index in a collection that has documents."""
    db = await bind()
    await db[NAME].insert_one({"at": 1})
    declared = {"key": {"at": 1}}
    found = await planned(bind, [], [declared])
    cls = declaring(declared)
    await bind(cls, indexes="skip")
    return found, cls


async def test_the_progress_of_an_index_build_is_that_of_all_shards(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["mongospec_cli.apply"], "_POLL_SECONDS", 0.01)
    found, cls = await building(bind)
    told: list[Progress] = []
    held = mongo_proxy.stall("createIndexes")
    shard = {**BUILD, "progress": {"done": 1, "total": 10}}
    mongo_proxy.reply("aggregate", operations(), where=asks_for_operations, times=1)
    mongo_proxy.reply("aggregate", operations(BUILD, shard), where=asks_for_operations, skip=1)

    def note(progress: Progress) -> None:
        told.append(progress)
        if progress.of:
            held.remove()

    async with asyncio.timeout(60):
        await apply(found, [cls], on_progress=note)
    assert (601, 1010) in [(each.done, each.of) for each in told]
    assert told[-1].finished


async def test_a_user_who_may_not_see_operations_builds_without_progress(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["mongospec_cli.apply"], "_POLL_SECONDS", 0.01)
    found, cls = await building(bind)
    told: list[Progress] = []
    refusal = mongo_proxy.fail("aggregate", 13, where=asks_for_operations)
    held = mongo_proxy.stall("createIndexes")
    task = asyncio.create_task(apply(found, [cls], on_progress=told.append))
    await refusal.reached()
    held.remove()
    await task
    assert [(each.of, each.finished) for each in told] == [(0, False), (0, True)]


async def test_only_the_build_of_this_index_is_asked_for(bind: Bind) -> None:
    found, _ = await building(bind)
    command = BUILD["command"]
    others: list[dict[str, Any]] = [
        {**BUILD, "command": {**command, "createIndexes": "others"}},
        {**BUILD, "command": {**command, "$db": "test"}},
        {**BUILD, "command": {**command, "indexes": [{"key": {"kind": 1}, "name": "kind_1"}]}},
        {name: value for name, value in BUILD.items() if name != "progress"},
    ]
    db = await bind()
    await db["operations"].insert_many([BUILD, *others])
    asked, *stages = build_pipeline("shop", found.steps[0])
    assert asked == {"$currentOp": {"allUsers": True}}
    cursor = await db["operations"].aggregate(stages)
    assert [each["progress"] for each in await cursor.to_list()] == [{"done": 600, "total": 1000}]


# -- by the command


def test_without_a_terminal_it_needs_yes(run: Run) -> None:
    done = run("apply", "models")
    assert done.code == 2
    assert "--yes" in done.err


def test_yes_makes_the_changes_and_the_next_plan_is_empty(run: Run) -> None:
    done = run("apply", "models", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "ok 1/1 create users.email_1" in done.out
    assert done.out.endswith("1 of 1 changes were made\n")
    assert run("plan", "models", "--check").code == 0
    assert "nothing to change" in run("apply", "models", "--yes").out


def test_as_json_it_says_what_was_made(run: Run) -> None:
    done = run("apply", "models", "--yes", "--json")
    assert [step["name"] for step in done.json["made"]] == ["email_1"]


async def test_a_failed_change_says_what_was_made(run: Run, mongo_db: mongojet.Database) -> None:
    await mongo_db["users"].insert_many([{"email": "a"}, {"email": "a"}])
    done = run("apply", "models", "--yes")
    assert done.code == 2
    assert "0 of 1 changes were made" in done.out
    assert "email" in done.err and "Traceback" not in done.err


class Terminal:
    """The command under a pseudo-terminal."""

    def __init__(self, folder: Path, uri: str, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mongospec_cli", *arguments],
            cwd=folder,
            env=os.environ | {"MONGODB_URI": uri, "TERM": "xterm", "COLUMNS": "120"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 100
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self._read()

    def _read(self) -> bool:
        if select.select([self._master], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self._master, 4096).decode()
            except OSError:  # the other end is closed
                return False
        return True

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, and again: one between the question and the wait for its answer is lost."""
        for _ in range(10):
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)  # closing takes 5 seconds while a command is under way
                return

    def end(self) -> int:
        end = time.monotonic() + 100
        while self._read():  # to its end: the process may have ended with words unread
            if time.monotonic() > end:
                self.process.kill()
        os.close(self._master)
        return self.process.wait(60)


@pytest.mark.parametrize(("answer", "code", "said"), [("y", 0, "1 of 1"), ("n", 1, "nothing was")])
def test_in_a_terminal_it_asks_first_and_is_coloured(
    run: Run, folder: Path, mongo_server: MongoServer, answer: str, code: int, said: str
) -> None:
    terminal = Terminal(folder, mongo_server.uri, "apply", "models")
    terminal.wait_for("Make these changes?")
    terminal.type(f"{answer}\n")
    assert terminal.end() == code
    assert said in terminal.seen
    assert "\x1b[32m" in terminal.seen
    assert (run("plan", "models", "--check").code == 0) == (answer == "y")


def test_ctrl_c_at_the_question_changes_nothing(
    run: Run, folder: Path, mongo_server: MongoServer
) -> None:
    terminal = Terminal(folder, mongo_server.uri, "apply", "models")
    terminal.wait_for("Make these changes?")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "interrupted" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert run("plan", "models", "--check").code == 1


MANY = MODELS.replace(
    '[{"key": {"email": 1}, "unique": True}]', '[{"key": {"email": 1}}, {"key": {"name": 1}}]'
)


async def test_ctrl_c_in_an_index_build_says_what_was_made_and_a_second_run_finishes_it(
    run: Run, folder: Path, mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    (folder / "models.py").write_text(MANY)
    await mongo_db["users"].insert_one({"name": "Ada", "email": "a"})
    mongo_proxy.reply("aggregate", operations(BUILD), where=asks_for_operations)
    held = mongo_proxy.stall("createIndexes", skip=1)
    terminal = Terminal(folder, mongo_proxy.uri, "apply", "models", "--yes")
    terminal.wait_for("600/1000")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "1 of 2 changes were made" in terminal.seen
    assert "interrupted" in terminal.seen and "Traceback" not in terminal.seen
    held.remove()  # the server goes on
    done = run("apply", "models", "--yes")
    assert (done.code, done.err) == (0, "")
    assert sorted(await indexes_of(mongo_db, "users")) == ["email_1", "name_1"]
    assert run("plan", "models", "--check").code == 0
