"""Collections as classes declare them: validators, and ``__collection_options__``."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

import mongojet
import pytest

from mongospec_core import (
    CollectionConflictError,
    DefinitionError,
    MongoDocument,
    NotBoundError,
    OperationError,
    close,
    create_indexes,
    init,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind

NAME = "declared"


def declaring(
    options: Any = None, *, validator: Any = None, name: str = "Declared", age: Any = int
) -> Any:
    """A document class that declares something of its collection."""
    namespace: dict[str, Any] = {
        "__annotations__": {"at": dt.datetime | None, "age": age},
        "at": None,
        "age": 0,
        "__collection_name__": NAME,
        "__module__": __name__,
    }
    if options is not None:
        namespace["__collection_options__"] = options
    return type(MongoDocument)(name, (MongoDocument,), namespace, validator=validator)


async def there(db: mongojet.Database) -> Any:
    """The options of the collection; None if it does not exist."""
    found = (await db.run_command({"listCollections": 1, "filter": {"name": NAME}}))["cursor"]
    return found["firstBatch"][0]["options"] if found["firstBatch"] else None


def without_collections(reply: dict[str, Any]) -> dict[str, Any]:
    """What ``listCollections`` says before another process creates one."""
    return {**reply, "cursor": {**reply["cursor"], "firstBatch": []}}


async def rebind(bind: Bind, cls: Any, **options: Any) -> mongojet.Database:
    """Bind a class as another process would, which knows no other class of the collection."""
    await close()
    return await bind(cls, **options)


def sent(proxy: FaultProxy) -> list[str]:
    return [each.name for each in proxy.commands if each.name in ("create", "collMod")]


# -- validators


@pytest.mark.parametrize("validator", ["no", "", 1, True, ["error"]])
def test_another_validator_than_error_and_warn_is_refused(validator: Any) -> None:
    with pytest.raises(DefinitionError, match=r'Declared: validator=.*use "error" or "warn"'):
        declaring(validator=validator)


async def test_the_server_refuses_what_does_not_fit_a_class_with_a_validator(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = declaring(validator="error")
    db = await bind(cls)
    await cls(age=5).insert()
    with pytest.raises(mongojet.PyMongoError, match="failed validation"):
        await db[NAME].insert_one({"age": "five"})
    assert (await there(db))["validationAction"] == "error"
    assert sent(mongo_proxy) == ["create"]
    await bind(cls)
    await bind(cls, validators="check")
    assert sent(mongo_proxy) == ["create"]


async def test_with_warn_the_server_takes_what_does_not_fit(bind: Bind) -> None:
    db = await bind(declaring(validator="warn"))
    await db[NAME].insert_one({"age": "five"})
    assert (await there(db))["validationAction"] == "warn"


async def test_an_existing_collection_gets_the_validator_and_a_changed_one_is_changed(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    db = await bind(declaring())
    await db[NAME].insert_one({"age": "old"})
    for cls in (
        declaring(validator="warn"),
        declaring(validator="error"),
        declaring(validator="error", age=str),
    ):
        await rebind(bind, cls)
    assert sent(mongo_proxy) == ["collMod"] * 3
    await db[NAME].insert_one({"age": "five"})
    with pytest.raises(mongojet.PyMongoError, match="failed validation"):
        await db[NAME].insert_one({"age": 5})


async def test_check_names_the_command_and_changes_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = declaring(validator="error")
    for what in ("none", "another one"):
        with pytest.raises(CollectionConflictError, match=f"Declared.*{what}.*mongospec apply"):
            await rebind(bind, cls, validators="check")
        with pytest.raises(NotBoundError):
            await cls.count()
        await rebind(bind, declaring(validator="warn"))
    with pytest.warns(UserWarning, match="mongospec apply"):
        await rebind(bind, cls, validators="check", index_conflicts="warn")
    assert sent(mongo_proxy) == ["create"]


async def test_skip_and_classes_without_a_declaration_send_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await rebind(bind, declaring(validator="error"), validators="skip")
    await rebind(bind, declaring({"capped": True, "size": 4096}), indexes="skip")
    for mode in ("create", "check", "skip"):
        await rebind(bind, declaring(), validators=mode)
    assert {each.name for each in mongo_proxy.commands} <= {"hello"}


async def test_the_validator_of_a_family_takes_all_its_tags_bound_or_not(bind: Bind) -> None:
    class Animal(MongoDocument, tag_field="kind", tag="animal", validator="error"):
        __collection_name__ = NAME
        name: str

    class Dog(Animal, tag="dog"):
        tricks: int

    class Cat(Animal, tag="cat"):
        lives: int

    db = await bind(Dog)
    for good in ({"kind": "animal"}, {"kind": "cat", "lives": 9}, {"kind": "dog", "tricks": 1}):
        await db[NAME].insert_one({"name": "a", **good})
    for bad in ({"kind": "cow"}, {"kind": "cat"}, {"kind": "dog", "tricks": "x"}, {}):
        with pytest.raises(mongojet.PyMongoError, match="failed validation"):
            await db[NAME].insert_one({"name": "a", **bad})
    before = await there(db)
    await bind(Cat, Animal)
    await bind(Dog, Animal, Cat, validators="check")
    assert await there(db) == before


async def test_classes_in_one_collection_have_one_validator(bind: Bind) -> None:
    one, two = declaring(validator="error", name="One"), declaring(name="Two", age=str)
    db = await bind(one)
    await bind(two)
    await db[NAME].insert_one({"age": "five"})
    await db[NAME].insert_one({"age": 5})
    with pytest.raises(DefinitionError, match=r"One and Other.*different validator="):
        await bind(one, declaring(validator="warn", name="Other"))


@pytest.mark.parametrize(
    ("code", "text"), [(13, "may not create.*Declared.*skip"), (72, "cannot create.*Declared")]
)
async def test_a_refusal_names_class_and_collection(
    bind: Bind, mongo_proxy: FaultProxy, code: int, text: str
) -> None:
    cls = declaring(validator="error")
    with (
        mongo_proxy.fail("create", code, message="no"),
        pytest.raises(CollectionConflictError, match=text) as caught,
    ):
        await bind(cls)
    assert (caught.value.code, caught.value.outcome) == (code, "not_applied")
    with mongo_proxy.fail("create", 8, message="who knows"), pytest.raises(OperationError) as other:
        await bind(cls)
    assert not isinstance(other.value, CollectionConflictError)


@pytest.mark.parametrize("options", [{}, {"capped": True, "size": 8192}])
async def test_several_processes_may_start_at_once(
    mongo_db: mongojet.Database, options: dict[str, Any]
) -> None:
    cls = declaring(options, validator="error")
    try:
        await asyncio.gather(*(init(mongo_db, [cls], close_client=False) for _ in range(8)))
        assert (await there(mongo_db))["validationAction"] == "error"
    finally:
        await close()


async def test_a_collection_that_another_process_creates_meanwhile_is_as_good(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = declaring({"capped": True, "size": 8192}, validator="error")
    await bind(cls)
    with (
        mongo_proxy.rewrite("listCollections", without_collections, times=1) as looked,
        mongo_proxy.fail("create", 48) as created,
    ):
        await bind(cls)
    assert (len(looked.hits), len(created.hits)) == (1, 1)


# -- options

OPTIONS: dict[str, dict[str, Any]] = {
    "capped": {"capped": True, "size": 8192, "max": 10},
    "collation": {"collation": {"locale": "en", "strength": 2}},
    "time series": {
        "timeseries": {"timeField": "at", "metaField": "age"},
        "expireAfterSeconds": 60,
    },
    "clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    "images": {"changeStreamPreAndPostImages": {"enabled": True}, "capped": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_a_collection_is_created_with_its_options_and_counts_as_there_afterwards(
    bind: Bind, mongo_proxy: FaultProxy, options: dict[str, Any]
) -> None:
    cls = declaring(options)
    db = await bind(cls)
    found = await there(db)
    for name, value in options.items():
        if isinstance(value, Mapping):
            assert value.items() <= found[name].items()
        elif value is not False:
            assert found[name] == value
    await bind(cls)
    await bind(cls, indexes="check")
    assert sent(mongo_proxy) == ["create"]


async def test_options_and_validator_are_created_at_once(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    cls = declaring({"validationLevel": "moderate", **OPTIONS["capped"]}, validator="warn")
    db = await bind(cls)
    assert sent(mongo_proxy) == ["create"]
    found = await there(db)
    assert (found["capped"], found["validationLevel"]) == (True, "moderate")
    await bind(cls, indexes="check", validators="check")


async def test_a_level_that_is_not_declared_any_more_is_strict_again(bind: Bind) -> None:
    db = await bind(declaring({"validationLevel": "moderate"}, validator="error"))
    cls = declaring(validator="error")
    with pytest.raises(CollectionConflictError, match="another one"):
        await rebind(bind, cls, validators="check")
    await rebind(bind, cls)
    assert (await there(db))["validationLevel"] == "strict"
    await rebind(bind, cls, validators="check")


async def test_without_the_mode_a_validator_is_not_created_with_the_options(bind: Bind) -> None:
    cls = declaring(OPTIONS["capped"], validator="error")
    db = await bind(cls, validators="skip")
    assert "validator" not in await there(db)
    with pytest.raises(CollectionConflictError, match="none"):
        await bind(cls, validators="check")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({}, OPTIONS["capped"], "capped=True.*cannot change.*rename"),
        (OPTIONS["collation"], OPTIONS["capped"], "collation=None"),
        (OPTIONS["capped"], {"capped": True, "size": 9000}, "size=9000.*mongospec apply"),
        (
            OPTIONS["time series"],
            {**OPTIONS["time series"], "expireAfterSeconds": 70},
            "expireAfterSeconds=70.*mongospec apply",
        ),
    ],
)
async def test_a_collection_with_other_options_is_a_conflict(
    bind: Bind, mongo_proxy: FaultProxy, before: Any, after: Any, text: str
) -> None:
    db = await bind(declaring(before))
    if not before:
        await db[NAME].insert_one({})
    count = len(sent(mongo_proxy))
    for mode in ("create", "check"):
        with pytest.raises(CollectionConflictError, match=text):
            await rebind(bind, declaring(after), indexes=mode)
    with pytest.warns(UserWarning, match=text):
        await rebind(bind, declaring(after), index_conflicts="warn")
    assert len(sent(mongo_proxy)) == count


async def test_check_of_a_collection_that_is_not_there_creates_nothing(bind: Bind) -> None:
    cls = declaring(OPTIONS["capped"], validator="error")
    with pytest.raises(CollectionConflictError, match=r"does not exist.*mongospec apply"):
        await bind(cls, indexes="check")
    assert await there(await bind()) is None


async def test_the_server_may_list_defaults_and_round_sizes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    """By a rewritten reply: how MongoDB lists options."""

    def as_mongodb(reply: dict[str, Any]) -> dict[str, Any]:
        for each in reply["cursor"]["firstBatch"]:
            each["options"] |= {"size": 4096, "collation": {"locale": "en", "caseLevel": False}}
        return reply

    cls = declaring({"capped": True, "size": 1000, "collation": {"locale": "en"}, "comment": "x"})
    await bind(cls)
    with mongo_proxy.rewrite("listCollections", as_mongodb):
        await bind(cls, indexes="check")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "is a dict"),
        ({"caped": True}, "did you mean 'capped'"),
        ({5: True}, "5 is not the name of an option"),
        ({"comment": object()}, "__collection_options__.*object"),
        ({"capped": True}, "size"),
        ({"max": 5}, "capped"),
        ({"timeseries": {"metaField": "age"}}, "timeField"),
        ({"timeseries": "at"}, "timeField"),
        ({"timeseries": {"timeField": "when"}}, "no field that is stored as"),
        ({"timeseries": {"timeField": "at", "metaField": "what"}}, "metaField is 'what'"),
        ({"validator": {}}, "class line"),
        ({"validationAction": "warn"}, "class line"),
        ({"validationLevel": "moderate"}, "has no validator"),
        ({"expireAfterSeconds": 5}, "declare an index"),
    ],
)
async def test_options_that_cannot_be_are_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy, options: Any, text: str
) -> None:
    with pytest.raises(DefinitionError, match=f"Declared.*{text}"):
        await bind(declaring(options))
    assert not mongo_proxy.commands


async def test_a_time_series_cannot_have_a_validator(bind: Bind) -> None:
    with pytest.raises(DefinitionError, match="cannot have a validator"):
        await bind(declaring(OPTIONS["time series"], validator="error"))


async def test_options_are_inherited_and_must_agree_in_one_collection(bind: Bind) -> None:
    class Base(MongoDocument, abstract=True):
        __collection_options__: ClassVar[Mapping[str, Any]] = OPTIONS["capped"]

    class Leaf(Base):
        __collection_name__ = NAME

    assert (await there(await bind(Leaf)))["capped"] is True
    with pytest.raises(
        DefinitionError, match=r"Leaf and Declared.*different __collection_options__"
    ):
        await bind(Leaf, declaring(OPTIONS["collation"]))


async def test_another_database_gets_the_options_and_the_validator_by_create_indexes(
    bind: Bind, mongo_db: mongojet.Database
) -> None:
    cls = declaring(OPTIONS["capped"], validator="error")
    await bind(cls)
    other = mongo_db.client[f"{mongo_db.name}_other"]
    try:
        await create_indexes(other, [cls])
        found = await there(other)
        assert (found["capped"], found["validationAction"]) == (True, "error")
    finally:
        await other.drop()
