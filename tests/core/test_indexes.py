"""Indexes: declared in four ways, created once, conflicts named."""

from collections.abc import Sequence
from typing import Any, ClassVar

import mongojet
import msgspec
import pymongo
import pytest
from mongojet import IndexModel

from mongospec_core import (
    DefinitionError,
    DuplicateKeyError,
    IndexConflictError,
    MongoDocument,
    NotBoundError,
    OperationError,
    close,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Account, Person


def class_of(*indexes: Any, name: str = "Indexed", base: Any = MongoDocument) -> Any:
    """A document class that declares these indexes."""
    namespace = {
        "__annotations__": {"email": str, "age": int},
        "email": "",
        "age": 0,
        "__indexes__": indexes,
        "__collection_name__": "indexed",
        "__module__": __name__,
    }
    return type(MongoDocument)(name, (base,), namespace, check_queries=False)


async def indexes_of(db: mongojet.Database, collection: str = "indexed") -> dict[str, Any]:
    reply = await db.run_command({"listIndexes": collection})
    return {each["name"]: each for each in reply["cursor"]["firstBatch"] if each["name"] != "_id_"}


WAYS: dict[str, Any] = {
    "mongojet's with options=": IndexModel(keys=[("email", 1)], options={"unique": True}),
    "mongojet's with keywords": IndexModel(keys=[("email", 1)], unique=True),
    "mongojet's by a name": IndexModel("email", unique=True),
    "pymongo's": pymongo.IndexModel([("email", 1)], unique=True),
    "pymongo's by a name": pymongo.IndexModel("email", unique=True),
    "a dict": {"key": {"email": 1}, "unique": True},
    "a dict by pairs": {"keys": [("email", 1)], "unique": True},
    "a dict with a name": {"key": {"email": 1}, "unique": True, "name": "email_1"},
}


@pytest.mark.parametrize("declaration", WAYS.values(), ids=WAYS.keys())
async def test_every_way_to_declare_an_index_creates_it(
    bind: Bind, mongo_proxy: FaultProxy, declaration: Any
) -> None:
    cls = class_of(declaration)
    db = await bind(cls)
    (index,) = (await indexes_of(db)).values()
    assert index["key"] == {"email": 1}
    assert index["unique"] is True
    assert index["name"] == "email_1"
    await cls(email="a").insert()
    with pytest.raises(DuplicateKeyError) as caught:
        await cls(email="a").insert()
    assert caught.value.key_pattern == {"email": 1}
    # a second init finds nothing missing
    with mongo_proxy.recording() as seen:
        await bind(cls)
    assert [each.name for each in seen if each.name != "hello"] == ["listIndexes"]


async def test_where_nothing_is_missing_no_command_that_creates_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = class_of(
        IndexModel("email", unique=True),
        IndexModel([("age", -1), ("email", 1)], name="both"),
        IndexModel("age", sparse=True, name="thin"),
        {"key": {"made": 1}, "expireAfterSeconds": 60},
        {"key": {"part": 1}, "partialFilterExpression": {"age": {"$gt": 5}}},
        {"key": {"word": 1}, "collation": {"locale": "en", "strength": 2}},
    )
    db = await bind(cls, Account, Person)
    assert len(await indexes_of(db)) == 6
    await close()
    with mongo_proxy.recording() as seen:
        await bind(cls, Account, Person)
    names = [each.name for each in seen if each.name != "hello"]
    # one look at each collection that has declared indexes, and nothing else
    assert names == ["listIndexes", "listIndexes"]


async def test_what_is_missing_is_created_by_one_command_a_collection(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    db = await bind(class_of(IndexModel("email")))
    cls = class_of(IndexModel("email"), IndexModel("age"), IndexModel("more"))
    with mongo_proxy.recording() as seen:
        await bind(cls)
    created = [each.body for each in seen if each.name == "createIndexes"]
    assert [[index["name"] for index in each["indexes"]] for each in created] == [
        ["age_1", "more_1"]
    ]
    assert set(await indexes_of(db)) == {"email_1", "age_1", "more_1"}


async def test_an_index_under_another_name_counts(bind: Bind, mongo_proxy: FaultProxy) -> None:
    db = await bind(class_of({"key": {"email": 1}, "unique": True, "name": "by_hand"}))
    with mongo_proxy.recording() as seen:
        await bind(class_of(IndexModel("email", unique=True)))
    assert "createIndexes" not in [each.name for each in seen]
    assert set(await indexes_of(db)) == {"by_hand"}


async def test_compound_and_descending_keys_keep_their_order(bind: Bind) -> None:
    db = await bind(class_of(IndexModel([("b", -1), ("a", 1)])))
    (index,) = (await indexes_of(db)).values()
    assert list(index["key"].items()) == [("b", -1), ("a", 1)]
    assert index["name"] == "b_-1_a_1"


async def test_indexes_are_merged_over_the_bases(bind: Bind) -> None:
    class Base(MongoDocument, abstract=True):
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("made"), IndexModel("email")]
        made: int = 0
        email: str = ""

    class Derived(Base):
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("email", unique=True, name="email_1")]

    db = await bind(Derived)
    found = await indexes_of(db, "Derived")
    assert set(found) == {"made_1", "email_1"}
    assert found["email_1"]["unique"] is True


