"""Faults that the server makes itself: what an error reply says, the objects and the database do."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import mongojet
import pytest

from mongospec_core import OperationError, changes, run_in_transaction
from mongospec_core.extension import UNKNOWN_CONTENT, snapshot_of
from mongospec_testing import MongoServer
from tests.conftest import Bind
from tests.zoo.people import Person

type FailPoint = Callable[..., Awaitable[None]]


@pytest.fixture
async def fail_point(
    mongo_server: MongoServer, mongo_client: mongojet.Client
) -> AsyncIterator[FailPoint]:
    """``await fail_point("insert", errorCode=91)``: the next such command fails."""
    if mongo_server.kind == "uri" and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("a fail point is the whole server's, and other workers use it: run with -n 0")
    admin = mongo_client.get_database("admin")

    async def configured(mode: Any, data: dict[str, Any]) -> None:
        await admin.run_command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

    async def arm(command: str, **data: Any) -> None:
        try:
            await configured({"times": 1}, {"failCommands": [command], **data})
        except mongojet.OperationFailure as error:
            pytest.skip(f"the server allows no fail points: {error}")

    yield arm
    try:
        await configured("off", {})
    except mongojet.OperationFailure:
        return  # none was set either


async def test_run_in_transaction_repeats_what_the_server_calls_transient(
    bind: Bind, fail_point: FailPoint
) -> None:
    await bind(Person)
    person = Person(name="a")
    ids: list[Any] = []

    async def work() -> None:
        ids.append(person.id)
        await Person.count()
        await person.insert()

    await fail_point("insert", errorCode=112, errorLabels=["TransientTransactionError"])
    await run_in_transaction(work)
    assert ids == [None, None]
    assert await Person.find_all() == [person]
    assert changes(person) == {}


async def test_run_in_transaction_repeats_an_unknown_commit_alone(
    bind: Bind, fail_point: FailPoint
) -> None:
    await bind(Person)
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        await Person(name="a").insert()

    await fail_point(
        "commitTransaction", errorCode=64, errorLabels=["UnknownTransactionCommitResult"]
    )
    await run_in_transaction(work)
    assert calls == 1
    assert await Person.count() == 1


async def test_a_refused_write_is_not_applied(bind: Bind, fail_point: FailPoint) -> None:
    await bind(Person)
    person = Person(name="a")
    await fail_point("insert", errorCode=13)
    with pytest.raises(OperationError) as caught:
        await person.insert()
    assert (caught.value.outcome, caught.value.code) == ("not_applied", 13)
    assert person.id is None
    assert await Person.count() == 0


async def test_a_write_concern_error_leaves_the_write_where_it_is(
    bind: Bind, fail_point: FailPoint
) -> None:
    await bind(Person)
    person = await Person(name="a").insert()
    person.name = "b"
    await fail_point("update", writeConcernError={"code": 64, "errmsg": "waited in vain"})
    with pytest.raises(OperationError) as caught:
        await person.save()
    assert caught.value.outcome == "applied"
    stored = await Person.find_by_id(person.id)
    assert stored == person


async def test_an_interrupted_write_has_an_unknown_outcome(
    bind: Bind, fail_point: FailPoint
) -> None:
    await bind(Person)
    person = Person(name="a")
    await fail_point("insert", errorCode=50)
    with pytest.raises(OperationError) as caught:
        await person.insert()
    assert caught.value.outcome == "unknown"
    assert person.id is not None
    assert snapshot_of(person) is UNKNOWN_CONTENT
