"""Lifecycle hooks: plain or async, inherited, and never a change to what the caller holds."""

import asyncio
import copy
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import DefinitionError, HookError, MongoDocument, MongospecError, OptionError
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored

EARLY = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Document(MongoDocument, abstract=True):
    """The README's example of a project's own base."""

    created_at: dt.datetime = EARLY
    updated_at: dt.datetime = EARLY

    def __pre_save__(self) -> None:
        self.updated_at = NOW

    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        update.setdefault("$set", {}).setdefault("updated_at", NOW)
        return update


class Note(Document):
    _id: int | None = None
    text: str = ""
    saves: int = 0


class AsyncNote(MongoDocument):
    _id: int | None = None
    updated_at: dt.datetime = EARLY
    text: str = ""
    saves: int = 0

    async def __pre_save__(self) -> None:
        await asyncio.sleep(0)
        self.updated_at = NOW

    @classmethod
    async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        update.setdefault("$set", {})["updated_at"] = NOW
        return update


type Act = Callable[[Any], Awaitable[Any]]

WRITES: dict[str, Act] = {
    "insert": lambda cls: cls(_id=2).insert(),
    "insert_one": lambda cls: cls.insert_one(cls(_id=2)),
    "insert_many": lambda cls: cls.insert_many([cls(_id=2), cls(_id=3)]),
    "insert_if_not_exists": lambda cls: cls.insert_if_not_exists(cls(_id=2)),
    "save": lambda cls: cls(_id=1).save(),
    "save upsert": lambda cls: cls(_id=2).save(upsert=True),
    "update_one": lambda cls: cls.update_one({"_id": 1}, {"$set": {"text": "b"}}),
    "update_one upsert": lambda cls: cls.update_one(
        {"_id": 2}, {"$set": {"text": "b"}}, upsert=True
    ),
    "update_many": lambda cls: cls.update_many({}, {"$set": {"text": "b"}}),
    "update_by_id": lambda cls: cls.update_by_id(1, {"$inc": {"saves": 1}}),
    "update by a pipeline": lambda cls: cls.update_by_id(1, [{"$set": {"text": "b"}}]),
    "find_one_and_update": lambda cls: cls.find_one_and_update({}, {"$set": {"text": "b"}}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("cls", [Note, AsyncNote])
async def test_every_write_keeps_updated_at_in_sync(bind: Bind, cls: Any, write: Act) -> None:
    await bind(cls)
    await cls.get_collection().insert_one({"_id": 1, "updated_at": EARLY})
    await write(cls)
    changed = [each for each in await stored(cls) if each["updated_at"] == NOW]
    assert changed
    if any(each["_id"] >= 2 for each in await stored(cls)):
        assert all(each["_id"] >= 2 for each in changed)


async def test_a_subclass_calls_super_from_a_plain_hook(bind: Bind) -> None:
    class Counted(Note):
        def __pre_save__(self) -> None:
            super().__pre_save__()
            self.saves += 1

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update = super().__pre_update__(update)
            update.setdefault("$inc", {})["saves"] = 1
            return update

    await bind(Counted)
    one = await Counted(_id=1).insert()
    await one.save()
    await Counted.update_by_id(1, {"$set": {"text": "b"}})
    (found,) = await Counted.find_all()
    assert (found.saves, found.updated_at, found.text) == (3, NOW, "b")


async def test_a_subclass_calls_super_from_an_async_hook(bind: Bind) -> None:
    class Counted(AsyncNote):
        saves: int = 0

        async def __pre_save__(self) -> None:
            await super().__pre_save__()
            self.saves += 1

        @classmethod
        async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update = await super().__pre_update__(update)
            update.setdefault("$inc", {})["saves"] = 1
            return update

    await bind(Counted)
    one = await Counted(_id=1).insert()
    await one.save()
    await Counted.update_by_id(1, {"$set": {"text": "b"}})
    (found,) = await Counted.find_all()
    assert (found.saves, found.updated_at) == (3, NOW)


@pytest.mark.parametrize("colour", ["plain", "async"])
async def test_the_default_hooks_may_be_called_by_super_either_way(bind: Bind, colour: str) -> None:
    class Plain(MongoDocument, check_queries=False):
        text: str = ""

        def __pre_save__(self) -> None:
            super().__pre_save__()
            self.text += "+"

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {**super().__pre_update__(update), "$inc": {"n": 1}}

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {**super().__pre_find__(filter), "n": {"$ne": 5}}

    class Async(MongoDocument, check_queries=False):
        text: str = ""

        async def __pre_save__(self) -> None:
            await super().__pre_save__()
            self.text += "+"

        @classmethod
        async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {**await super().__pre_update__(update), "$inc": {"n": 1}}

        @classmethod
        async def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {**await super().__pre_find__(filter), "n": {"$ne": 5}}

    cls: Any = Plain if colour == "plain" else Async
    await bind(cls)
    one = await cls(text="a").insert()
    assert await cls.update_by_id(one.id, {"$set": {"x": 1}}) == 1
    (found,) = await stored(cls)
    assert (found["text"], found["n"], found["x"]) == ("a+", 1, 1)
    assert await cls.count() == 1
    await cls.get_collection().update_one({}, {"$set": {"n": 5}})
    assert await cls.count() == 0


async def test_hooks_of_a_field_mixin_are_inherited(bind: Bind) -> None:
    class Sluggish(MongoDocument, mixin=True):
        slug: str = ""

        def __pre_save__(self) -> None:
            self.slug = "made"

    class Page(Sluggish, MongoDocument):
        title: str

    await bind(Page)
    assert (await Page(title="a").insert()).slug == "made"


async def test_pre_save_may_change_any_field_and_only_changes_are_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Note)
    one = await Note(_id=1).insert()
    with mongo_proxy.recording() as seen:
        await one.save()  # updated_at is what it was
        one.updated_at = EARLY
        one.text = "b"
        await one.save()
    assert [each["u"] for c in seen for each in c.body["updates"]] == [{"$set": {"text": "b"}}]


async def test_insert_many_runs_the_hook_once_for_each_in_order(bind: Bind) -> None:
    ran: list[int] = []

    class Watched(MongoDocument):
        _id: int | None = None

        async def __pre_save__(self) -> None:
            await asyncio.sleep(0)
            ran.append(self._id or 0)

    await bind(Watched)
    await Watched.insert_many([Watched(_id=n) for n in (3, 1, 2)])
    assert ran == [3, 1, 2]


async def test_a_hook_that_raises_stops_the_write(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Refusing(MongoDocument):
        text: str = ""

        def __pre_save__(self) -> None:
            raise PermissionError(self.text)

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            raise PermissionError

    await bind(Refusing)
    one = Refusing(text="a")
    with mongo_proxy.recording() as seen:
        for write in (
            one.insert(),
            Refusing.insert_many([Refusing(), one]),
            Refusing(_id=ObjectId()).save(),
            Refusing.update_one({}, {"$set": {"text": "b"}}),
        ):
            with pytest.raises(PermissionError):
                await write
    assert seen == []
    assert one.id is None


# -- what the caller holds is never changed


async def test_the_callers_filter_and_update_are_never_changed(bind: Bind) -> None:
    class Greedy(MongoDocument, check_queries=False):
        text: str = ""

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            update["$set"]["deep"]["a"].append(2)
            update["$inc"] = {"n": 1}
            return update

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            filter["$or"].append({"x": 1})
            filter["y"] = {"$ne": 1}
            return filter

    await bind(Greedy)
    where: dict[str, Any] = {"$or": [{"text": ""}]}
    update: dict[str, Any] = {"$set": {"deep": {"a": [1]}}}
    before = copy.deepcopy((where, update))
    await Greedy().insert()
    acts: list[Awaitable[Any]] = [
        Greedy.update_one(where, update),
        Greedy.update_many(where, update),
        Greedy.find_one_and_update(where, update),
        Greedy.find_one(where),
        Greedy.find_all(where),
        Greedy.find(where).to_list(),
        Greedy.count(where),
        Greedy.exists(where),
        Greedy.find_one_and_delete(where),
        Greedy.delete_one(where),
        Greedy.delete_many(where),
        Greedy.distinct("text", where),
    ]
    for act in acts:
        await act
        assert (where, update) == before


async def test_what_an_update_hook_returns_is_what_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    class Other(MongoDocument):
        text: str = ""

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {"$set": {"text": "mine"}}

    await bind(Other)
    await Other().insert()
    with mongo_proxy.recording() as seen:
        await Other.update_one({}, {"$unset": {"text": ""}})
    assert seen[0].body["updates"][0]["u"] == {"$set": {"text": "mine"}}


# -- mistakes in hooks


@pytest.mark.parametrize("returned", [None, "text", [("a", 1)]])
async def test_a_hook_that_returns_no_dict_is_named(bind: Bind, returned: Any) -> None:
    class Finding(MongoDocument):
        @classmethod
        async def __pre_find__(cls, filter: dict[str, Any]) -> Any:
            return returned

    class Updating(MongoDocument):
        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> Any:
            return returned

    await bind(Finding, Updating)
    for find in (Finding.find_one({}), Finding.find().to_list(), Finding.delete_many({})):
        with pytest.raises(HookError, match=r"Finding\.__pre_find__.*return") as caught:
            await find
        assert isinstance(caught.value, MongospecError)
    for update in (
        Updating.update_one({}, {"$set": {"text": "b"}}),
        Updating.find_one_and_update({}, [{"$set": {"text": "b"}}]),
    ):
        with pytest.raises(HookError, match=r"Updating\.__pre_update__.*return"):
            await update


# -- __pre_find__ and skip_hooks


class Scoped(MongoDocument):
    _id: int | None = None
    tenant: str = "us"
    x: int = 0

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"tenant": "us"}]}


