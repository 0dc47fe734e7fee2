"""save_many: many saves in few commands, and the fate of each."""

from typing import Any

import pytest

from mongospec_core import (
    BulkResult,
    BulkWriteError,
    DocumentValidationError,
    InvalidIdError,
    MissingIdError,
    MongoDocument,
    OperationError,
    OptionError,
    changes,
)
from mongospec_core.extension import UNKNOWN_CONTENT, snapshot_of
from mongospec_core.server import bulk
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.people import Account, Numbered, Person


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
