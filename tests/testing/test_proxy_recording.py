"""What the proxy sees and says of the commands that pass."""

import asyncio
import re

import mongojet
import pytest

from mongospec_testing import FaultProxy, MongoServer
from mongospec_testing.wire import ask


async def test_commands_are_listed_and_counted_with_their_documents(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    things = mongo_db["things"]
    await things.insert_many([{"_id": 1}, {"_id": 2}])
    await things.update_one({"_id": 1}, {"$set": {"a": 1}})
    await things.delete_many({"_id": 2})
    await things.find_one({"_id": 1})
    names = ["insert", "update", "delete", "find"]
    assert [command.name for command in mongo_proxy.commands] == names
    insert, update, delete, find = mongo_proxy.commands
    assert insert.body["documents"] == [{"_id": 1}, {"_id": 2}]
    assert update.body["updates"][0]["u"] == {"$set": {"a": 1}}
    assert delete.body["deletes"][0]["q"] == {"_id": 2}
    assert find.body["filter"] == {"_id": 1}
    assert {command.collection for command in mongo_proxy.commands} == {"things"}
    assert {command.database for command in mongo_proxy.commands} == {mongo_db.name}
    assert mongo_proxy.count() == 4
    assert mongo_proxy.count("find") == 1
    assert mongo_proxy.count("insert", "update", "aggregate") == 2


async def test_what_a_driver_sends_by_itself_counts_only_by_name(
    mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    await mongo_client["admin"].run_command({"ping": 1})
    assert [command.name for command in mongo_proxy.commands] == ["ping"]
    assert mongo_proxy.commands[0].collection is None
    assert mongo_proxy.count("hello", "isMaster", "ismaster") >= 2  # the monitor's and the pool's


async def test_a_recording_has_the_commands_of_its_block(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    things = mongo_db["things"]
    await things.insert_one({})
    with mongo_proxy.recording() as outer:
        await things.find_one({})
        with mongo_proxy.recording() as inner:
            await things.count_documents({})
        await things.delete_many({})
    await things.find_one({})
    assert [command.name for command in outer] == ["find", "aggregate", "delete"]
    assert [command.name for command in inner] == ["aggregate"]


async def test_a_command_shows_what_it_does_and_not_how_it_travels(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await mongo_db["things"].find_one({"name": "Ada" * 200})
    shown = repr(mongo_proxy.commands[0])
    assert shown.startswith("find things {")
    assert "lsid" not in shown
    assert len(shown) == 200


async def test_getmore_names_its_collection(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await mongo_db["things"].insert_many([{} for _ in range(5)])
    assert len(await mongo_db["things"].find_many({}, batch_size=2)) == 5
    assert {c.collection for c in mongo_proxy.commands if c.name == "getMore"} == {"things"}


async def test_retryable_writes_sessions_and_transactions_pass(
    mongo_client: mongojet.Client, mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    things = mongo_db["things"]
    await things.insert_one({"_id": 0})
    session = await mongo_client.start_session()
    await session.start_transaction()
    await things.insert_one({"_id": 1}, session=session)
    assert await things.find_one({"_id": 1}) is None
    await session.commit_transaction()
    assert await things.find_one({"_id": 1}) is not None
    assert "txnNumber" in mongo_proxy.commands[0].body
    assert mongo_proxy.commands[1].body["startTransaction"] is True
    assert mongo_proxy.count("commitTransaction") == 1


async def test_large_documents_and_many_at_once_pass_unchanged(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    large = {"_id": "large", "data": b"\xff" * 5_000_000}
    await mongo_db["things"].insert_one(large)
    assert await mongo_db["things"].find_one({"_id": "large"}) == large
    await asyncio.gather(*(mongo_db["many"].insert_one({"_id": n}) for n in range(100)))
    assert sorted(each["_id"] for each in await mongo_db["many"].find_many({})) == [*range(100)]
    assert mongo_proxy.count("insert") == 101
    assert len({command.connection for command in mongo_proxy.commands}) > 1


async def test_a_driver_that_listens_to_streamed_hellos_stays_on_the_proxy(
    mongo_proxy: FaultProxy,
) -> None:
    uri = mongo_proxy.uri.replace("=poll", "=stream&heartbeatFrequencyMS=500")
    client = await mongojet.create_client(uri)
    with mongo_proxy.fail("find", 189):  # the driver forgets the server until the next hello
        for _ in range(2):
            with pytest.raises(mongojet.PyMongoError):
                await client["x"]["y"].find_one({})
    await client["x"]["y"].find_one({})
    assert mongo_proxy.count("find") >= 3
    await client.close()


def test_client_and_server_do_not_agree_on_compression(mongo_server: MongoServer) -> None:
    with FaultProxy(mongo_server.uri) as inner, FaultProxy(inner.uri) as outer:
        seen = inner.delay("hello", 0)
        reply = ask(outer.address, {"hello": 1, "compression": ["zlib"]})
        assert seen.hits[-1].body["compression"] == []
        assert reply is not None
        assert "compression" not in reply


def test_the_proxy_serves_one_event_loop_after_another(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    for _ in range(2):
        asyncio.run(mongo_db["things"].insert_one({}))
    assert mongo_proxy.count("insert") == 2


async def test_a_proxy_in_front_of_a_proxy_sees_the_same(mongo_server: MongoServer) -> None:
    with FaultProxy(mongo_server.uri) as inner, FaultProxy(inner.uri) as outer:
        client = await mongojet.create_client(outer.uri)
        await client["x"]["y"].find_one({})
        await client.close()
        assert inner.count("find") == outer.count("find") == 1


async def test_max_queries_lets_as_many_queries_through_as_it_says(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    things = mongo_db["things"]
    with mongo_proxy.max_queries(3) as seen:
        await things.insert_many([{} for _ in range(5)])  # no query
        await things.find_many({}, batch_size=2)  # getMore is none either
        await things.distinct("_id", {})
        await things.count_documents({})
    assert [command.name for command in seen.queries] == ["find", "distinct", "aggregate"]
    assert "getMore" in [command.name for command in seen.commands]


async def test_max_queries_fails_and_lists_the_commands_when_there_are_more(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    things = mongo_db["things"]
    limit = mongo_proxy.max_queries(1)
    async with limit:
        await things.insert_one({"_id": 1})
        await things.find_one({"_id": 1})
    with pytest.raises(AssertionError) as caught:
        async with limit:
            await things.insert_one({"_id": 2})
            await things.find_one({"_id": 1})
            await mongo_db.run_command({"count": "things"})
    assert re.match(
        r"2 queries were sent, 1 allowed.*\n  insert things .*\n  find things .*'_id': 1.*\n  count things",
        str(caught.value),
    )


async def test_max_queries_does_not_hide_what_the_block_raises(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with pytest.raises(ZeroDivisionError), mongo_proxy.max_queries(0):
        await mongo_db["things"].find_one({})
        raise ZeroDivisionError


def test_max_queries_refuses_a_negative_number(mongo_proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        mongo_proxy.max_queries(-1)
