"""What the proxy does to commands. `direct_db` looks at the same database past the proxy."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import mongojet
import pytest
from bson import DatetimeMS

from mongospec_testing import Command, FaultProxy, MongoServer


async def ids(db: mongojet.Database) -> list[Any]:
    return sorted(each["_id"] for each in await db["things"].find_many({}))


async def until_stored(db: mongojet.Database) -> None:
    async with asyncio.timeout(10):
        while not await ids(db):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def insert(db: mongojet.Database, number: Any) -> None:
    await db["things"].insert_one({"_id": number})


async def test_a_delayed_command_reaches_the_server_later(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.delay("insert", 0.3) as rule:
        start = time.monotonic()
        task = asyncio.create_task(insert(mongo_db, 1))
        await rule.reached()
        assert await ids(direct_db) == []
        await task
        assert time.monotonic() - start >= 0.3
    assert await ids(direct_db) == [1]


async def test_a_delayed_reply_comes_later_than_its_effect(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.delay("insert", 0.5, at="reply") as rule:
        start = time.monotonic()
        task = asyncio.create_task(insert(mongo_db, 1))
        await rule.reached()
        await until_stored(direct_db)
        assert not task.done()
        await task
        assert time.monotonic() - start >= 0.5


async def test_a_cut_before_the_server_loses_the_command(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.cut("insert") as rule, pytest.raises(mongojet.PyMongoError):
        await insert(mongo_db, 1)
    assert len(rule.hits) == 2  # the driver's own retry
    assert await ids(direct_db) == []


async def test_a_cut_at_the_reply_loses_the_reply_of_what_was_done(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.cut("insert", at="reply"), pytest.raises(mongojet.PyMongoError):
        await insert(mongo_db, 1)
    assert await ids(direct_db) == [1]


async def test_a_cut_in_the_middle_of_the_reply_loses_the_reply_of_what_was_done(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.cut("insert", at="mid-reply") as rule,
        pytest.raises(mongojet.PyMongoError, match="eof"),
    ):
        await insert(mongo_db, 1)
    assert len(rule.hits) == 2
    assert await ids(direct_db) == [1]


async def test_the_driver_retries_once_what_was_cut_once(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.cut("insert", at="reply", times=1) as rule:
        await insert(mongo_db, 1)
    assert len(rule.hits) == 1
    assert mongo_proxy.count("insert") == 2
    assert await ids(mongo_db) == [1]


async def test_a_stalled_command_goes_on_when_its_rule_is_removed(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.stall("insert") as rule:
        task = asyncio.create_task(insert(mongo_db, 1))
        assert (await rule.reached()).body["documents"] == [{"_id": 1}]
        await insert(direct_db, 2)
        assert await ids(mongo_db) == [2]  # other commands pass
        assert not task.done()
    await task
    assert await ids(direct_db) == [1, 2]


async def test_a_reply_stalls_while_its_effect_is_there(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.stall("insert", at="reply") as rule:
        task = asyncio.create_task(insert(mongo_db, 1))
        await rule.reached()
        await until_stored(direct_db)
        assert not task.done()
    await task


async def test_what_is_stalled_is_never_sent_when_the_proxy_stops(
    mongo_server: MongoServer, direct_db: mongojet.Database
) -> None:
    with FaultProxy(mongo_server.uri) as proxy:
        client = await mongojet.create_client(f"{proxy.uri}&serverSelectionTimeoutMS=300")
        rule = proxy.stall("insert")
        task = asyncio.create_task(insert(client[direct_db.name], 1))
        await rule.reached()
    with pytest.raises(mongojet.PyMongoError):
        await task
    await client.close()
    assert await ids(direct_db) == []


async def test_a_reply_of_ones_own_stands_for_the_servers(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with mongo_proxy.reply("count", {"n": 42, "ok": 1.0}):
        assert (await mongo_db.run_command({"count": "things"}))["n"] == 42
    with mongo_proxy.reply("insert", {"n": 1, "ok": 1.0}):
        await insert(mongo_db, 1)
    assert await ids(direct_db) == []


async def test_an_error_of_ones_own_carries_code_and_name_and_nothing_is_done(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.fail("insert", 11601, message="stop it"),
        pytest.raises(mongojet.OperationFailure, match=r"11601 \(Interrupted\): stop it"),
    ):
        await insert(mongo_db, 1)
    assert mongo_proxy.count("insert") == 1
    assert await ids(direct_db) == []


async def test_an_error_with_the_label_is_retried_by_the_driver(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    labels = ["RetryableWriteError"]
    with mongo_proxy.fail("insert", 189, labels=labels, times=1):
        await insert(mongo_db, 1)
    assert mongo_proxy.count("insert") == 2
    assert await ids(mongo_db) == [1]


@pytest.mark.parametrize("names", ["commitTransaction", ["commitTransaction", "abortTransaction"]])
async def test_a_commit_with_the_transient_label_aborts_on_the_server(
    mongo_db: mongojet.Database,
    direct_db: mongojet.Database,
    mongo_proxy: FaultProxy,
    names: str | list[str],
) -> None:
    await insert(mongo_db, 1)
    labels = ["TransientTransactionError"]
    session = await mongo_db.client.start_session()
    await session.start_transaction()
    await mongo_db["things"].delete_one({"_id": 1}, session=session)
    with (
        mongo_proxy.fail(names, 251, labels=labels),
        pytest.raises(mongojet.OperationFailure, match="251"),
    ):
        await session.commit_transaction()
    deleted = await direct_db["things"].delete_one({"_id": 1})  # nothing holds it any more
    assert deleted["deleted_count"] == 1


async def test_an_error_at_the_reply_hides_that_the_command_was_carried_out(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.fail("insert", 50, at="reply"),
        pytest.raises(mongojet.OperationFailure, match="MaxTimeMSExpired"),
    ):
        await insert(mongo_db, 1)
    assert await ids(direct_db) == [1]


async def test_a_write_concern_error_is_added_to_what_was_carried_out(
    mongo_db: mongojet.Database, direct_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.write_concern_error("insert"),
        pytest.raises(mongojet.WriteConcernError, match=r"64.*WriteConcernFailed"),
    ):
        await insert(mongo_db, 1)
    assert await ids(direct_db) == [1]
    with mongo_proxy.write_concern_error("insert", 91, labels=["RetryableWriteError"], times=1):
        await insert(mongo_db, 2)
    assert mongo_proxy.count("insert") == 3


async def test_a_reply_can_be_rewritten_with_all_that_bson_has(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await insert(mongo_db, 1)
    beyond = DatetimeMS(253402300800000)  # the year 10000

    def later(reply: dict[str, Any]) -> dict[str, Any]:
        [document] = reply["cursor"]["firstBatch"]
        document["at"] = document.get("at", beyond)
        return reply

    in_2026 = datetime(2026, 1, 1, tzinfo=UTC)
    with (
        mongo_proxy.rewrite("find", later),
        pytest.raises(Exception, match=r"year.* 10000"),
    ):
        await mongo_db["things"].find_one({})
    with (
        mongo_proxy.rewrite("find", later),
        mongo_proxy.rewrite("find", later),  # has to decode what the first has made
        pytest.raises(Exception, match=r"year.* 10000"),
    ):
        await mongo_db["things"].find_one({})
    await mongo_db["things"].update_one({"_id": 1}, {"$set": {"at": in_2026}})
    with mongo_proxy.rewrite("find", later):
        assert await mongo_db["things"].find_one({}) == {"_id": 1, "at": in_2026}


async def test_the_bson_of_a_reply_can_be_made_invalid(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await insert(mongo_db, "broken")
    with (
        mongo_proxy.rewrite_bson("find", lambda reply: reply.replace(b"broken", b"br\xffken")),
        pytest.raises(Exception, match="invalid start byte"),
    ):
        await mongo_db["things"].find_many({})
    assert await ids(mongo_db) == ["broken"]


async def test_skip_and_times_choose_the_occurrence(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    rule = mongo_proxy.fail("insert", 11601, skip=1, times=2)
    outcomes: list[bool] = []
    for number in range(5):
        try:
            await insert(mongo_db, number)
            outcomes.append(True)
        except mongojet.PyMongoError:
            outcomes.append(False)
    assert outcomes == [True, False, False, True, True]
    assert [hit.body["documents"][0]["_id"] for hit in rule.hits] == [1, 2]


async def test_a_predicate_chooses_by_what_the_command_says(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    def is_two(command: Command) -> bool:
        return bool(command.body["documents"][0]["_id"] == 2)

    with mongo_proxy.fail("insert", 11601, where=is_two):
        await insert(mongo_db, 1)
        with pytest.raises(mongojet.PyMongoError):
            await insert(mongo_db, 2)
    assert await ids(mongo_db) == [1]


async def test_a_rule_may_have_several_names_or_none(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.delay({"insert", "find"}, 0) as some,
        mongo_proxy.delay(None, 0) as all_of_them,
    ):
        await insert(mongo_db, 1)
        await ids(mongo_db)
        await mongo_db["things"].delete_many({})
    assert [hit.name for hit in some.hits] == ["insert", "find"]
    assert [hit.name for hit in all_of_them.hits] == ["insert", "find", "delete"]


async def test_rules_act_in_the_order_in_which_they_were_made(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    mongo_proxy.delay("insert", 0.2)
    mongo_proxy.fail("insert", 11601)
    mongo_proxy.fail("insert", 50)
    start = time.monotonic()
    with pytest.raises(mongojet.PyMongoError, match="11601"):
        await insert(mongo_db, 1)
    assert time.monotonic() - start >= 0.2


async def test_cleared_and_removed_rules_are_not_in_force(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    removed = mongo_proxy.fail("insert", 11601)
    removed.remove()
    removed.remove()
    mongo_proxy.fail("insert", 11601)
    mongo_proxy.fail("find", 11601)
    mongo_proxy.clear()
    await insert(mongo_db, 1)
    assert await ids(mongo_db) == [1]
    assert removed.hits == []


async def test_waiting_for_a_command_that_does_not_come_ends(mongo_proxy: FaultProxy) -> None:
    rule = mongo_proxy.stall("insert")
    with pytest.raises(TimeoutError, match="0 of 1 matching commands"):
        await rule.reached(timeout=0.05)


async def test_a_dropped_connection_is_replaced(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await insert(mongo_db, 1)
    mongo_proxy.disconnect()
    assert await ids(mongo_db) == [1]
    numbers = {command.connection for command in mongo_proxy.commands}
    assert len(numbers) == 2


async def test_all_cut_is_a_server_that_cannot_be_reached(
    mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(f"{mongo_proxy.uri}&serverSelectionTimeoutMS=300")
    await client["x"]["y"].find_one({})
    mongo_proxy.cut(monitoring=True)
    mongo_proxy.disconnect()
    with pytest.raises(mongojet.PyMongoError):  # finds it out
        await client["x"]["y"].find_one({})
    with pytest.raises(mongojet.ServerSelectionError):  # knows it
        await client["x"]["y"].find_one({})
    mongo_proxy.clear()
    await mongo_client["x"]["y"].find_one({})
    await client.close()


async def test_all_stalled_is_a_server_that_accepts_and_never_answers(
    mongo_proxy: FaultProxy,
) -> None:
    with mongo_proxy.stall(monitoring=True) as rule:
        client = await mongojet.create_client(f"{mongo_proxy.uri}&serverSelectionTimeoutMS=300")
        with pytest.raises(mongojet.ServerSelectionError):
            await client["x"]["y"].find_one({})
    assert {hit.name for hit in rule.hits} <= {"hello", "isMaster", "ismaster"}
    assert rule.hits
    await client.close()