async def test_indexes_of_a_field_mixin_count(bind: Bind) -> None:
    class Keyed(MongoDocument, mixin=True):
        __indexes__: ClassVar[Sequence[Any]] = [IndexModel("key", unique=True)]
        key: str

    class Store(Keyed, MongoDocument):
        pass

    db = await bind(Store)
    assert set(await indexes_of(db, "Store")) == {"key_1"}


async def test_classes_that_share_a_collection_share_its_indexes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    one = class_of(IndexModel("email"), IndexModel("age"), name="One")
    two = class_of(IndexModel("email"), IndexModel("more"), name="Two")
    with mongo_proxy.recording() as seen:
        db = await bind(one, two)
    assert set(await indexes_of(db)) == {"email_1", "age_1", "more_1"}
    assert [each.name for each in seen].count("createIndexes") == 1


async def test_classes_that_declare_one_name_differently_are_refused(bind: Bind) -> None:
    one = class_of(IndexModel("email"), name="One")
    two = class_of(IndexModel("email", unique=True), name="Two")
    with pytest.raises(DefinitionError, match=r"One and Two.*email_1"):
        await bind(one, two)


class Street(msgspec.Struct, rename="camel"):
    zip_code: str
    next_street: "Street | None" = None


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("home_street", "homeStreet"),
        ("homeStreet.zip_code", "homeStreet.zipCode"),
        ("all.next_street.zip_code", "all.nextStreet.zipCode"),
    ],
)
async def test_an_index_on_a_python_name_that_is_stored_otherwise_is_refused(
    bind: Bind, declared: str, stored: str
) -> None:
    class House(MongoDocument, rename="camel"):
        __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel(declared)]
        home_street: Street
        all: list[Street] = []
        named: dict[str, Street] = {}

    with pytest.raises(DefinitionError, match=rf'House.*"{declared}".*"{stored}"'):
        await bind(House)
    House.__indexes__ = [IndexModel(stored), IndexModel("named.any.zipCode")]
    await bind(House)


