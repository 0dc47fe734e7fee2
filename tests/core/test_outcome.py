"""Outcome: every failed write says whether it is in the database, and the objects agree."""

import pickle
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import mongojet
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateMany, UpdateOne

from mongospec_core import (
    BulkInsertError,
    BulkWriteError,
    DuplicateKeyError,
    EncodingError,
    MongoDocument,
    OperationError,
    OperationTimeoutError,
    OptionError,
    ServerUnavailableError,
    changes,
    init,
)
from mongospec_core.extension import UNKNOWN_CONTENT, is_new, snapshot_of
from mongospec_core.operations import insert_many
from mongospec_core.server.driver_errors import UNKNOWN_CODES
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Person

MANY = [
    *((code, 1, "partial") for code in (2, 14, 121)),
    *((code, 0, "unknown") for code in (2, 14, 121, 50, 11601)),
    *((code, 0, "not_applied") for code in (9, 13, 40, 72)),
]
"""Code, documents that the server counted, outcome."""


class Pair(MongoDocument):
    """A unique index over two fields, one of them nested."""

    __indexes__: ClassVar = [IndexModel([("a", 1), ("b.c", 1)], unique=True)]

    a: str
    b: dict[str, str]
    n: int = 0


async def error_of[E: BaseException](call: Awaitable[Any], kind: type[E] = OperationError) -> E:
    with pytest.raises(kind) as told:
        await call
    return told.value


# -- one write


