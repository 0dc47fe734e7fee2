"""Ids in references are values: what looks like an operator or a pattern finds nobody."""

import re
from typing import Any

import pytest
from bson import Code, ObjectId, Regex

from mongospec_core import InvalidIdError
from mongospec_refs import (
    MissingReferenceError,
    MongoDocument,
    RecursiveInsertError,
    is_resolved,
)
from mongospec_refs.unresolved import unresolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored

OPERATORS: list[Any] = [{"$ne": None}, {"$gt": ""}, re.compile("."), Regex(".")]


class Owner(MongoDocument):
    _id: Any
    name: str = ""


class Account(MongoDocument):
    owner: Owner
    others: list[Owner] = []


@pytest.mark.parametrize("id_", OPERATORS, ids=repr)
async def test_an_operator_or_a_pattern_makes_no_reference(bind: Bind, id_: Any) -> None:
    await bind(Owner, Account)
    with pytest.raises(InvalidIdError, match=r"Owner.*not an id"):
        Owner.ref(id_)


@pytest.mark.parametrize("id_", OPERATORS, ids=repr)
async def test_a_document_with_such_an_id_finds_nobody_by_any_way(
    bind: Bind, mongo_proxy: FaultProxy, id_: Any
) -> None:
    await bind(Owner, Account)
    alice = await Owner(_id="alice", name="Alice").insert()
    account = await Account(owner=alice).insert()
    for evil in (unresolved(Owner, id_), Owner(_id=id_)):
        with mongo_proxy.recording() as seen:
            for attempt in (
                lambda evil=evil: Account.find_one({"owner": evil}),
                lambda evil=evil: Account.find({"others": {"$in": [evil]}}).to_list(),
                lambda evil=evil: Account.delete_many({"owner": evil}),
                lambda evil=evil: Account.update_many({}, {"$set": {"owner": evil}}),
            ):
                with pytest.raises(InvalidIdError, match="not an id"):
                    await attempt()
        assert not seen
    with pytest.raises(InvalidIdError, match="not an id"):
        await unresolved(Owner, id_).fetch()
    assert await stored(Account) == [{"_id": account.id, "owner": "alice", "others": []}]


async def test_a_stored_operator_is_a_missing_reference_and_its_parent_is_read(bind: Bind) -> None:
    await bind(Owner, Account)
    await Owner(_id="alice", name="Alice").insert()
    evil: list[Any] = [{"$ne": None}, Regex("."), Code("x", {"a": 1}), {"a": 1}]
    await Account.get_collection().insert_one(
        {"_id": ObjectId(), "owner": {"$gt": ""}, "others": ["alice", *evil]}
    )
    account = await Account.find_one()
    assert account is not None
    assert not is_resolved(account.owner)
    assert [is_resolved(each) for each in account.others] == [True] + [False] * 4
    assert account.others[0].name == "Alice"
    with pytest.raises(InvalidIdError):
        await account.owner.fetch()
    with pytest.raises(MissingReferenceError):
        await account.others[4].fetch()


async def test_ids_of_several_fields_are_resolved_fetched_and_rolled_back(bind: Bind) -> None:
    await bind(Owner, Account)
    one = await Owner(_id={"a": 1}, name="one").insert()
    await Owner(_id={"a": 1, "b": 2}, name="two").insert()
    await Account(owner=one, others=[Owner.ref({"a": 1, "b": 2})]).insert()
    account = await Account.find_one({"owner": one})
    assert account is not None
    assert [account.owner.name, account.others[0].name] == ["one", "two"]
    assert (await Owner.ref({"a": 1}).fetch()).name == "one"
    result = await Account(owner=Owner(_id={"b": 1}), others=[Owner(_id="c")]).insert_recursive()
    assert await Owner.count() == 4
    assert await result.rollback() == 3
    assert sorted(each["name"] for each in await stored(Owner)) == ["one", "two"]


async def test_a_rollback_deletes_nothing_that_an_id_only_looks_like(bind: Bind) -> None:
    await bind(Owner, Account)
    await Owner(_id="alice").insert()
    await Owner(_id={"a": 1}).insert()
    graph = Account(owner=Owner(_id={"a": 2}), others=[Owner(_id={"a": 1})])
    with pytest.raises(RecursiveInsertError):
        await graph.insert_recursive()
    assert [each["_id"] for each in await stored(Owner)] == ["alice", {"a": 1}]
    for id_ in OPERATORS:
        with pytest.raises((RecursiveInsertError, InvalidIdError)):
            await Account(owner=Owner(_id=id_)).insert_recursive()
    assert [each["_id"] for each in await stored(Owner)] == ["alice", {"a": 1}]


async def test_an_objectid_and_its_bytes_are_two_ids(bind: Bind) -> None:
    await bind(Owner, Account)
    key = ObjectId()
    one, other = Owner(_id=key, name="one"), Owner(_id=key.binary, name="other")
    await Owner.insert_many([one, other])
    await Account(owner=one, others=[other, one]).insert()
    account = await Account.find_one()
    assert account is not None
    assert [each.name for each in (account.owner, *account.others)] == ["one", "other", "one"]