@pytest.mark.parametrize(
    "wrong",
    [
        *(5, "email", {"unique": True}, {"key": {}}, None),
        *({"key": 5}, {"key": [5]}, {"key": [("email", 1, 2)]}, {"keys": [("email",)]}),
    ],
)
async def test_something_that_is_no_index_is_refused(bind: Bind, wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Indexed\.__indexes__"):
        await bind(class_of(wrong))


async def test_an_option_that_the_server_does_not_know_is_refused_by_it(bind: Bind) -> None:
    with pytest.raises(OperationError, match="Indexed"):
        await bind(class_of({"key": {"email": 1}, "somethingElse": True}))


async def test_another_index_under_the_same_name_is_a_conflict(bind: Bind) -> None:
    await bind(class_of(IndexModel("email")))
    cls = class_of(IndexModel("email", unique=True))
    with pytest.raises(IndexConflictError) as caught:
        await bind(cls)
    text = str(caught.value)
    for word in ("Indexed", "'email_1'", "'indexed'", "unique"):
        assert word in text
    with pytest.raises(NotBoundError):
        await cls.count()


async def test_the_same_keys_with_other_options_are_a_conflict(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(class_of(IndexModel("email", name="old")))
    with (  # MongoDB's answer; the embedded server would create it
        mongo_proxy.fail("createIndexes", 85, message="equivalent index with another name: new"),
        pytest.raises(IndexConflictError) as caught,
    ):
        await bind(class_of(IndexModel("email", unique=True, name="new")))
    for word in ("Indexed", "'old'", "'new'", "unique"):
        assert word in str(caught.value)
    assert caught.value.code == 85


async def test_a_unique_index_over_duplicates_names_the_duplicate(bind: Bind) -> None:
    db = await bind(class_of())
    await db["indexed"].insert_many([{"email": "twice@x"}, {"email": "twice@x"}])
    with pytest.raises(IndexConflictError, match="twice@x") as caught:
        await bind(class_of(IndexModel("email", unique=True)))
    assert caught.value.code == 11000
    assert "Indexed" in str(caught.value)


async def test_a_conflict_may_be_a_warning_instead(bind: Bind) -> None:
    await bind(class_of(IndexModel("email")))
    cls = class_of(IndexModel("email", unique=True), IndexModel("age"))
    with pytest.warns(UserWarning, match=r"Indexed declares.*email_1"):
        db = await bind(cls, index_conflicts="warn")
    assert await cls.count() == 0
    found = await indexes_of(db)
    assert set(found) == {"email_1", "age_1"}
    assert not found["email_1"].get("unique")


async def test_a_user_who_may_not_create_is_told_what_is_missing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    with (
        mongo_proxy.fail("createIndexes", 13, message="not authorized"),
        pytest.raises(IndexConflictError, match=r"email_1.*Indexed.*skip"),
    ):
        await bind(class_of(IndexModel("email")))


async def test_check_creates_nothing_and_names_what_is_missing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = class_of(IndexModel("email", unique=True), IndexModel("age"))
    with pytest.raises(IndexConflictError, match=r"email_1.*missing.*age_1.*missing"):
        await bind(cls, indexes="check")
    assert mongo_proxy.count("createIndexes") == 0
    await bind(cls)
    await bind(cls, indexes="check")
    with pytest.warns(UserWarning, match="more_1"):
        await bind(class_of(IndexModel("more")), indexes="check", index_conflicts="warn")


async def test_skip_sends_nothing_about_indexes(bind: Bind, mongo_proxy: FaultProxy) -> None:
    cls = class_of(IndexModel("email", unique=True))
    with mongo_proxy.recording() as seen:
        await bind(cls, indexes="skip")
    assert [each.name for each in seen if each.name != "hello"] == []
    assert await cls.count() == 0


async def test_a_ttl_index_with_a_fraction_counts_as_there(
    bind: Bind, mongo_proxy: FaultProxy, mongo_db: mongojet.Database
) -> None:
    await mongo_db.run_command(
        {
            "createIndexes": "indexed",
            "indexes": [{"key": {"made": 1}, "name": "made_1", "expireAfterSeconds": 5.0}],
        }
    )
    with mongo_proxy.recording() as seen:
        await bind(class_of(IndexModel("made", expireAfterSeconds=5)))
    assert "createIndexes" not in [each.name for each in seen]


async def test_one_index_name_for_two_indexes_of_a_class_is_refused(bind: Bind) -> None:
    class Twice(MongoDocument):
        __indexes__: ClassVar = [
            IndexModel("a", name="n", unique=True),
            IndexModel("b", name="n"),
        ]
        a: int
        b: int

    with pytest.raises(DefinitionError, match=r"Twice.*'n' twice"):
        await bind(Twice)


@pytest.mark.parametrize("declared", [IndexModel("a"), "a"])
async def test_indexes_that_are_no_list_name_the_class(bind: Bind, declared: Any) -> None:
    cls = type(MongoDocument)("Bare", (MongoDocument,), {"__indexes__": declared})
    with pytest.raises(DefinitionError, match=r"Bare\.__indexes__ is a list"):
        await bind(cls)