SCOPED: dict[str, tuple[Callable[..., Awaitable[Any]], Any, Any]] = {
    "find_one": (lambda **o: Scoped.find_one({"_id": 2}, **o), None, Scoped(_id=2, tenant="them")),
    "find_by_id": (lambda **o: Scoped.find_by_id(2, **o), None, Scoped(_id=2, tenant="them")),
    "find_all": (lambda **o: Scoped.find_all({"_id": 2}, **o), [], [Scoped(_id=2, tenant="them")]),
    "find": (
        lambda **o: Scoped.find({"tenant": "them"}, **o).to_list(),
        [],
        [Scoped(_id=2, tenant="them")],
    ),
    "count": (lambda **o: Scoped.count(**o), 1, 2),
    "count_documents": (lambda **o: Scoped.count_documents({}, **o), 1, 2),
    "exists": (lambda **o: Scoped.exists({"_id": 2}, **o), False, True),
    "distinct": (lambda **o: Scoped.distinct("_id", **o), [1], [1, 2]),
    "update_one": (lambda **o: Scoped.update_one({"_id": 2}, {"$set": {"x": 1}}, **o), 0, 1),
    "update_many": (lambda **o: Scoped.update_many({}, {"$set": {"x": 1}}, **o), 1, 2),
    "update_by_id": (lambda **o: Scoped.update_by_id(2, {"$set": {"x": 1}}, **o), 0, 1),
    "find_one_and_update": (
        lambda **o: Scoped.find_one_and_update({"_id": 2}, {"$set": {"x": 1}}, **o),
        None,
        Scoped(_id=2, tenant="them", x=1),
    ),
    "find_one_and_replace": (
        lambda **o: Scoped.find_one_and_replace({"_id": 2}, Scoped(tenant="new"), **o),
        None,
        Scoped(_id=2, tenant="new"),
    ),
    "find_one_and_delete": (
        lambda **o: Scoped.find_one_and_delete({"_id": 2}, **o),
        None,
        Scoped(_id=2, tenant="them"),
    ),
    "delete_one": (lambda **o: Scoped.delete_one({"_id": 2}, **o), 0, 1),
    "delete_many": (lambda **o: Scoped.delete_many({}, **o), 1, 2),
    "delete_by_id": (lambda **o: Scoped.delete_by_id(2, **o), 0, 1),
}


