"""Observers see what the wire sees, and never a value."""

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from mongospec_core import DuplicateKeyError, OperationTimeoutError, instrument, transaction
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person

SECRET = "s3cr3t@example.com"  # a value; it must show up nowhere


class Recorder:
    """An observer that keeps the attributes, as they were at each end."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, attributes: dict[str, Any]) -> Generator[None]:
        self.started.append(dict(attributes))
        yield
        self.ended.append(dict(attributes))

    def names(self) -> list[str]:
        return [each["db.operation.name"] for each in self.started]


async def use_everything(people: int) -> None:
    """Each verb once, and cursors of every length around their batches."""
    await Person.insert_many([Person(name=SECRET, age=n) for n in range(people)])
    ada = await Person(name=SECRET).insert()
    ada.age = -1
    await ada.save()
    await Person.find_one({"name": SECRET})
    await Person.find_all()
    for limit in (0, 3, 4, 6):
        for batch_size in (3, people + 1, people + 2):
            await Person.find(batch_size=batch_size, limit=limit).to_list(1_000_000)
    await Person.find().to_list()
    await Person.aggregate([{"$match": {"age": 1}}]).to_list()
    await Person.aggregate([{"$match": {}}], batch_size=2).to_list()
    await Person.find().explain()
    await Person.count({"name": SECRET})
    await Person.estimated_document_count()
    await Person.exists({"name": SECRET})
    await Person.distinct("name")
    await Person.update_one({"name": SECRET}, {"$set": {"age": 4}})
    await Person.update_many({"name": SECRET}, {"$inc": {"age": 4}})
    await Person.find_one_and_update({"name": SECRET}, {"$set": {"age": 5}})
    await Person.save_many([ada])
    async with transaction():
        await Person(name=SECRET).insert()
        await Person.find(batch_size=2).to_list(5)
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await Person(name=SECRET).insert()
            raise ZeroDivisionError
    await Person.find_one_and_delete({"name": SECRET})
    await ada.delete()
    await Person.delete_many({"name": SECRET})


@pytest.mark.parametrize("people", [5, 150])
async def test_what_the_observer_saw_is_what_the_wire_saw(
    bind: Bind, mongo_proxy: FaultProxy, people: int
) -> None:
    database = await bind(Person)
    recorder = Recorder()
    with instrument(recorder), mongo_proxy.recording() as seen:
        await use_everything(people)
    wire = [each.name for each in seen if each.name != "killCursors"]
    assert recorder.names() == wire
    assert "getMore" in wire
    for attributes in recorder.started:
        assert attributes["db.system.name"] == "mongodb"
        if attributes["db.operation.name"] in {"commitTransaction", "abortTransaction"}:
            assert attributes["db.namespace"] == "admin"
            assert "db.collection.name" not in attributes
        else:
            assert attributes["db.namespace"] == database.name
            assert attributes["db.collection.name"] == "people"
            assert attributes["mongospec.operation"].startswith("Person.")
    assert SECRET not in repr(recorder.started + recorder.ended)


async def test_find_all_gives_the_same_while_it_is_observed(bind: Bind) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n}") for n in range(250)])
    plain = await Person.find_all(sort="age")
    with instrument(Recorder()):
        assert await Person.find_all(sort="age") == plain
        assert await Person.find_all({"name": "none"}) == []
        assert len(await Person.find_all(limit=120)) == 120


async def test_find_all_has_one_deadline_while_it_is_observed(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n}") for n in range(150)])
    with (
        instrument(Recorder()),
        mongo_proxy.delay(("find", "getMore"), 0.25),
        pytest.raises(OperationTimeoutError),
    ):
        await Person.find_all(timeout=0.4)


async def test_the_batch_size_is_told(bind: Bind) -> None:
    await bind(Person)
    recorder = Recorder()
    with instrument(recorder):
        people = [Person(name="a"), Person(name="b"), Person(name="c")]
        await Person.insert_many(people)
        for person in people:
            person.age = 1
        await Person.save_many(people)
    assert [each["db.operation.batch.size"] for each in recorder.started] == [3, 3]


async def test_an_error_is_told_by_type_code_and_outcome_without_values(
    bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    await bind(Account)
    await Account(email=SECRET).insert()
    recorder = Recorder()
    caplog.set_level(logging.DEBUG, "mongospec.operations")
    with instrument(recorder), pytest.raises(DuplicateKeyError, match="dup key"):
        await Account(email=SECRET).insert()
    (ended,) = recorder.ended
    assert ended["error.type"] == "DuplicateKeyError"
    assert ended["db.response.status_code"] == "11000"
    assert ended["mongospec.outcome"] == "not_applied"
    assert "DuplicateKeyError" in caplog.text
    assert SECRET not in caplog.text + repr(ended)
    assert all(SECRET not in repr(record.__dict__) for record in caplog.records)


async def test_a_lost_reply_is_told_as_unknown(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    recorder = Recorder()
    with (
        instrument(recorder),
        mongo_proxy.cut("insert", at="reply", times=2),
        pytest.raises(Exception, match="I/O"),
    ):
        await Person(name="x").insert()
    assert recorder.ended[0]["mongospec.outcome"] == "unknown"


async def test_a_cancelled_operation_is_seen_to_its_end(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    recorder = Recorder()
    with instrument(recorder), mongo_proxy.delay("insert", 0.1), pytest.raises(TimeoutError):
        await asyncio.wait_for(Person(name="x").insert(), 0.02)
    assert recorder.ended[0]["mongospec.outcome"] == "applied"


async def test_several_observers_nest_and_end(bind: Bind) -> None:
    await bind(Person)
    order: list[str] = []

    def observer(name: str) -> Any:
        @contextmanager
        def around(attributes: dict[str, Any]) -> Generator[None]:
            order.append(f"{name} in")
            yield
            order.append(f"{name} out")

        return around

    outer = instrument(observer("outer"))
    with instrument(observer("inner")):
        await Person.find_one()
    outer.remove()
    outer.remove()
    await Person.find_one()
    assert order == ["outer in", "inner in", "inner out", "outer out"]


async def test_an_observer_that_fails_or_swallows_changes_nothing(
    bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    await bind(Account)

    def broken(attributes: dict[str, Any]) -> Any:
        raise ZeroDivisionError("observer")

    @contextmanager
    def breaks_at_the_end(attributes: dict[str, Any]) -> Generator[None]:
        yield
        raise ZeroDivisionError("at the end")

    @contextmanager
    def swallows(attributes: dict[str, Any]) -> Generator[None]:
        with suppress(BaseException):
            yield

    with instrument(broken), instrument(breaks_at_the_end), instrument(swallows):
        account = await Account(email="a@x").insert()
        assert account.id is not None
        with pytest.raises(DuplicateKeyError):
            await Account(email="a@x").insert()
    assert "an observer failed" in caplog.text
    assert await Account.count() == 1


async def test_every_command_is_logged_at_debug(
    bind: Bind, mongo_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    database = await bind(Person)
    with caplog.at_level(logging.DEBUG, "mongospec.operations"), mongo_proxy.recording() as seen:
        await use_everything(5)
    records = [record for record in caplog.records if record.name == "mongospec.operations"]
    assert len(records) == len([each for each in seen if each.name != "killCursors"])
    assert all(record.levelno == logging.DEBUG for record in records)
    assert f"find {database.name}.people (Person.find_one): " in caplog.text
    assert SECRET not in caplog.text


async def test_slow_ones_are_warnings(
    bind: Bind, mongo_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    await bind(Person)
    with instrument(slow=0.1):
        await Person.find_one()
        with mongo_proxy.delay("find", 0.15):
            await Person.find_one()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("slow: find ")


async def test_without_observers_nothing_is_logged(
    bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    await bind(Person)
    await Person.find_one()
    assert caplog.records == []


async def test_a_comment_reaches_the_server(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        ada = await Person(name="Ada").insert(comment="why")
        await Person.find_one(comment="why")
        ada.age = 1
        await ada.save(comment="why")
        ada.age = 2
        await Person.save_many([ada], comment="why")
        await Person.delete_many({}, comment="why")
    assert [each.body["comment"] for each in seen] == ["why"] * 5
