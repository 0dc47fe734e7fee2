"""bulk_write and save_many: many writes in few commands, and the fate of each."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar

import mongojet
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pymongo import (
    DeleteMany,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
)

from mongospec_core import (
    BulkResult,
    BulkWriteError,
    DocumentNotFoundError,
    DocumentValidationError,
    EncodingError,
    InvalidIdError,
    MissingIdError,
    MongoDocument,
    OperationError,
    OptionError,
    changes,
)
from mongospec_core.server import bulk
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Numbered, Person


class Kind(Enum):
    OLD = "old"
    NEW = "new"


class Thing(MongoDocument):
    __indexes__: ClassVar = [IndexModel("code", unique=True)]

    code: int
    kind: Kind = Kind.NEW
    price: Decimal | None = None
    day: dt.date | None = None
    marks: list[int] = []


class Hooked(MongoDocument):
    """Notes in the database which hooks ran."""

    owner: str = "me"
    saved: int = 0
    updated: int = 0

    def __pre_save__(self) -> None:
        self.saved += 1

    @classmethod
    async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        update.setdefault("$inc", {})["updated"] = 1
        return update

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"owner": "me"}]}


@pytest.fixture
def few_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's limit of statements in a command, as if it were 10."""
    monkeypatch.setattr(bulk, "_MOST", 10)


def wire(seen: list[Any]) -> list[tuple[str, int]]:
    """Each write command with the number of its statements."""
    field = {"insert": "documents", "update": "updates", "delete": "deletes"}
    return [(each.name, len(each.body[field[each.name]])) for each in seen if each.name in field]


# -- bulk_write


async def test_every_operation_of_pymongo_in_mixed_order(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Thing)
    with mongo_proxy.recording() as seen:
        result = await Thing.bulk_write(
            [
                InsertOne(Thing(code=1)),
                InsertOne(Thing(code=2)),
                UpdateOne({"code": 1}, {"$set": {"kind": Kind.OLD, "price": Decimal("1.50")}}),
                UpdateMany({}, {"$push": {"marks": 7}}),
                DeleteOne({"code": 2}),
                InsertOne(Thing(code=3)),
                ReplaceOne({"code": 3}, Thing(code=4, day=dt.date(2026, 1, 1))),
                UpdateOne({"code": 9}, {"$set": {"day": dt.date(2026, 2, 2)}}, upsert=True),
                DeleteMany({"kind": Kind.OLD}),
            ]
        )
    assert wire(seen) == [
        ("insert", 2),
        ("update", 2),
        ("delete", 1),
        ("insert", 1),
        ("update", 2),
        ("delete", 1),
    ]
    found = {each.code: each for each in await Thing.find_all()}
    assert set(found) == {4, 9}
    assert (found[4].day, found[9].day) == (dt.date(2026, 1, 1), dt.date(2026, 2, 2))
    assert result == BulkResult(
        inserted_count=3,
        matched_count=4,  # 1, then 1 and 2, then 3
        modified_count=4,
        deleted_count=2,
        upserted_ids={7: found_id(await stored(Thing), 9)},
    )


def found_id(documents: list[Any], code: int) -> Any:
    (one,) = [each["_id"] for each in documents if each["code"] == code]
    return one


async def test_unordered_sends_each_kind_together(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Thing)
    await Thing.insert_many([Thing(code=n) for n in range(6)])
    operations: list[Any] = []
    for n in range(3):
        operations += [
            InsertOne(Thing(code=100 + n)),
            UpdateOne({"code": n}, {"$set": {"marks": [n]}}),
            DeleteOne({"code": 3 + n}),
        ]
    with mongo_proxy.recording() as seen:
        result = await Thing.bulk_write(operations, ordered=False)
    assert sorted(wire(seen)) == [("delete", 3), ("insert", 3), ("update", 3)]
    assert not any(each.body["ordered"] for each in seen)
    assert (result.inserted_count, result.modified_count, result.deleted_count) == (3, 3, 3)
    left = sorted((each.code, tuple(each.marks)) for each in await Thing.find_all())
    assert left == [(0, (0,)), (1, (1,)), (2, (2,)), (100, ()), (101, ()), (102, ())]