@pytest.mark.parametrize(("act", "scoped", "whole"), SCOPED.values(), ids=SCOPED.keys())
async def test_a_scope_holds_for_every_filter_and_id_of_a_caller(
    bind: Bind, act: Callable[..., Awaitable[Any]], scoped: Any, whole: Any
) -> None:
    await bind(Scoped)
    documents = [{"_id": 1, "tenant": "us"}, {"_id": 2, "tenant": "them"}]
    await Scoped.get_collection().insert_many(documents)
    assert await act() == scoped
    await Scoped.get_collection().delete_many({})
    await Scoped.get_collection().insert_many(documents)
    assert await act(skip_hooks=True) == whole


async def test_a_scope_does_not_touch_what_is_no_callers_filter(bind: Bind) -> None:
    await bind(Scoped)
    them = Scoped(_id=2, tenant="them")
    assert await Scoped.insert_if_not_exists(them) is them
    assert await Scoped.insert_if_not_exists(Scoped(_id=2, tenant="them")) is None
    assert await Scoped.estimated_document_count() == 1
    them.tenant = "others"
    await them.save()
    assert len(await Scoped.aggregate([{"$match": {}}]).to_list()) == 1
    assert await them.delete() == 1


async def test_skip_hooks_leaves_the_update_hook_out(bind: Bind) -> None:
    await bind(Note)
    await Note(_id=1).insert()
    await Note.get_collection().update_one({"_id": 1}, {"$set": {"updated_at": EARLY}})
    await Note.update_by_id(1, {"$set": {"text": "b"}}, skip_hooks=True)
    await Note.update_many({}, {"$inc": {"saves": 1}}, skip_hooks=True)
    await Note.find_one_and_update({}, {"$inc": {"saves": 1}}, skip_hooks=True)
    (found,) = await Note.find_all()
    assert (found.text, found.saves, found.updated_at) == ("b", 2, EARLY)


