"""Counting, and looking whether there is one."""

import datetime as dt

from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person, Role


async def fill() -> None:
    await Person.insert_many([Person(name=str(n), age=n) for n in range(5)])


async def test_count_and_count_documents_are_the_same(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    assert await Person.count() == 0
    await fill()
    with mongo_proxy.recording() as seen:
        for count in (Person.count, Person.count_documents):
            assert await count() == 5
            assert await count({}) == 5
            assert await count({"age": {"$gte": 3}}) == 2
            assert await count({"age": {"$gte": 3}}, skip=1) == 1
            assert await count({}, limit=2) == 2
    assert {each.name for each in seen} == {"aggregate"}


async def test_an_estimate_sends_count(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await fill()
    with mongo_proxy.recording() as seen:
        assert await Person.estimated_document_count() == 5
    assert [each.name for each in seen] == ["count"]


async def test_exists_reads_one_id(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await fill()
    with mongo_proxy.recording() as seen:
        assert await Person.exists({"age": 3}) is True
        assert await Person.exists({"age": 7}) is False
        assert await Person.exists({}) is True
    for command in seen:
        assert command.name == "find"
        assert command.body["limit"] == 1
        assert command.body["projection"] == {"_id": 1}


async def test_exists_does_not_mind_a_document_that_does_not_fit(bind: Bind) -> None:
    await bind(Person)
    await Person.get_collection().insert_one({"name": 5})
    assert await Person.exists({"name": 5}, check=False)
    assert await Person.count({"name": 5}, check=False) == 1


async def test_filters_take_the_codecs_values(bind: Bind) -> None:
    await bind(Account)
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    await Account(email="a", role=Role.WRITER, since=since).insert()
    assert await Account.count({"role": Role.WRITER}) == 1
    assert await Account.exists({"since": {"$lte": since}, "role": {"$in": [Role.WRITER]}})
