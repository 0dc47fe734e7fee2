"""Inserting: one, many, and only if there is none."""

import asyncio
import copy
import random
import re
from datetime import UTC, datetime
from typing import Any, ClassVar

import mongojet
import pytest
from bson import ObjectId
from mongojet import IndexModel, WriteConcern

from mongospec_core import (
    BulkInsertError,
    DuplicateKeyError,
    MissingIdError,
    MongoDocument,
    OperationError,
    OptionError,
    ServerUnavailableError,
    changes,
)
from mongospec_core.extension import is_new
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Numbered, Person


class Keyed(MongoDocument):
    """A unique index over two fields, one of them inside of a Struct's place."""

    __indexes__: ClassVar = [IndexModel([("shop", 1), ("detail.number", -1)], unique=True)]

    shop: str
    detail: dict[str, int]


# -- insert, insert_one


async def test_insert_gives_the_document_itself_with_an_id(bind: Bind) -> None:
    await bind(Person)
    alice = Person(name="Alice")
    assert await alice.insert() is alice
    assert isinstance(alice.id, ObjectId)
    bob = Person(name="Bob")
    assert await Person.insert_one(bob) is bob
    assert await stored(Person) == [alice.dump(), bob.dump()]


async def test_insert_keeps_an_id_of_ones_own(bind: Bind) -> None:
    await bind(Person, Numbered)
    _id = ObjectId()
    assert (await Person(_id=_id, name="a").insert()).id == _id
    assert (await Numbered(_id=7).insert()).id == 7