async def test_upserted_ids_stand_at_their_operations_place(bind: Bind) -> None:
    await bind(Numbered)
    result = await Numbered.bulk_write(
        [
            InsertOne({"_id": 50, "text": "a"}),
            UpdateOne({"_id": 1}, {"$set": {"text": "b"}}, upsert=True),
            DeleteOne({"_id": 50}),
            ReplaceOne({"_id": 2}, {"text": "c"}, upsert=True),
            UpdateMany({"_id": 3}, {"$set": {"text": "d"}}, upsert=True),
            UpdateOne({"_id": 1}, {"$set": {"text": "e"}}, upsert=True),
        ]
    )
    assert result.upserted_ids == {1: 1, 3: 2, 4: 3}
    assert (result.matched_count, result.modified_count) == (1, 1)
    assert await stored(Numbered) == [
        {"_id": 1, "text": "e"},
        {"_id": 2, "text": "c"},
        {"_id": 3, "text": "d"},
    ]


async def test_bulk_write_of_nothing_sends_nothing(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        assert await Person.bulk_write([]) == BulkResult()
        assert await Person.bulk_write(iter([]), ordered=False) == BulkResult()
    assert seen == []


async def test_bulk_write_takes_documents_and_dicts(bind: Bind) -> None:
    await bind(Thing)
    one = Thing(code=1)
    _id = ObjectId()
    plain = {"_id": _id, "code": 2, "kind": "old", "day": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    await Thing.bulk_write([InsertOne(one), InsertOne(plain)])
    assert one.id is not None
    assert changes(one) == {}
    assert await Thing.find_all(sort="code") == [
        one,
        Thing(_id=_id, code=2, kind=Kind.OLD, day=dt.date(2026, 1, 1)),
    ]
    with pytest.raises(DocumentValidationError, match=r"Thing\.code"):
        await Thing.bulk_write([InsertOne({"code": "x"})])


async def test_bulk_write_stores_what_insert_stores(bind: Bind) -> None:
    """Not only the dict's own fields: it is a document of the class, with its defaults."""
    await bind(Thing)
    await Thing.bulk_write([InsertOne({"code": 1})])
    await Thing(code=2).insert()
    first, second = await stored(Thing)
    assert {**first, "_id": 0, "code": 0} == {**second, "_id": 0, "code": 0}


async def test_hooks_run_for_each_operation(bind: Bind) -> None:
    await bind(Hooked)
    await Hooked.get_collection().insert_one({"_id": ObjectId(), "owner": "other"})
    mine = Hooked()
    result = await Hooked.bulk_write(
        [
            InsertOne(mine),
            UpdateMany({}, {"$set": {"saved": 5}}),
            DeleteMany({"owner": "other"}),
        ]
    )
    assert (result.matched_count, result.deleted_count) == (1, 0)
    assert mine.saved == 1
    found = await stored(Hooked, {"owner": "me"})
    assert [(each["saved"], each["updated"]) for each in found] == [(5, 1)]
    replaced = Hooked(saved=10)
    await Hooked.bulk_write([ReplaceOne({"owner": "me"}, replaced)])
    assert [each["saved"] for each in await stored(Hooked, {"owner": "me"})] == [11]
    result = await Hooked.bulk_write(
        [UpdateMany({}, {"$set": {"saved": 0}}), DeleteOne({"owner": "other"})], skip_hooks=True
    )
    assert (result.matched_count, result.deleted_count) == (2, 1)
    assert [each["updated"] for each in await stored(Hooked)] == [0]


async def test_the_callers_operations_are_not_changed(bind: Bind) -> None:
    await bind(Hooked)
    update: dict[str, Any] = {"$set": {"saved": 1}}
    query: dict[str, Any] = {"saved": {"$gt": 0}}
    operation = UpdateOne(query, update)
    for _ in range(2):
        await Hooked.bulk_write([operation, DeleteOne(query)])
    assert (query, update) == ({"saved": {"$gt": 0}}, {"$set": {"saved": 1}})


async def test_the_options_of_an_operation_are_sent(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    await Person(name="a", tags=["x", "y"]).insert()
    french = {"locale": "fr"}
    with mongo_proxy.recording() as seen:
        await Person.bulk_write(
            [
                UpdateOne(
                    {"name": "a"},
                    {"$set": {"tags.$[t]": "z"}},
                    array_filters=[{"t": "x"}],
                    hint="_id_",
                ),
                UpdateMany({"name": "A"}, [{"$set": {"age": {"$add": ["$age", 1]}}}]),
                DeleteMany({"name": "B"}, collation=french, hint={"_id": 1}),
            ],
            comment="why",
            let={"x": 1},
        )
    first, second = seen[0].body["updates"]
    assert (first["arrayFilters"], first["hint"], first["multi"]) == ([{"t": "x"}], "_id_", False)
    assert second["u"] == [{"$set": {"age": {"$add": ["$age", 1]}}}]
    assert second["multi"] is True
    assert "upsert" not in first
    (gone,) = seen[1].body["deletes"]
    assert gone == {"q": {"name": "B"}, "limit": 0, "collation": french, "hint": {"_id": 1}}
    assert {each.body["comment"] for each in seen} == {"why"}
    assert seen[0].body["let"] == {"x": 1}
    assert (await Person.find_all())[0].tags == ["z", "y"]


async def test_an_ordered_bulk_stops_at_the_first_failure_and_names_it(bind: Bind) -> None:
    await bind(Account)
    await Account(email="taken").insert()
    fresh = [Account(email="a"), Account(email="taken"), Account(email="b")]
    operations: list[Any] = [InsertOne(each) for each in fresh]
    operations.append(DeleteMany({}))
    with pytest.raises(BulkWriteError, match=r"Account\.bulk_write.*1 done.*3 failed") as caught:
        await Account.bulk_write(operations)
    error = caught.value
    assert error.outcome == "partial"
    assert error.code == 11000
    assert error.results.inserted_count == 1
    assert [(each.index, each.code) for each in error.failures] == [
        (1, 11000),
        (2, None),
        (3, None),
    ]
    assert error.failures[0].key_pattern == {"email": 1}
    assert error.failures[0].key_value == {"email": "taken"}
    assert error.failures[0].document is operations[1]
    assert error.unknown == []
    assert [each.id is None for each in fresh] == [False, True, True]
    assert {each.email for each in await Account.find_all()} == {"taken", "a"}
    assert (changes(fresh[0]), changes(fresh[1]) != {}) == ({}, True)


async def test_an_unordered_bulk_goes_on_after_a_failure(bind: Bind) -> None:
    await bind(Account)
    await Account(email="taken").insert()
    fresh = [Account(email=each) for each in ("taken", "a", "taken", "b")]
    operations: list[Any] = [InsertOne(each) for each in fresh]
    operations += [
        UpdateOne({"email": "a"}, {"$set": {"email": "taken"}}),
        DeleteOne({"email": "b"}),
    ]
    with pytest.raises(BulkWriteError) as caught:
        await Account.bulk_write(operations, ordered=False)
    error = caught.value
    assert [each.index for each in error.failures] == [0, 2, 4]
    assert (error.results.inserted_count, error.results.deleted_count) == (2, 1)
    assert [each.id is None for each in fresh] == [True, False, True, False]
    assert {each.email for each in await Account.find_all()} == {"taken", "a"}


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_document_listed_twice_is_inserted_once_and_keeps_its_id(
    bind: Bind, ordered: bool
) -> None:
    await bind(Thing)
    one = Thing(code=1)
    with pytest.raises(BulkWriteError) as caught:
        await Thing.bulk_write([InsertOne(one), InsertOne(one)], ordered=ordered)
    assert [(each.index, each.code) for each in caught.value.failures] == [(1, 11000)]
    assert await Thing.find_all() == [one]
    assert changes(one) == {}


async def test_all_is_checked_before_anything_is_sent(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Thing, Numbered)
    wrong: Any = "x"
    huge = 2**70
    with mongo_proxy.recording() as seen:
        with pytest.raises(DocumentValidationError, match=r"Thing\.code"):
            await Thing.bulk_write([DeleteMany({}), InsertOne(Thing(code=wrong))])
        with pytest.raises(DocumentValidationError, match=r"Thing\.code"):
            await Thing.bulk_write([DeleteMany({}), ReplaceOne({}, Thing(code=wrong))])
        with pytest.raises(EncodingError):
            await Thing.bulk_write([DeleteMany({}), UpdateOne({}, {"$set": {"code": huge}})])
        with pytest.raises(OptionError, match=r"operators|replace"):
            await Thing.bulk_write([DeleteMany({}), UpdateOne({}, {"$set": {}}), _update({})])
        with pytest.raises(OptionError, match=r"bulk_write.*InsertOne"):
            await Thing.bulk_write([DeleteMany({}), {"insert": 1}])
        with pytest.raises(OptionError, match="Numbered"):
            await Thing.bulk_write([DeleteMany({}), InsertOne(Numbered(_id=1))])
        unknown: Any = {"nope": 1}
        with pytest.raises(OptionError, match="nope"):
            await Thing.bulk_write([DeleteMany({})], **unknown)
    assert seen == []


def _update(update: dict[str, Any]) -> Any:
    """An operation whose update pymongo itself would refuse."""
    operation = UpdateOne({}, {"$set": {"a": 1}})
    operation._doc = update  # type: ignore[attr-defined]
    return operation


async def test_an_id_is_taken_back_where_the_bulk_was_refused_before_sending(bind: Bind) -> None:
    await bind(Thing)
    one = Thing(code=1)
    with pytest.raises(OptionError):
        await Thing.bulk_write([InsertOne(one), _update({"a": 1})])
    assert one.id is None
    await one.insert()


async def test_a_lost_reply_leaves_the_bulk_unknown(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Thing)
    one, other = Thing(code=1), Thing(code=2)
    operations: list[Any] = [InsertOne(one), UpdateOne({}, {"$inc": {"code": 5}}), InsertOne(other)]
    with (
        mongo_proxy.cut("update", at="reply"),
        pytest.raises(BulkWriteError) as caught,
    ):
        await Thing.bulk_write(operations)
    error = caught.value
    assert error.outcome == "unknown"
    assert error.unknown == [operations[1]]
    assert [each.index for each in error.failures] == [2]
    assert error.results.inserted_count == 1
    assert (one.id is None, other.id is None) == (False, True)
    assert await Thing.count({"code": 6}) == 1  # carried out once, not twice


async def test_an_insert_whose_reply_is_lost_in_a_bulk_keeps_its_id(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Thing)
    one = Thing(code=1)
    with (
        mongo_proxy.cut("insert", at="reply"),
        pytest.raises(BulkWriteError) as caught,
    ):
        await Thing.bulk_write([InsertOne(one)])
    assert caught.value.outcome == "unknown"
    assert [each["_id"] for each in await stored(Thing)] == [one.id]
    assert changes(one) != {}  # its content there is not known
    await one.save()
    assert changes(one) == {}


async def test_a_write_concern_that_failed_means_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Thing)
    one = Thing(code=1)
    with (
        mongo_proxy.write_concern_error("insert"),
        pytest.raises(BulkWriteError) as caught,
    ):
        await Thing.bulk_write([InsertOne(one), UpdateOne({}, {"$set": {"code": 2}})])
    assert caught.value.results.inserted_count == 1
    assert changes(one) == {}
    assert [(each.index, each.code) for each in caught.value.failures] == [(1, None)]
    assert [each["code"] for each in await stored(Thing)] == [1]


async def test_an_unordered_bulk_goes_on_after_a_write_concern_error(
    bind: Bind, mongo_proxy: FaultProxy, few_statements: None
) -> None:
    await bind(Account)
    fresh = [Account(email=str(n)) for n in range(25)]
    failing = mongo_proxy.write_concern_error("insert", code=64, times=1)
    with failing, mongo_proxy.fail("insert", 13, skip=2), pytest.raises(BulkWriteError) as caught:
        await Account.bulk_write([InsertOne(each) for each in fresh], ordered=False)
    assert caught.value.outcome == "partial"
    assert caught.value.code == 64  # the first error, not the refusal of the last command
    assert caught.value.results.inserted_count == 20
    assert [each.index for each in caught.value.failures] == list(range(20, 25))
    assert await Account.count() == 20
    assert [each._id is None for each in fresh] == [False] * 20 + [True] * 5


async def test_a_bulk_is_cut_at_the_servers_limits(
    bind: Bind, mongo_proxy: FaultProxy, few_statements: None
) -> None:
    await bind(Account)
    await Account(email="15").insert()
    fresh = [Account(email=str(n)) for n in range(25)]
    with mongo_proxy.recording() as seen, pytest.raises(BulkWriteError) as caught:
        await Account.bulk_write([InsertOne(each) for each in fresh], ordered=False)
    assert wire(seen) == [("insert", 10), ("insert", 10), ("insert", 5)]
    assert [each.index for each in caught.value.failures] == [15]
    assert await Account.count() == 25
    with mongo_proxy.recording() as seen:
        result = await Account.bulk_write(
            [
                UpdateOne({"email": f"new{n}"}, {"$set": {"role": "x"}}, upsert=True)
                for n in range(12)
            ]
        )
    assert wire(seen) == [("update", 10), ("update", 2)]
    assert sorted(result.upserted_ids) == list(range(12))


async def test_a_bulk_is_cut_by_its_bytes(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bind(Numbered)
    monkeypatch.setattr(bulk, "_MOST_BYTES", 10_000)
    with mongo_proxy.recording() as seen:
        await Numbered.bulk_write([InsertOne({"_id": n, "text": "x" * 3_000}) for n in range(7)])
    assert wire(seen) == [("insert", 3), ("insert", 3), ("insert", 1)]
    assert await Numbered.count() == 7


async def test_a_bulk_in_a_session_of_the_callers_own(
    bind: Bind, mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    await bind(Thing)
    one = Thing(code=1)
    session = await mongo_client.start_session()
    await session.start_transaction()
    await Thing.bulk_write(
        [InsertOne(one), UpdateOne({"code": 1}, {"$inc": {"code": 1}})], session=session
    )
    assert await Thing.count() == 0
    await session.abort_transaction()
    assert await Thing.count() == 0
    with pytest.raises(DocumentNotFoundError):
        await one.save()
    inserts = [each for each in mongo_proxy.commands if each.name == "insert"]
    assert all("writeConcern" not in each.body for each in inserts)


# -- save_many


async def test_save_many_of_1000_changed_documents_is_one_command(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=str(n), age=n) for n in range(1_200)])
    people = await Person.find_all(sort="age")
    for each in people[:1_000]:
        each.age += 10_000
    people[5].tags.append("in place")
    with mongo_proxy.recording() as seen:
        result = await Person.save_many(people)
    (command,) = seen
    assert command.name == "update"
    updates = command.body["updates"]
    assert len(updates) == 1_000
    assert updates[0]["u"] == {"$set": {"age": 10_000}}
    assert updates[5]["u"] == {"$set": {"age": 10_005, "tags": ["in place"]}}
    assert not command.body["ordered"]
    assert (result.matched_count, result.modified_count) == (1_000, 1_000)
    assert all(changes(each) == {} for each in people)
    assert await Person.find_all(sort="age") == sorted(people, key=lambda each: each.age)
    with mongo_proxy.recording() as seen:
        assert await Person.save_many(people) == BulkResult()
    assert seen == []


async def test_save_many_sends_only_what_changed_and_the_rest_survives(bind: Bind) -> None:
    await bind(Person)
    await Person.insert_many([Person(name="a"), Person(name="b"), Person(name="c")])
    people = await Person.find_all(sort="name")
    await Person.update_many({}, {"$inc": {"age": 1}})
    people[0].name = "A"
    people[2].tags.append("x")
    result = await Person.save_many(people)
    assert result.matched_count == 2
    found = await Person.find_all(sort="age")
    assert {(each.name, each.age) for each in found} == {("A", 1), ("b", 1), ("c", 1)}


async def test_save_many_names_a_document_that_is_gone(bind: Bind) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=str(n)) for n in range(6)])
    people = await Person.find_all(sort="name")
    gone = people[3]
    await Person.get_collection().delete_one({"_id": gone.id})
    for each in people:
        each.age = 1
    with pytest.raises(BulkWriteError) as caught:
        await Person.save_many(people)
    error = caught.value
    assert error.outcome == "partial"
    (failure,) = error.failures
    assert failure.document is gone
    assert (failure.index, failure.code) == (3, None)
    assert repr(gone.id) in failure.message
    assert "Person" in failure.message
    assert error.results.matched_count == 5
    assert changes(gone) == {"age": 1}  # still to be saved
    assert all(changes(each) == {} for each in people if each is not gone)
    assert await Person.count({"age": 1}) == 5


