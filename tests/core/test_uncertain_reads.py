"""What was read where it may never have been stored is not taken for what is stored."""

from collections.abc import AsyncIterator
from typing import Any

import mongojet
import pytest
from bson import ObjectId

from mongospec_core import (
    BulkInsertError,
    BulkWriteError,
    HookError,
    changes,
    transaction,
)
from mongospec_core.extension import UNKNOWN_CONTENT, snapshot_of
from mongospec_core.operations import insert_many
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Person


class UndoneError(Exception):
    """Raised to abort."""


async def test_what_an_aborted_transaction_gave_and_read_is_sent_whole_by_a_save(
    bind: Bind,
) -> None:
    await bind(Person)
    person = await Person(name="a", age=0).insert()
    with pytest.raises(UndoneError):
        async with transaction():
            given = await Person.find_one_and_update({}, {"$set": {"age": 77}})
            read = await Person.find_one()
            listed = await Person.find_all()
            streamed = [each async for each in Person.find()]
            raise UndoneError
    assert given is not None
    assert read is not None
    for each in (given, read, *listed, *streamed):
        assert snapshot_of(each) is UNKNOWN_CONTENT
        assert changes(each)["age"] == 77
    await read.save()
    again = await Person.find_by_id(person.id)
    assert again is not None
    assert again.age == 77


async def test_what_a_committed_transaction_read_stays_known(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    async with transaction():
        read = await Person.find_one()
    assert read is not None
    assert changes(read) == {}


async def test_a_document_deleted_in_an_aborted_transaction_is_not_new_again(bind: Bind) -> None:
    await bind(Person)
    await Person(name="a").insert()
    with pytest.raises(UndoneError):
        async with transaction():
            gone = await Person.find_one_and_delete({})
            raise UndoneError
    assert gone is not None
    assert snapshot_of(gone) is UNKNOWN_CONTENT


async def _in_session(client: mongojet.Client) -> AsyncIterator[Any]:
    session = await client.start_session()
    await session.start_transaction()
    yield session
    await session.abort_transaction()


async def test_what_find_one_and_update_gave_in_a_callers_session_is_sent_whole(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    db = await bind(Person)
    await Person(name="a", age=0).insert()
    async for session in _in_session(db.client):
        given = await Person.find_one_and_update({}, {"$set": {"age": 77}}, session=session)
    assert given is not None
    await given.save()
    again = await Person.find_one()
    assert again is not None
    assert again.age == 77


async def test_to_list_of_few_does_not_make_every_later_batch_as_small(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=str(number)) for number in range(300)])
    cursor = Person.find()
    with mongo_proxy.recording() as seen:
        (first,) = await cursor.to_list(1)
        rest = [each async for each in cursor]
    assert len({first.id, *(each.id for each in rest)}) == 300
    assert len([each for each in seen if each.name == "getMore"]) <= 3


async def test_save_many_that_cannot_learn_who_is_gone_says_unknown(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [await Person(name=name).insert() for name in "abc"]
    await Person.delete_by_id(people[1].id)
    for each in people:
        each.age = 5
    with mongo_proxy.fail("find", 13), pytest.raises(BulkWriteError) as caught:
        await Person.save_many(people)
    assert caught.value.outcome == "unknown"
    assert {each.name for each in caught.value.unknown} == set("abc")
    assert all(snapshot_of(each) is UNKNOWN_CONTENT for each in people)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_write_concern_error_of_one_batch_stops_no_other(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    await bind(Person)
    monkeypatch.setattr(insert_many, "_BATCH_DOCUMENTS", 2)
    people = [Person(name=name) for name in "abcdef"]
    with (
        mongo_proxy.write_concern_error("insert", times=1),
        pytest.raises(BulkInsertError) as caught,
    ):
        await Person.insert_many(people, ordered=ordered)
    assert caught.value.outcome == "applied"
    assert caught.value.inserted == people
    assert await Person.count() == 6
    assert all(changes(each) == {} for each in people)


async def test_on_invalid_takes_no_async_function(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"_id": ObjectId(), "name": 5})

    async def ask(*_: Any) -> None: ...

    with pytest.raises(HookError, match="on_invalid"):
        await Person.find_all(on_invalid=ask)