async def test_insert_sends_one_command(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        await Person(name="a").insert()
    (command,) = seen
    assert command.name == "insert"
    assert command.collection == "people"
    assert [each["name"] for each in command.body["documents"]] == ["a"]


async def test_a_duplicate_key_names_index_key_and_value(bind: Bind) -> None:
    await bind(Account, Keyed)
    await Account(email="a@x").insert()
    twin = Account(email="a@x")
    with pytest.raises(DuplicateKeyError) as caught:
        await twin.insert()
    error = caught.value
    assert (error.index, error.code, error.outcome) == ("email_1", 11000, "not_applied")
    assert (error.key_pattern, error.key_value) == ({"email": 1}, {"email": "a@x"})
    assert "Account.insert" in str(error)
    assert isinstance(error, mongojet.DuplicateKeyError)
    assert isinstance(error.__cause__, mongojet.PyMongoError)
    assert twin.id is None  # it was not written, so its id is taken back
    await Keyed(shop="a", detail={"number": 1}).insert()
    with pytest.raises(DuplicateKeyError) as caught:
        await Keyed(shop="a", detail={"number": 1}).insert()
    assert caught.value.key_value == {"shop": "a", "detail.number": 1}


async def test_a_taken_id_is_a_duplicate_key_and_stays(bind: Bind) -> None:
    await bind(Numbered)
    await Numbered(_id=1).insert()
    other = Numbered(_id=1, text="b")
    with pytest.raises(DuplicateKeyError) as caught:
        await other.insert()
    assert caught.value.key_value == {"_id": 1}
    assert other.id == 1
    assert (await stored(Numbered)) == [{"_id": 1, "text": ""}]


async def test_a_document_of_another_class_is_refused(bind: Bind) -> None:
    await bind(Person, Account)
    other: Any = Account(email="a")
    for insert in (
        Person.insert_one(other),
        Person.insert_many([other]),
        Person.insert_if_not_exists(other, {}),
    ):
        with pytest.raises(OptionError, match="Account"):
            await insert
    assert await stored(Person) == []


async def test_an_inserted_document_has_no_changes(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"]).insert()
    assert changes(one) == {}
    one.tags.append("y")
    assert changes(one) == {"tags": ["x", "y"]}


# -- insert_many


async def test_insert_many_of_500_in_any_order_gives_each_its_own_id(bind: Bind) -> None:
    await bind(Person)
    people = [Person(name=f"p{n}", age=n) for n in range(500)]
    random.Random(5).shuffle(people)
    ids = await Person.insert_many(people)
    assert ids == [each.id for each in people]
    assert len(set(ids)) == 500
    by_id = {each["_id"]: each["age"] for each in await stored(Person)}
    assert by_id == {each.id: each.age for each in people}
    for each in people[::50]:
        assert await Person.find_by_id(each.id) == each


async def test_insert_many_mixes_given_and_new_ids(bind: Bind) -> None:
    await bind(Person)
    given = ObjectId()
    ids = await Person.insert_many(
        [Person(name="a"), Person(_id=given, name="b"), Person(name="c")]
    )
    assert ids[1] == given
    assert [each["name"] for each in await stored(Person, {"_id": ids[2]})] == ["c"]


async def test_insert_many_of_nothing_sends_nothing(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        assert await Person.insert_many([]) == []
        assert await Person.insert_many(iter(())) == []
    assert seen == []


async def test_insert_many_takes_any_iterable_and_sends_one_command(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        ids = await Person.insert_many(Person(name=str(n)) for n in range(2_500))
    assert len(ids) == 2_500
    assert [each.name for each in seen] == ["insert"]


async def test_unordered_with_3_duplicates_stores_the_other_497(bind: Bind) -> None:
    await bind(Account)
    accounts = [Account(email=f"{n}@x") for n in range(500)]
    for place in (10, 250, 499):
        accounts[place].email = "0@x"
    with pytest.raises(BulkInsertError) as caught:
        await Account.insert_many(accounts, ordered=False)
    error = caught.value
    assert await Account.count() == 497
    assert [(each.index, each.code) for each in error.failures] == [
        (10, 11000),
        (250, 11000),
        (499, 11000),
    ]
    for each in error.failures:
        assert each.key_pattern == {"email": 1}
        assert each.key_value == {"email": "0@x"}
        assert each.document is accounts[each.index]
        assert each.document.id is None
    good = [each for n, each in enumerate(accounts) if n not in (10, 250, 499)]
    assert len(error.inserted) == 497
    assert all(a is b for a, b in zip(error.inserted, good, strict=True))
    assert {each["_id"] for each in await stored(Account)} == {each.id for each in good}
    assert all(changes(each) == {} for each in good)
    assert error.unknown == []
    assert error.outcome == "partial"
    assert "497 inserted, 3 failed, 0 unknown" in str(error)
    assert isinstance(error, mongojet.PyMongoError)


async def test_ordered_stops_at_the_first_duplicate(bind: Bind) -> None:
    await bind(Account)
    accounts = [Account(email=email) for email in ("a", "b", "a", "c", "d")]
    with pytest.raises(BulkInsertError) as caught:
        await Account.insert_many(accounts)
    error = caught.value
    assert [each["email"] for each in await stored(Account)] == ["a", "b"]
    assert error.inserted == accounts[:2]
    assert [(each.index, each.code) for each in error.failures] == [
        (2, 11000),
        (3, None),
        (4, None),
    ]
    assert [each.id is None for each in accounts] == [False, False, True, True, True]
    assert error.outcome == "partial"
    # what was not inserted can be inserted again
    await Account.insert_many(accounts[3:])
    assert await Account.count() == 4


async def test_insert_many_of_only_duplicates_is_not_applied(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    with pytest.raises(BulkInsertError) as caught:
        await Account.insert_many([Account(email="a"), Account(email="a")], ordered=False)
    assert caught.value.outcome == "not_applied"
    assert caught.value.inserted == []
    assert len(caught.value.failures) == 2


async def test_the_same_document_twice_is_a_duplicate_of_itself(bind: Bind) -> None:
    await bind(Person)
    one = Person(name="a")
    with pytest.raises(BulkInsertError) as caught:
        await Person.insert_many([one, one], ordered=False)
    assert [each.index for each in caught.value.failures] == [1]
    assert await stored(Person) == [one.dump()]
    assert one.id is not None


async def test_messages_that_look_like_errors_do_not_mislead(bind: Bind) -> None:
    await bind(Account)
    odd = 'x" }], dup key: { email: "y" } index: 7 WriteError { code: 5, index: 3'
    await Account(email=odd).insert()
    with pytest.raises(DuplicateKeyError) as caught:
        await Account(email=odd).insert()
    assert caught.value.key_value == {"email": odd}
    with pytest.raises(BulkInsertError) as bulk:
        await Account.insert_many([Account(email="a"), Account(email=odd)], ordered=False)
    assert [(each.index, each.code) for each in bulk.value.failures] == [(1, 11000)]
    assert bulk.value.failures[0].key_value == {"email": odd}


# -- lost replies


async def test_an_insert_whose_reply_is_lost_keeps_its_id(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = Person(name="a")
    with mongo_proxy.cut("insert", at="reply"), pytest.raises(OperationError) as caught:
        await one.insert()
    assert caught.value.outcome == "unknown"
    assert one.id is not None
    # a user's retry ends in a duplicate of this id, never in a second document
    with pytest.raises(DuplicateKeyError):
        await one.insert()
    assert await Person.count() == 1


async def test_an_insert_that_the_server_never_saw_is_sent_again_by_the_driver(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.cut("insert", times=1):
        await Person(name="a").insert()
    assert await Person.count() == 1


async def test_insert_many_whose_reply_is_lost_lists_what_is_unknown(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [Person(name=str(n)) for n in range(3)]
    with mongo_proxy.cut("insert", at="reply"), pytest.raises(BulkInsertError) as caught:
        await Person.insert_many(people)
    error = caught.value
    assert (error.inserted, error.failures, error.unknown) == ([], [], people)
    assert error.outcome == "unknown"
    assert all(each.id is not None for each in people)


async def test_the_id_of_an_insert_that_the_server_refused_is_taken_back(
    mongo_proxy: FaultProxy, bind: Bind
) -> None:
    await bind(Person)
    one = Person(name="a")
    with (
        mongo_proxy.fail("insert", 13, message="not allowed"),
        pytest.raises(OperationError) as caught,
    ):
        await one.insert()
    assert (caught.value.outcome, caught.value.code) == ("not_applied", 13)
    assert one.id is None
    assert not isinstance(caught.value, ServerUnavailableError)


async def test_a_write_concern_that_failed_means_applied(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    one = Person(name="a")
    with (
        mongo_proxy.write_concern_error("insert", 100, message="too few nodes"),
        pytest.raises(OperationError) as caught,
    ):
        await one.insert()
    assert (caught.value.outcome, caught.value.code) == ("applied", 100)
    assert await stored(Person) == [one.dump()]
    assert changes(one) == {}


async def test_the_drivers_options_are_passed_on(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    with mongo_proxy.recording() as seen:
        await Person(name="a").insert(comment="why", write_concern=WriteConcern(w=1))
        await Person.insert_many([Person(name="b")], comment="many", ordered=False)
    assert [each.body.get("comment") for each in seen] == ["why", "many"]
    assert seen[0].body["writeConcern"] == {"w": 1}
    assert seen[1].body["ordered"] is False


# -- insert_if_not_exists


async def test_insert_if_not_exists_from_40_tasks_inserts_once(bind: Bind) -> None:
    await bind(Account)
    mine = [Account(email="a@x") for _ in range(40)]
    given = await asyncio.gather(
        *(Account.insert_if_not_exists(each, {"email": "a@x"}) for each in mine)
    )
    winners = [each for each in given if each is not None]
    assert len(winners) == 1
    assert given.count(None) == 39
    (winner,) = winners
    assert any(winner is each for each in mine)
    assert await Account.find_all() == [winner]
    assert all(each.id is None for each in mine if each is not winner)


async def test_insert_if_not_exists_goes_by_the_id_without_a_filter(bind: Bind) -> None:
    await bind(Numbered)
    one = Numbered(_id=1, text="a")
    assert await Numbered.insert_if_not_exists(one) is one
    assert await Numbered.insert_if_not_exists(Numbered(_id=1, text="b")) is None
    assert await stored(Numbered) == [{"_id": 1, "text": "a"}]
    with pytest.raises(MissingIdError, match="filter="):
        await Numbered.insert_if_not_exists(Numbered(text="c"))


async def test_insert_if_not_exists_stores_the_whole_document(bind: Bind) -> None:
    await bind(Person)
    one = Person(name="a", tags=["x"])
    assert await Person.insert_if_not_exists(one, {"name": "a"}) is one
    assert await stored(Person) == [one.dump()]
    assert changes(one) == {}
    other = Person(name="b", age=5)  # an operator in the filter takes nothing from the document
    assert await Person.insert_if_not_exists(other, {"age": {"$gt": 3}, "name": "b"}) is other
    assert await stored(Person, {"name": "b"}) == [other.dump()]
    assert await Person.insert_if_not_exists(Person(name="c"), {"age": {"$gt": 3}}) is None
    assert await Person.insert_if_not_exists(Person(name="bb"), {"name": re.compile("b")}) is None
    third = Person(name="c")
    assert await Person.insert_if_not_exists(third, {"name": re.compile("c")}) is third
    assert await stored(Person, {"name": "c"}) == [third.dump()]


async def test_insert_if_not_exists_is_one_command(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Account)
    with mongo_proxy.recording() as seen:
        await Account.insert_if_not_exists(Account(email="a"), {"email": "a"})
    (command,) = seen
    (update,) = command.body["updates"]
    assert update["q"] == {"email": "a"}
    assert update["upsert"] is True
    assert list(update["u"]) == ["$setOnInsert"]


@pytest.mark.parametrize(
    "filter",
    [
        {"name": "other"},
        {"name": {"$eq": "other"}},
        {"age": {"$gt": 3}, "name": "other"},
        {"$and": [{"name": "other"}]},
        {"address.city": "Rome"},
        {"age": 3},
    ],
)
async def test_insert_if_not_exists_refuses_a_filter_that_contradicts(
    bind: Bind, filter: dict[str, Any]
) -> None:
    await bind(Person)
    one = Person(name="mine")
    with pytest.raises(OptionError, match="filter") as caught:
        await Person.insert_if_not_exists(one, filter)
    assert "Person" in str(caught.value)
    assert await stored(Person) == []
    assert one.id is None


async def test_insert_if_not_exists_tells_true_from_1_in_a_filter(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(OptionError):
        await Person.insert_if_not_exists(Person(name="a", age=1), {"age": True})


async def test_insert_if_not_exists_names_another_index_that_refused_it(bind: Bind) -> None:
    class Member(MongoDocument):
        __indexes__: ClassVar = [IndexModel("email", unique=True), IndexModel("nick", unique=True)]
        email: str
        nick: str

    await bind(Member)
    await Member(email="a", nick="n").insert()
    other = Member(email="b", nick="n")
    with pytest.raises(DuplicateKeyError) as caught:
        await Member.insert_if_not_exists(other, {"email": "b"})
    assert caught.value.key_value == {"nick": "n"}
    assert other.id is None
    assert await Member.count() == 1


async def test_the_callers_filter_is_not_changed(bind: Bind) -> None:
    await bind(Account)
    wanted: dict[str, Any] = {"email": "a", "$or": [{"email": {"$ne": "b"}}]}
    await Account.insert_if_not_exists(Account(email="a"), wanted)
    assert wanted == {"email": "a", "$or": [{"email": {"$ne": "b"}}]}


DUPLICATE = "E11000 duplicate key error collection: db.Person index: _id_ dup key: { _id: 1 }"


def taken(index: int) -> dict[str, Any]:
    """The reply to an insert that arrives for the second time."""
    error = {"index": index, "code": 11000, "errmsg": DUPLICATE}
    return {"ok": 1, "n": 0, "writeErrors": [error]}


async def test_a_duplicate_of_the_id_that_was_made_for_the_insert_is_the_insert_itself(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    with mongo_proxy.rewrite("insert", lambda reply: taken(0)):
        person = await Person(name="a").insert()
        (id_,) = await Person.insert_many([Person(name="b")])
    assert [each["_id"] for each in await stored(Person)] == [person.id, id_]
    assert changes(person) == {}
    named = Person(_id=ObjectId(), name="c")
    with mongo_proxy.rewrite("insert", lambda reply: taken(0)), pytest.raises(DuplicateKeyError):
        await named.insert()


async def test_what_came_after_such_a_duplicate_may_be_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    people = [Person(name=name) for name in "abc"]
    with (
        mongo_proxy.rewrite("insert", lambda reply: taken(0)),
        pytest.raises(BulkInsertError) as caught,
    ):
        await Person.insert_many(people)
    assert caught.value.outcome == "unknown"
    assert caught.value.inserted == people[:1]
    assert caught.value.unknown == people[1:]
    assert all(each.id is not None for each in people)


class Event(MongoDocument):
    at: datetime
    title: str = ""


@pytest.mark.parametrize("at", [datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)])
async def test_insert_if_not_exists_takes_the_documents_own_microseconds(
    bind: Bind, at: datetime
) -> None:
    await bind(Event)
    first = await Event.insert_if_not_exists(Event(at=at), {"at": at})
    assert first is not None
    assert await Event.insert_if_not_exists(Event(at=at), {"at": at}) is None


async def test_one_where_many_are_expected_is_told_so(bind: Bind) -> None:
    await bind(Person)
    one: Any = Person(name="a")
    with pytest.raises(OptionError, match="list of documents"):
        await Person.insert_many(one)
    with pytest.raises(OptionError, match="list of documents"):
        await Person.insert_many(None)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"Person\(\.\.\.\) or Person\.load"):
        await Person.insert_many([{"name": "a"}])  # type: ignore[list-item]
    assert await Person.insert_many(iter([])) == []


async def test_a_duplicate_names_the_document(bind: Bind) -> None:
    await bind(Account)
    await Account(email="a").insert()
    second = Account(email="a")
    with pytest.raises(DuplicateKeyError, match=r"email.*_id=ObjectId"):
        await second.insert()


async def test_an_operator_on_the_id_does_not_let_the_server_make_another(bind: Bind) -> None:
    await bind(Person)
    person = Person(name="a")
    await Person.insert_if_not_exists(person, {"_id": {"$ne": ObjectId()}, "name": "a"})
    assert await Person.find_all() == [person]


async def test_an_insert_if_not_exists_that_is_cancelled_while_one_exists_stores_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Account)
    await Account(email="a").insert()
    second = Account(email="a")
    with mongo_proxy.delay("update", 0.3, at="reply") as rule:
        task = asyncio.create_task(Account.insert_if_not_exists(second, {"email": "a"}))
        await rule.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert second.id is None
    assert is_new(second)


async def test_a_copy_that_lost_its_id_is_new_and_has_none_after_a_refusal(bind: Bind) -> None:
    await bind(Account)
    account = await Account(email="alice@example.com").insert()
    twin, other = copy.copy(account), copy.copy(account)
    twin._id = other._id = None
    with pytest.raises(DuplicateKeyError):
        await twin.insert()
    with pytest.raises(BulkInsertError):
        await Account.insert_many([other])
    assert twin._id is other._id is None
    twin.email = "bob@example.com"
    await twin.insert()
    assert await Account.count() == 2
    assert changes(twin) == {}