# -- pipeline updates


async def test_what_an_update_hook_sets_becomes_the_last_stage_of_a_pipeline(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    seen_by_hook: list[dict[str, Any]] = []

    class Piped(MongoDocument):
        text: str = ""
        mark: str = ""

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            seen_by_hook.append(copy.deepcopy(update))
            update.setdefault("$set", {})["mark"] = "$text"  # text, not an expression
            return update

    await bind(Piped)
    await Piped(text="a").insert()
    with mongo_proxy.recording() as seen:
        await Piped.update_one({}, [{"$set": {"text": {"$concat": ["$text", "!"]}}}])
    assert seen_by_hook == [{}]
    assert [list(stage) for stage in seen[0].body["updates"][0]["u"]] == [["$set"], ["$set"]]
    (found,) = await Piped.find_all()
    assert (found.text, found.mark) == ("a!", "$text")


async def test_an_update_hook_that_does_more_than_set_is_refused_for_a_pipeline(
    bind: Bind,
) -> None:
    class Piped(MongoDocument):
        text: str = ""

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            return {**update, "$inc": {"n": 1}}

    await bind(Piped)
    with pytest.raises(OptionError, match=r"__pre_update__ adds \$inc"):
        await Piped.update_one({}, [{"$set": {"text": "b"}}])


async def test_hooks_see_the_documents_own_class(bind: Bind) -> None:
    seen: list[str] = []

    class Base(MongoDocument, abstract=True):
        value: int = 0

        def __pre_save__(self) -> None:
            seen.append(type(self).__name__)

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            seen.append(cls.__name__)
            return update

    class First(Base):
        pass

    class Second(Base):
        inner: dict[str, int] = msgspec.field(default_factory=dict)

    await bind(First, Second)
    await First().insert()
    await Second.update_one({}, {"$set": {"value": 1}})
    assert seen == ["First", "Second"]


@pytest.mark.parametrize("hook", ["__pre_update__", "__pre_find__", "__upgrade__"])
def test_a_class_hook_without_classmethod_is_refused(hook: str) -> None:
    with pytest.raises(DefinitionError, match=f"{hook}.*@classmethod"):
        type(MongoDocument)("Hooked", (MongoDocument,), {hook: lambda cls, given: given})


class Guarded(MongoDocument):
    text: str

    @classmethod
    def _before_write(cls, documents: Sequence[Any]) -> None:
        super()._before_write(documents)
        raise OptionError(f"{len(documents)} seen")


@pytest.mark.parametrize(
    "write",
    [
        lambda: Guarded(text="a").insert(),
        lambda: Guarded.insert_one(Guarded(text="a")),
        lambda: Guarded.insert_many([Guarded(text="a")]),
        lambda: Guarded.insert_if_not_exists(Guarded(text="a"), {"text": "a"}),
        lambda: Guarded(_id=ObjectId(), text="a").save(),
        lambda: Guarded(text="a").save(upsert=True),
        lambda: Guarded.save_many([Guarded(_id=ObjectId(), text="a")]),
        lambda: Guarded.find_one_and_replace({}, Guarded(text="a")),
    ],
    ids=[*"abcdefgh"],
)
async def test_every_write_of_whole_documents_asks_the_extension_point(
    bind: Bind, write: Callable[[], Awaitable[Any]]
) -> None:
    await bind(Guarded)
    with pytest.raises(OptionError, match="1 seen"):
        await write()
    assert await stored(Guarded) == []