async def test_save_many_counts_failures_by_the_place_in_the_callers_list(bind: Bind) -> None:
    """WriteFailure.index is "its place in the list that was given", unchanged ones included."""
    await bind(Person)
    await Person.insert_many([Person(name=str(n)) for n in range(6)])
    people = await Person.find_all(sort="name")
    await Person.get_collection().delete_one({"_id": people[4].id})
    people[2].age = people[4].age = 1
    with pytest.raises(BulkWriteError) as caught:
        await Person.save_many(people)
    (failure,) = caught.value.failures
    assert failure.document is people[4]
    assert failure.index == 4


async def test_save_many_runs_every_pre_save(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Hooked)
    await Hooked.insert_many([Hooked(), Hooked()])
    documents = await Hooked.find_all()
    with mongo_proxy.recording() as seen:
        await Hooked.save_many(documents)
    assert [each["u"] for each in seen[0].body["updates"]] == [{"$set": {"saved": 2}}] * 2


async def test_save_many_of_a_duplicate_key_names_the_document(bind: Bind) -> None:
    await bind(Account)
    await Account.insert_many([Account(email=each) for each in "abc"])
    accounts = await Account.find_all(sort="email")
    accounts[0].email, accounts[1].email, accounts[2].email = "x", "c", "z"
    with pytest.raises(BulkWriteError) as caught:
        await Account.save_many(accounts)
    (failure,) = caught.value.failures
    assert (failure.index, failure.code, failure.document) == (1, 11000, accounts[1])
    assert failure.key_value == {"email": "c"}
    assert [changes(each) for each in accounts] == [{}, {"email": "c"}, {}]
    assert {each.email for each in await Account.find_all()} == {"x", "b", "z"}