async def test_a_refused_write_is_not_applied_and_the_id_is_taken_back(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    account = Account(email="a@x")
    error = await error_of(account.insert(), DuplicateKeyError)
    assert (error.outcome, error.code) == ("not_applied", 11000)
    assert isinstance(error, mongojet.DuplicateKeyError)
    assert isinstance(error.__cause__, mongojet.PyMongoError)
    assert account._id is None


def test_no_code_after_which_a_write_may_be_stored_is_forgotten() -> None:
    """The tests for each code are made from the table itself."""
    assert UNKNOWN_CODES.keys() == {
        *(
            1,
            6,
            7,
            8,
            24,
            46,
            50,
            64,
            77,
            83,
            89,
            90,
            91,
            134,
            145,
            172,
            175,
            189,
            202,
            237,
            262,
            279,
        ),
        *(281, 282, 290, 317, 355, 358, 363, 384, 407, 9001, 11600, 11601, 11602, 46841),
    }


@pytest.mark.parametrize("code", UNKNOWN_CODES)
async def test_a_code_of_an_interrupted_server_means_unknown(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(Person)
    person = Person(name="x")
    with mongo_proxy.fail(("insert", "update", "delete", "findAndModify"), code):
        error = await error_of(person.insert())
        assert (error.outcome, error.code) == ("unknown", code)
        assert isinstance(error, TimeoutError) == (code == 50)
        assert person._id is not None
        assert snapshot_of(person) is UNKNOWN_CONTENT
        for call in (
            Person.update_one({}, {"$set": {"age": 1}}),
            Person.delete_many({"age": 1}),
            Person.find_one_and_update({}, {"$set": {"age": 1}}),
        ):
            assert (await error_of(call)).outcome == "unknown"
        many = [Person(name="a"), Person(name="b")]
        bulk = await error_of(Person.insert_many(many), BulkInsertError)
        assert (bulk.inserted, bulk.failures, bulk.unknown) == ([], [], many)


async def test_an_update_many_that_failed_at_a_document_may_have_changed_others(bind: Bind) -> None:
    await bind(Person)
    collection = Person.get_collection()
    await collection.insert_many([{"name": "a", "age": 1}, {"name": "b", "age": "text"}])
    error = await error_of(Person.update_many({}, {"$inc": {"age": 1}}))
    assert error.outcome in ("partial", "unknown")


UNDONE_CODES = {
    2: "a value that the command or a document does not accept",
    9: "the command cannot be parsed",
    13: "the user is not authorized",
    14: "a type that the command or a document does not accept",
    26: "the collection does not exist",
    112: "a conflict with another write: the storage engine rolled this one back",
    121: "the collection's validator refused the document",
    133: "a router found no server for it",
    148: "the read concern is not available: checked before the command begins",
    251: "the transaction does not exist, or was aborted",
    365: "the storage engine's cache is too small now: rolled back",
    371: "writes of users are blocked",
    433: "the server is overloaded: it was not admitted",
    449: "too many operations: the same",
    8000: "Atlas refused it",
}
"""Codes after which a write looks as if it might have been applied, but was not, and frequent ones."""


@pytest.mark.parametrize("code", [*UNDONE_CODES, 17, 99_999])
async def test_any_other_code_means_not_applied(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(Person)
    person = Person(name="x")
    with mongo_proxy.fail(("insert", "findAndModify"), code):
        error = await error_of(person.insert())
        assert (error.outcome, error.code) == ("not_applied", code)
        assert error.details is not None
        assert error.details["code"] == code
        assert person._id is None
        changed = await error_of(Person.find_one_and_update({}, {"$set": {"age": 1}}))
        assert changed.outcome == "not_applied"


def failed_statement(code: int, n: int = 0) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The reply of a server or a router that failed at the first statement."""
    error = {"index": 0, "code": code, "errmsg": "made by the test"}
    return lambda reply: {**reply, "n": n, "nModified": n, "writeErrors": [error]}


@pytest.mark.parametrize("code", UNKNOWN_CODES)
async def test_a_router_that_lost_a_single_statement_means_unknown(
    bind: Bind, mongo_proxy: FaultProxy, code: int
) -> None:
    await bind(Person)
    ada, eve = [await Person(name=name).insert() for name in ("Ada", "Eve")]
    with mongo_proxy.rewrite(("insert", "update", "delete"), failed_statement(code)):
        person = Person(name="x")
        assert (await error_of(person.insert())).outcome == "unknown"
        assert person._id is not None
        assert snapshot_of(person) is UNKNOWN_CONTENT
        ada.age = 1
        assert (await error_of(ada.save())).outcome == "unknown"
        assert snapshot_of(ada) is UNKNOWN_CONTENT
        assert (await error_of(Person.delete_one({"name": "nobody"}))).outcome == "unknown"
        many = [Person(name="a"), Person(name="b")]
        inserted = await error_of(Person.insert_many(many), BulkInsertError)
        assert inserted.outcome == "unknown"
        assert inserted.unknown == many[:1]
        assert [each.document for each in inserted.failures] == many[1:]
        assert (many[0]._id is None, many[1]._id is None) == (False, True)
        ada.age, eve.age = 2, 2
        saved = await error_of(Person.save_many([ada, eve]), BulkWriteError)
        assert (saved.outcome, saved.unknown[:1]) == ("unknown", [ada])
        bulk = await error_of(
            Person.bulk_write([DeleteOne({"name": "nobody"})], ordered=False), BulkWriteError
        )
        assert (bulk.outcome, bulk.failures, len(bulk.unknown)) == ("unknown", [], 1)


@pytest.mark.parametrize(("code", "n", "outcome"), MANY)
@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_a_write_of_many_that_failed_in_the_middle_is_partial_or_unknown(
    bind: Bind, mongo_proxy: FaultProxy, verb: str, code: int, n: int, outcome: str
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name="a"), Person(name="b")])
    with mongo_proxy.rewrite(verb, failed_statement(code, n)):
        if verb == "update":
            error = await error_of(Person.update_many({}, {"$set": {"age": 1}}))
        else:
            error = await error_of(Person.delete_many({}))
        assert (error.outcome, error.code) == (outcome, code)
    statement = UpdateMany({}, {"$set": {"age": 1}}) if verb == "update" else DeleteMany({})
    with mongo_proxy.rewrite(verb, failed_statement(code, n)):
        bulk = await error_of(Person.bulk_write([statement]), BulkWriteError)
    assert bulk.outcome == ("not_applied" if outcome == "not_applied" else "unknown")


async def test_insert_if_not_exists_that_the_driver_sent_twice_is_inserted(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    taken = {
        "ok": 0,
        "code": 11000,
        "errmsg": "E11000 duplicate key error collection: x.Account index: email_1 dup key: "
        '{ email: "a@x" }',
    }
    with mongo_proxy.reply("update", taken, at="reply"):
        account = Account(email="a@x")
        assert await Account.insert_if_not_exists(account, {"email": "a@x"}) is account
        assert not is_new(account)
        other = Account(email="a@x")
        assert await Account.insert_if_not_exists(other, {"email": "a@x"}) is None
        assert other._id is None
    with mongo_proxy.reply("update", taken, at="reply"), mongo_proxy.fail("find", 11601):
        third = Account(email="c@x")
        error = await error_of(Account.insert_if_not_exists(third, {"email": "c@x"}))
    assert error.outcome == "unknown"
    assert third._id is not None
    assert await Account.count() == 2


async def test_not_primary_is_unknown_where_the_driver_had_sent_it_twice(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.fail("insert", 10107, labels=["RetryableWriteError"]):
        assert (await error_of(Person(name="x").insert())).outcome == "unknown"
    with mongo_proxy.fail("insert", 10107, labels=["RetryableWriteError", "NoWritesPerformed"]):
        assert (await error_of(Person(name="x").insert())).outcome == "not_applied"


WRITES: dict[str, Callable[[], Awaitable[Any]]] = {
    "insert": lambda: Person(name="x").insert(),
    "insert_many": lambda: Person.insert_many([Person(name="x")]),
    "update_one": lambda: Person.update_one({"name": "Ada"}, {"$set": {"age": 5}}),
    "update_many": lambda: Person.update_many({"name": "Ada"}, {"$set": {"age": 5}}),
    "find_one_and_update": lambda: Person.find_one_and_update({}, {"$set": {"age": 5}}),
    "find_one_and_delete": lambda: Person.find_one_and_delete({}),
    "delete_one": lambda: Person.delete_one({}),
    "delete_many": lambda: Person.delete_many({}),
    "bulk_write": lambda: Person.bulk_write([InsertOne(Person(name="x"))]),
}
COMMANDS = ("insert", "update", "delete", "findAndModify")


@pytest.mark.parametrize("name", WRITES)
async def test_a_lost_reply_means_unknown(bind: Bind, mongo_proxy: FaultProxy, name: str) -> None:
    await bind(Person)
    await Person(name="Ada").insert()
    with mongo_proxy.cut(COMMANDS, at="reply", times=2):
        error = await error_of(WRITES[name]())
    assert error.outcome == "unknown"
    assert error.code is None


@pytest.mark.parametrize("name", WRITES)
async def test_a_failed_write_concern_means_applied(
    bind: Bind, mongo_proxy: FaultProxy, name: str
) -> None:
    await bind(Person)
    await Person(name="Ada").insert()
    with mongo_proxy.write_concern_error(COMMANDS, 64):
        error = await error_of(WRITES[name]())
    assert (error.outcome, error.code) == ("applied", 64)
    people = await Person.find_all()
    assert [(person.name, person.age) for person in people] != [("Ada", 0)]


async def test_a_failed_write_concern_of_a_save_makes_it_known(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    ada.age = 2
    with mongo_proxy.write_concern_error("update"):
        assert (await error_of(ada.save())).outcome == "applied"
    with mongo_proxy.recording() as seen:
        await ada.save()
    assert seen == []


@pytest.mark.parametrize(("count", "outcome"), [(1, "applied"), (0, "unknown"), ("1", "unknown")])
async def test_an_unreadable_reply_means_applied_only_if_it_counts_a_document(
    bind: Bind, mongo_proxy: FaultProxy, count: Any, outcome: str
) -> None:
    await bind(Person)
    await Person(name="Ada").insert()
    broken = {"value": "not a document", "lastErrorObject": {"n": count}}
    with mongo_proxy.rewrite("findAndModify", lambda reply: {**reply, **broken}):
        error = await error_of(Person.find_one_and_update({"name": "Ada"}, {"$inc": {"age": 1}}))
    assert error.outcome == outcome


@pytest.mark.parametrize("name", WRITES)
async def test_without_a_server_nothing_is_applied(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy, name: str
) -> None:
    client = await mongojet.create_client(f"{mongo_proxy.uri}&serverSelectionTimeoutMS=100")
    await init(client.get_database(mongo_db.name), [Person], close_client=False)
    try:
        mongo_proxy.cut(monitoring=True)
        mongo_proxy.disconnect()
        await error_of(Person.find_one())  # the driver learns of it
        error = await error_of(WRITES[name]())
        assert error.outcome == "not_applied"
        told = error.__cause__ if name == "bulk_write" else error
        assert isinstance(told, ServerUnavailableError)
        assert isinstance(told, ConnectionError)
    finally:
        await client.close()


async def test_a_client_of_nowhere_has_its_servers_errors_not_as_its_own_labels(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50")
    with pytest.raises(ServerUnavailableError) as told:
        await init(client.get_database("nowhere"), [Person], close_client=False)
    assert told.value.labels == frozenset()
    assert "no server: 127.0.0.1:1 (Connection refused (os error 111))" in str(told.value)
    await client.close()


async def test_what_the_driver_refuses_is_not_applied(bind: Bind) -> None:
    await bind(Person)
    person = Person(name="x")
    unacknowledged = await error_of(person.insert(write_concern={"w": 0}), OptionError)
    assert unacknowledged.outcome == "not_applied"
    assert person._id is None
    large = Person(name="x" * 17_000_000)
    error = await error_of(large.insert(), EncodingError)
    assert error.outcome == "not_applied"
    assert large._id is None


async def test_an_invalid_reply_to_a_write_that_was_carried_out_means_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person(name="kaputt").insert()
    broken = mongo_proxy.rewrite_bson("findAndModify", lambda d: d.replace(b"kaputt", b"kap\xfftt"))
    error = await error_of(Person.find_one_and_update({}, {"$set": {"age": 9}}))
    broken.remove()
    assert error.outcome == "applied"
    assert await Person.count({"age": 9}) == 1


async def test_an_update_many_that_broke_off_does_not_say_that_nothing_happened(bind: Bind) -> None:
    await bind(Account)
    await Account.insert_many([Account(email=f"{n}") for n in range(3)])
    error = await error_of(Account.update_many({}, {"$set": {"email": "same"}}), DuplicateKeyError)
    assert error.outcome in {"partial", "unknown"}
    nonsense = await error_of(Account.update_many({}, {"$nonsense": {"email": "same"}}))
    assert nonsense.outcome == "not_applied"


async def test_reads_are_never_anything_but_not_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    for code in (91, 262):
        with mongo_proxy.fail("find", code):
            error = await error_of(Person.find_one())
            assert (error.outcome, error.code) == ("not_applied", code)
    with mongo_proxy.cut("find", at="reply", times=2):
        assert (await error_of(Person.find_all())).outcome == "not_applied"


async def test_labels_are_the_servers(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.fail("insert", 112, labels=["TransientTransactionError", "Another"]):
        error = await error_of(Person(name="x").insert())
    assert error.labels >= {"TransientTransactionError", "Another"}
    assert error.has_error_label("Another")
    assert not error.has_error_label("UnknownTransactionCommitResult")


NOTHING: dict[str, Callable[[], Awaitable[Any]]] = {
    "update_one": lambda: Person.update_one({"name": "nobody"}, {"$set": {"age": 1}}),
    "update_many": lambda: Person.update_many({"name": "nobody"}, {"$set": {"age": 1}}),
    "update_by_id": lambda: Person.update_by_id(ObjectId(), {"$set": {"age": 1}}),
    "find_one_and_update": lambda: Person.find_one_and_update(
        {"name": "nobody"}, {"$set": {"age": 1}}
    ),
    "find_one_and_replace": lambda: Person.find_one_and_replace(
        {"name": "nobody"}, Person(name="x")
    ),
    "find_one_and_delete": lambda: Person.find_one_and_delete({"name": "nobody"}),
    "delete_one": lambda: Person.delete_one({"name": "nobody"}),
    "delete_many": lambda: Person.delete_many({"name": "nobody"}),
    "delete_by_id": lambda: Person.delete_by_id(ObjectId()),
    "delete": lambda: Person(_id=ObjectId(), name="x").delete(),
    "save": lambda: Person(_id=ObjectId(), name="x").save(),
    "insert_if_not_exists": lambda: Person.insert_if_not_exists(
        Person(name="Ada"), {"name": "Ada"}
    ),
    "bulk_write": lambda: Person.bulk_write([DeleteOne({"name": "nobody"})]),
}


@pytest.mark.parametrize("name", NOTHING)
async def test_a_write_that_found_nothing_is_not_applied_though_its_concern_failed(
    bind: Bind, mongo_proxy: FaultProxy, name: str
) -> None:
    await bind(Person)
    await Person(name="Ada").insert()
    before = await stored(Person)
    with mongo_proxy.write_concern_error(COMMANDS):
        error = await error_of(NOTHING[name]())
    assert (error.outcome, error.code) == ("not_applied", 64)
    assert await stored(Person) == before


async def test_a_write_that_found_something_is_applied_though_its_concern_failed(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    ada.age = 1
    with mongo_proxy.write_concern_error(COMMANDS), mongo_proxy.recording() as seen:
        assert (await error_of(ada.save())).outcome == "applied"
        assert changes(ada) == {}
        upsert = Person.update_one({"name": "x"}, {"$set": {"age": 2}}, upsert=True)
        assert (await error_of(upsert)).outcome == "applied"
        eve = Person(name="Eve")
        error = await error_of(Person.insert_if_not_exists(eve, {"name": "Eve"}))
        assert (error.outcome, is_new(eve)) == ("applied", False)
    assert {each.name for each in seen} == {"update"}


# -- duplicate keys


@pytest.mark.parametrize(
    "write",
    [
        lambda: Pair(a="x", b={"c": "y, z: {"}).insert(),
        lambda: Pair.update_one({"n": 1}, {"$set": {"a": "x", "b": {"c": "y, z: {"}}}),
        lambda: Pair.update_many({"n": 1}, {"$set": {"a": "x", "b": {"c": "y, z: {"}}}),
        lambda: Pair.find_one_and_update({"n": 1}, {"$set": {"a": "x", "b": {"c": "y, z: {"}}}),
    ],
)
async def test_a_duplicate_key_names_index_pattern_and_value_in_every_write(
    bind: Bind, write: Callable[[], Awaitable[Any]]
) -> None:
    await bind(Pair)
    await Pair(a="x", b={"c": "y, z: {"}).insert()
    await Pair(a="other", b={"c": "o"}, n=1).insert()
    error = await error_of(write(), DuplicateKeyError)
    assert error.index == "a_1_b.c_1"
    assert error.key_pattern == {"a": 1, "b.c": 1}
    assert error.key_value == {"a": "x", "b.c": "y, z: {"}
    assert isinstance(error, mongojet.DuplicateKeyError)


async def test_a_save_that_would_double_a_key_keeps_what_it_knew(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a@x").insert()
    other = await Account(email="b@x").insert()
    other.email = "a@x"
    error = await error_of(other.save(), DuplicateKeyError)
    assert error.outcome == "not_applied"
    other.email = "c@x"
    await other.save()
    assert await Account.exists({"email": "c@x"})


# -- insert_many: what was given is inserted, failed or unknown


def partition(error: BulkInsertError, given: list[Any]) -> tuple[list[str], list[str], list[str]]:
    """Emails by their fate; together they must be what was given, each with the right id."""
    for document in given:
        assert (document._id is None) == any(each.document is document for each in error.failures)
        assert is_new(document) == (document._id is None)
    assert sorted(each.index for each in error.failures) == [
        place
        for place, document in enumerate(given)
        if any(each.document is document for each in error.failures)
    ]
    parts = (
        [each.email for each in error.inserted],
        [each.document.email for each in error.failures],
        [each.email for each in error.unknown],
    )
    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(each.email for each in given)
    return parts


@pytest.mark.parametrize("batch", [100, 3])
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_partial_insert_many_in_the_first_and_in_a_later_batch(
    bind: Bind, monkeypatch: pytest.MonkeyPatch, ordered: bool, batch: int
) -> None:
    monkeypatch.setattr(insert_many, "MAX_STATEMENTS", batch)
    await bind(Account)
    await Account(email="4").insert()
    given = [Account(email=f"{n}") for n in range(8)]
    error = await error_of(Account.insert_many(given, ordered=ordered), BulkInsertError)
    inserted, failed, unknown = partition(error, given)
    assert unknown == []
    assert error.outcome == "partial"
    assert failed == (["4", "5", "6", "7"] if ordered else ["4"])
    assert inserted == (["0", "1", "2", "3"] if ordered else ["0", "1", "2", "3", "5", "6", "7"])
    (first, *others) = error.failures
    assert (first.index, first.code, first.key_value) == (4, 11000, {"email": "4"})
    assert [each.code for each in others] == [None] * len(others)
    stored = {account.email for account in await Account.find_all()}
    assert stored == {*inserted, "4"}


async def test_a_lost_reply_in_a_later_batch_leaves_that_batch_unknown(
    bind: Bind, monkeypatch: pytest.MonkeyPatch, mongo_proxy: FaultProxy
) -> None:
    monkeypatch.setattr(insert_many, "MAX_STATEMENTS", 3)
    await bind(Account)
    given = [Account(email=f"{n}") for n in range(8)]
    with mongo_proxy.cut("insert", at="reply", skip=1, times=2):
        error = await error_of(Account.insert_many(given, ordered=False), BulkInsertError)
    assert partition(error, given) == (["0", "1", "2"], ["6", "7"], ["3", "4", "5"])
    assert error.outcome == "unknown"
    assert [snapshot_of(document) is UNKNOWN_CONTENT for document in given[3:6]] == [True] * 3


async def test_a_deadline_in_a_later_batch_leaves_that_batch_unknown(
    bind: Bind, monkeypatch: pytest.MonkeyPatch, mongo_proxy: FaultProxy
) -> None:
    monkeypatch.setattr(insert_many, "MAX_STATEMENTS", 3)
    await bind(Account)
    given = [Account(email=f"{n}") for n in range(8)]
    with mongo_proxy.stall("insert", skip=1):
        error = await error_of(Account.insert_many(given, timeout=0.3), BulkInsertError)
    assert isinstance(error, OperationTimeoutError)
    assert partition(error, given) == (["0", "1", "2"], ["6", "7"], ["3", "4", "5"])
    mongo_proxy.disconnect()


async def test_a_document_over_16_mb_in_insert_many_stops_all_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    given = [Account(email="small"), Account(email="x" * 17_000_000)]
    with mongo_proxy.recording() as seen:
        error = await error_of(Account.insert_many(given), EncodingError)
    assert seen == []
    assert error.outcome == "not_applied"
    assert [document._id for document in given] == [None, None]


# -- commands of many statements


async def test_write_errors_and_a_failed_write_concern_in_one_reply(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    await Account(email="a").insert()
    with mongo_proxy.write_concern_error("insert"):
        error = await error_of(
            Account.bulk_write(
                [InsertOne(Account(email="a")), InsertOne(Account(email="b"))], ordered=False
            ),
            BulkWriteError,
        )
    assert [each.index for each in error.failures] == [0]
    assert error.failures[0].key_value == {"email": "a"}
    assert error.results.inserted_count == 1
    assert error.unknown == []
    assert await Account.count() == 2


@pytest.mark.parametrize("code", [91, 189, 262, 10107, 11600, 11602, 13435, 13436, None])
async def test_save_many_is_sent_once_more_after_what_leaves_the_outcome_open(
    bind: Bind, mongo_proxy: FaultProxy, code: int | None
) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    ada.age = 1
    if code is None:
        mongo_proxy.cut("update", at="reply", times=1)
    else:
        mongo_proxy.fail("update", code, times=1)
    await Person.save_many([ada])
    assert mongo_proxy.count("update") == 2
    assert await Person.exists({"age": 1})


async def test_bulk_write_is_not_sent_twice(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await Person(name="Ada").insert()
    with mongo_proxy.cut("update", at="reply", times=1):
        error = await error_of(
            Person.bulk_write([UpdateOne({"name": "Ada"}, {"$inc": {"age": 1}})]), BulkWriteError
        )
    assert len(error.unknown) == 1
    assert mongo_proxy.count("update") == 1
    assert (await Person.find_all())[0].age == 1


async def test_a_second_attempt_that_was_refused_does_not_hide_the_first(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    ada = await Person(name="Ada").insert()
    ada.age = 1
    with (
        mongo_proxy.cut("update", at="reply", times=1),
        mongo_proxy.fail("update", 13, skip=1, times=1),
    ):
        error = await error_of(Person.save_many([ada]), BulkWriteError)
    assert error.unknown == [ada]
    assert snapshot_of(ada) is UNKNOWN_CONTENT


async def test_the_write_concern_of_the_uri_goes_along_with_commands(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(f"{mongo_proxy.uri}&w=1&journal=true")
    await init(client.get_database(mongo_db.name), [Person], close_client=False)
    ada = await Person(name="Ada").insert()
    session = await client.start_session()
    with mongo_proxy.recording() as seen:
        for age, options in enumerate(({}, {"write_concern": {"w": "majority"}}), 1):
            ada.age = age
            await Person.save_many([ada], **options)
        ada.age = 3
        await Person.save_many([ada], session=session)
    concerns = [each.body.get("writeConcern") for each in seen]
    assert concerns == [{"w": 1, "j": True}, {"w": "majority"}, None]
    del session
    await client.close()


async def test_errors_of_operations_survive_a_pickle(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    caught: list[OperationError] = []
    for act in (
        lambda: Account(email="a").insert(),
        lambda: Account.insert_many([Account(email="a"), Account(email="b")], ordered=False),
        lambda: Account.bulk_write([InsertOne({"email": "a"})]),
        lambda: Account.find_one({"$nope": 1}),
    ):
        with pytest.raises(OperationError) as error:
            await act()
        caught.append(error.value)
    for each in caught:
        twin = pickle.loads(pickle.dumps(each))
        assert type(twin) is type(each)
        assert str(twin) == str(each)
        assert (twin.outcome, twin.code, twin.labels) == (each.outcome, each.code, each.labels)
