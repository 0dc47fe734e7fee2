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
    BulkInsertError,
    BulkResult,
    BulkWriteError,
    DocumentNotFoundError,
    DocumentValidationError,
    EncodingError,
    MongoDocument,
    OptionError,
    changes,
)
from mongospec_core.operations import insert_many
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
    monkeypatch.setattr(bulk, "MAX_STATEMENTS", 10)


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
                UpdateOne({"email": f"new{n}"}, {"$set": {"role": "writer"}}, upsert=True)
                for n in range(12)
            ]
        )
    assert wire(seen) == [("update", 10), ("update", 2)]
    assert sorted(result.upserted_ids) == list(range(12))


async def test_a_bulk_is_cut_by_its_bytes(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bind(Numbered)
    monkeypatch.setattr(bulk, "MAX_COMMAND_BYTES", 10_000)
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


@pytest.mark.parametrize("option", ["upsert", "collation", "array_filters", "hint"])
async def test_bulk_operations_refuse_options_that_they_would_drop(bind: Bind, option: str) -> None:
    await bind(Person)
    given: Any = {option: None}
    with pytest.raises(OptionError, match=option):
        await Person.save_many([], **given)
    with pytest.raises(OptionError, match=option):
        await Person.bulk_write([], **given)


async def test_bulk_operations_refuse_an_unacknowledged_write(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match="w=0"):
        await Person.bulk_write([InsertOne({"name": "a"})], write_concern={"w": 0})
    assert await Person.count() == 0


async def test_a_replacement_that_is_a_dict_is_told_what_it_should_be(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError, match=r"Person\(\.\.\.\)"):
        await Person.find_one_and_replace({}, {"name": "a"})  # type: ignore[arg-type]


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_write_concern_error_of_one_batch_stops_no_other(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    await bind(Person)
    monkeypatch.setattr(insert_many, "MAX_STATEMENTS", 2)
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