async def test_save_many_checks_all_before_it_sends(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person, Numbered)
    people = [await Person(name="a").insert(), await Person(name="b").insert()]
    wrong: Any = 5
    people[0].age, people[1].name = 1, wrong
    moved = await Numbered(_id=1).insert()
    moved._id = 2
    stranger: Any = moved
    with mongo_proxy.recording() as seen:
        with pytest.raises(DocumentValidationError, match=r"Person\.name") as caught:
            await Person.save_many(people)
        assert caught.value.id == people[1].id
        with pytest.raises(MissingIdError, match="Person"):
            await Person.save_many([people[0], Person(name="c")])
        with pytest.raises(InvalidIdError, match="Numbered"):
            await Numbered.save_many([moved])
        with pytest.raises(OptionError, match="Numbered"):
            await Person.save_many([people[0], stranger])
    assert seen == []
    assert changes(people[0]) == {"age": 1}


async def test_save_many_is_sent_once_more_after_a_lost_reply(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [await Person(name=each).insert() for each in "abc"]
    for each in people:
        each.age = 5
    with mongo_proxy.recording() as seen, mongo_proxy.cut("update", at="reply", times=1):
        result = await Person.save_many(people)
    assert [each.name for each in seen] == ["update", "update"]
    assert result.matched_count == 3
    assert all(changes(each) == {} for each in people)


async def test_save_many_with_an_unknown_outcome_knows_nothing_of_the_content(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [await Person(name=each).insert() for each in "ab"]
    for each in people:
        each.age = 5
    with (
        mongo_proxy.cut("update", at="reply"),
        pytest.raises(BulkWriteError) as caught,
    ):
        await Person.save_many(people)
    assert caught.value.outcome == "unknown"
    assert caught.value.unknown == people
    assert isinstance(caught.value.__cause__, OperationError)
    with mongo_proxy.recording() as seen:
        await Person.save_many(people)
    first = seen[0].body["updates"][0]["u"]["$set"]
    assert first == {"name": "a", "age": 5, "tags": [], "address": None}


async def test_save_many_is_cut_at_the_servers_limits(
    bind: Bind, mongo_proxy: FaultProxy, few_statements: None
) -> None:
    await bind(Person)
    await Person.insert_many([Person(name=f"{n:02}") for n in range(25)])
    people = await Person.find_all(sort="name")
    await Person.get_collection().delete_one({"_id": people[17].id})
    for each in people:
        each.age = 1
    with mongo_proxy.recording() as seen, pytest.raises(BulkWriteError) as caught:
        await Person.save_many(people)
    assert wire(seen) == [("update", 10), ("update", 10), ("update", 5)]
    assert [each.document for each in caught.value.failures] == [people[17]]
    assert await Person.count({"age": 1}) == 24


async def test_the_same_document_twice_in_save_many(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a").insert()
    (twin,) = await Person.find_all()
    one.name, twin.age = "b", 5
    await Person.save_many([one, twin, one])
    (found,) = await Person.find_all()
    assert (found.name, found.age) == ("b", 5)


async def test_save_many_of_frozen_renamed_and_custom_ids(bind: Bind) -> None:
    class Odd(MongoDocument, rename={"value": "v"}):
        _id: str | None = None
        value: int = 0

    await bind(Odd)
    await Odd.insert_many([Odd(_id=each) for each in "ab"])
    odds = await Odd.find_all(sort="_id")
    for each in odds:
        each.value = 1
    assert (await Odd.save_many(odds)).modified_count == 2
    assert await stored(Odd) == [{"_id": "a", "v": 1}, {"_id": "b", "v": 1}]


async def test_an_update_many_that_failed_in_the_middle_may_have_changed_some(bind: Bind) -> None:
    await bind(Person)
    collection = Person.get_collection()
    await collection.insert_many([{"name": "a", "age": 1}, {"name": "b", "age": "text"}])
    for ordered in (True, False):
        with pytest.raises(BulkWriteError) as caught:
            await Person.bulk_write([UpdateMany({}, {"$inc": {"age": 1}})], ordered=ordered)
        assert caught.value.outcome == "unknown"
        assert [each.index for each in caught.value.failures] == [0]
