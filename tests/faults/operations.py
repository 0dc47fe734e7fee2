"""Every write operation, as a row of the matrix: what is there before, the call, and how a user repeats it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

import mongospec_core as core
import mongospec_refs as refs
from mongospec_kv import KVStore, KVStoreItem

type Models = Any
"""The classes of one lane: see :func:`models`."""
type Objects = list[Any]
type Options = dict[str, Any]


def models() -> Models:
    """New classes, because a class is bound to one database at a time.

    Each has a ``label``, by which the matrix knows its documents, and a number.
    """

    class Plain(core.MongoDocument):
        __collection_name__ = "plain"
        label: str
        n: int = 0
        other: int = 0

    class Unique(core.MongoDocument):
        __collection_name__ = "unique"
        __indexes__ = [{"key": {"label": 1}, "unique": True}]
        label: str
        n: int = 0
        other: int = 0

    class Versioned(core.MongoDocument, version_field="version"):
        __collection_name__ = "versioned"
        label: str
        n: int = 0
        other: int = 0
        version: int = 0

    class Sharded(core.MongoDocument):
        __collection_name__ = "sharded"
        __shard_key__ = ("n",)
        label: str
        n: int = 0
        other: int = 0

    class Author(refs.MongoDocument):
        __collection_name__ = "authors"
        label: str
        n: int = 0
        other: int = 0

    class Post(refs.MongoDocument):
        __collection_name__ = "posts"
        label: str
        author: Author
        n: int = 0
        other: int = 0

    class Store(KVStore, core.MongoDocument):
        __collection_name__ = "store"

    bound = [Plain, Unique, Versioned, Sharded, Author, Post, Store]
    return SimpleNamespace(**{cls.__name__: cls for cls in bound}, all=bound)


@dataclass(frozen=True)
class Row:
    """One operation.

    :ivar name: how the published table calls it.
    :ivar covers: the public names that it stands for.
    :ivar prepare: makes what is there before, and the objects that take part.
    :ivar act: the operation, with the options that it is to be called with.
    :ivar repeat: what a user does after an unknown outcome, as the documentation allows; None: he
        has to look first, as it would be done twice.
    :ivar blind: whether no object takes part, so that none can know what became of it.
    :ivar unsure: whether objects may count their stored content as unknown although the outcome is known: a command
        counts what it replaced, and does not say which.
    :ivar moves: whether a document is changed in what finds it: after an unknown outcome a save may not find it.
    :ivar repeats: whether it is repeated while the server asks for it, for :data:`REPEATED` seconds.
    """

    name: str
    covers: tuple[str, ...]
    prepare: Callable[[Models], Awaitable[Objects]]
    act: Callable[[Models, Objects, Options], Awaitable[Any]]
    repeat: Callable[[Models, Objects], Awaitable[Any]] | None = None
    blind: bool = False
    unsure: bool = False
    moves: bool = False
    repeats: bool = False


async def nothing(_: Models) -> Objects:
    return []


def new(kind: str, *labels: str, **fields: Any) -> Callable[[Models], Awaitable[Objects]]:
    """New documents of a class."""

    async def prepare(m: Models) -> Objects:
        return [getattr(m, kind)(label=label, **fields) for label in labels]

    return prepare


def stored(
    kind: str, *labels: str, changed: bool = False
) -> Callable[[Models], Awaitable[Objects]]:
    """Documents of a class that are stored, and read; with *changed*, changed since."""

    async def prepare(m: Models) -> Objects:
        cls = getattr(m, kind)
        await cls.insert_many([cls(label=label) for label in labels])
        found: Objects = await cls.find_all({}, sort="label")
        if changed:
            for document in found:
                document.n = 5
        return found

    return prepare


async def graph(m: Models) -> Objects:
    """Two posts of two authors, all of them changed."""
    authors = [m.Author(label=f"author {n}") for n in "ab"]
    await m.Author.insert_many(authors)
    await m.Post.insert_many(
        [m.Post(label=f"post {each.label[-1]}", author=each) for each in authors]
    )
    posts = await m.Post.find_all({}, sort="label")
    for post in posts:
        post.n = post.author.n = 5
    return [*posts, *(post.author for post in posts)]


async def new_graph(m: Models) -> Objects:
    author = m.Author(label="author")
    return [m.Post(label="post", author=author), author]


async def inserted_graph(m: Models) -> Objects:
    objects = await new_graph(m)
    m.result = await objects[0].insert_recursive()
    return objects


async def two_keys(m: Models) -> Objects:
    await m.Store.set_many({"a": 1, "b": 2})
    return []


async def by_hand(m: Models) -> Objects:
    document = await m.Plain(label="a").insert()
    return [m.Plain(_id=document.id, label="a", n=5)]


async def for_bulk(m: Models) -> Objects:
    stored_ = await stored("Plain", "b", "c", "d", "e", "f")(m)
    return [m.Plain(label="a"), m.Plain(_id=stored_[3].id, label="e", n=7)]


def bulk_of(objects: Objects) -> list[Any]:
    return [
        InsertOne(objects[0]),
        UpdateOne({"label": "b"}, {"$set": {"n": 5}}),
        UpdateMany({"label": {"$in": ["c"]}}, {"$set": {"n": 6}}),
        DeleteOne({"label": "d"}),
        ReplaceOne({"_id": objects[1].id}, objects[1]),
        DeleteMany({"label": "f"}),
    ]


async def insert_each(_: Models, objects: Objects) -> None:
    """What a user does after an unknown insert: again, and a duplicate key of its ``_id`` is a yes."""
    for document in objects:
        try:
            await document.insert()
        except core.DuplicateKeyError as error:
            if "_id" not in (error.key_pattern or {}):
                raise


async def save_each(_: Models, objects: Objects) -> None:
    for document in objects:
        await document.save(upsert=True)


def again(act: Callable[[Models, Objects, Options], Awaitable[Any]]) -> Any:
    """Repeat the call as it was."""
    return lambda m, objects: act(m, objects, {})


def row(
    name: str,
    covers: str | Sequence[str],
    prepare: Callable[[Models], Awaitable[Objects]],
    act: Callable[[Models, Objects, Options], Awaitable[Any]],
    repeat: Any = "look",
    **more: Any,
) -> Row:
    if repeat == "again":
        repeat = again(act)
    elif repeat == "look":
        repeat = None
    names = (covers,) if isinstance(covers, str) else tuple(covers)
    return Row(name, names, prepare, act, repeat, **more)


REPEATED = 0.7
INC = {"$inc": {"n": 5}}
SET = {"$set": {"n": 5}}


async def in_transaction(m: Models, objects: Objects, options: Options) -> None:
    with core.timeout(options.get("timeout")):
        async with core.transaction():
            await objects[1].insert()
            await objects[0].save()


async def repeated_transaction(m: Models, objects: Objects, options: Options) -> None:
    async def work() -> None:
        await objects[1].insert()
        await objects[0].save()

    with core.timeout(options.get("timeout")):
        await core.run_in_transaction(work, timeout=options.get("timeout") or REPEATED)


async def changed_and_new(m: Models) -> Objects:
    return [*await stored("Plain", "a", changed=True)(m), m.Plain(label="b")]


ROWS = (
    # -- core
    row("`insert()`", "insert", new("Plain", "a"), lambda m, o, k: o[0].insert(**k), insert_each),
    row(
        "`insert_one()`",
        "insert_one",
        new("Plain", "a"),
        lambda m, o, k: m.Plain.insert_one(o[0], **k),
        insert_each,
    ),
    row(
        "`insert_many()`",
        "insert_many",
        new("Plain", "a", "b", "c"),
        lambda m, o, k: m.Plain.insert_many(o, **k),
        insert_each,
    ),
    row(
        "`insert_many(ordered=False)`",
        "insert_many",
        new("Plain", "a", "b", "c"),
        lambda m, o, k: m.Plain.insert_many(o, ordered=False, **k),
        insert_each,
    ),
    row(
        "`insert_if_not_exists()`",
        "insert_if_not_exists",
        new("Unique", "a"),
        lambda m, o, k: m.Unique.insert_if_not_exists(o[0], {"label": o[0].label}, **k),
        "again",
    ),
    row(
        "`save()`",
        "save",
        stored("Plain", "a", changed=True),
        lambda m, o, k: o[0].save(**k),
        "again",
    ),
    row("`save()`, built by hand", "save", by_hand, lambda m, o, k: o[0].save(**k), "again"),
    row(
        "`save(upsert=True)`, new",
        "save",
        new("Plain", "a"),
        lambda m, o, k: o[0].save(upsert=True, **k),
        "again",
    ),
    row(
        "`save(upsert=True)`, stored",
        "save",
        stored("Plain", "a", changed=True),
        lambda m, o, k: o[0].save(upsert=True, **k),
        "again",
    ),
    row(
        "`save()`, with a version",
        "save",
        stored("Versioned", "a", changed=True),
        lambda m, o, k: o[0].save(**k),
    ),
    row(
        "`save()`, to another shard",
        "save",
        stored("Sharded", "a", changed=True),
        lambda m, o, k: o[0].save(**k),
        moves=True,
    ),
    row(
        "`save_many()`",
        "save_many",
        stored("Plain", "a", "b", "c", changed=True),
        lambda m, o, k: m.Plain.save_many(o, **k),
        "again",
    ),
    row(
        "`save_many()`, with versions",
        "save_many",
        stored("Versioned", "a", "b", changed=True),
        lambda m, o, k: m.Versioned.save_many(o, **k),
    ),
    row(
        "`bulk_write()`",
        "bulk_write",
        for_bulk,
        lambda m, o, k: m.Plain.bulk_write(bulk_of(o), **k),
        unsure=True,
    ),
    row(
        "`bulk_write(ordered=False)`",
        "bulk_write",
        for_bulk,
        lambda m, o, k: m.Plain.bulk_write(bulk_of(o), ordered=False, **k),
        unsure=True,
    ),
    row(
        "`update_one()`",
        "update_one",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.update_one({"label": "a"}, INC, **k),
        blind=True,
    ),
    row(
        "`update_one(upsert=True)`",
        "update_one",
        nothing,
        lambda m, o, k: m.Unique.update_one({"label": "a"}, SET, upsert=True, **k),
        "again",
    ),
    row(
        "`update_many()`",
        "update_many",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.update_many({}, INC, **k),
        blind=True,
    ),
    row(
        "`update_by_id()`",
        "update_by_id",
        stored("Plain", "a"),
        lambda m, o, k: m.Plain.update_by_id(o[0].id, SET, **k),
        "again",
        blind=True,
    ),
    row(
        "`find_one_and_update()`",
        "find_one_and_update",
        stored("Plain", "a"),
        lambda m, o, k: m.Plain.find_one_and_update({"label": "a"}, INC, **k),
        blind=True,
    ),
    row(
        "`find_one_and_replace()`",
        "find_one_and_replace",
        by_hand,
        lambda m, o, k: m.Plain.find_one_and_replace({"_id": o[0].id}, o[0], **k),
        "again",
        unsure=True,
    ),
    row(
        "`find_one_and_delete()`",
        "find_one_and_delete",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.find_one_and_delete({}, sort="label", **k),
        blind=True,
    ),
    row(
        "`delete()`",
        "delete",
        stored("Plain", "a", "b"),
        lambda m, o, k: o[0].delete(**k),
        "again",
    ),
    row(
        "`delete()`, with a version",
        "delete",
        stored("Versioned", "a"),
        lambda m, o, k: o[0].delete(**k),
        "again",
    ),
    row(
        "`delete_one()`",
        "delete_one",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.delete_one({"label": "a"}, **k),
        "again",
        blind=True,
    ),
    row(
        "`delete_many()`",
        "delete_many",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.delete_many({}, **k),
        "again",
        blind=True,
    ),
    row(
        "`delete_by_id()`",
        "delete_by_id",
        stored("Plain", "a", "b"),
        lambda m, o, k: m.Plain.delete_by_id(o[0].id, **k),
        "again",
        blind=True,
    ),
    # -- refs
    row("`save()`, cascading", "save", graph, lambda m, o, k: o[0].save(**k), "again"),
    row(
        "`save_many()`, cascading",
        "save_many",
        graph,
        lambda m, o, k: m.Post.save_many(o[:2], **k),
        "again",
    ),
    row(
        "`insert_recursive()`",
        ("insert_recursive", "insert_one_recursive"),
        new_graph,
        lambda m, o, k: o[0].insert_recursive(**k),
        lambda m, o: save_each(m, o[::-1]),
    ),
    row(
        "`rollback()` of `insert_recursive()`",
        "rollback",
        inserted_graph,
        lambda m, o, k: m.result.rollback(**k),
        "again",
    ),
    # -- kv
    row("`KVStore.set()`", "kv.set", nothing, lambda m, o, k: m.Store.set("a", 5, **k), "again"),
    row(
        "`KVStore.set_default()`",
        "kv.set_default",
        nothing,
        lambda m, o, k: m.Store.set_default("a", 5, **k),
        "again",
    ),
    row(
        "`KVStore.increment()`",
        "kv.increment",
        two_keys,
        lambda m, o, k: m.Store.increment("a", 5, **k),
    ),
    row(
        "`KVStore.set_many()`",
        "kv.set_many",
        two_keys,
        lambda m, o, k: m.Store.set_many({"a": 5, "c": 6}, **k),
        "again",
    ),
    row(
        "`KVStore.delete_key()`",
        "kv.delete_key",
        two_keys,
        lambda m, o, k: m.Store.delete_key("a", **k),
        "again",
    ),
    row(
        "`KVStore.delete_keys()`",
        "kv.delete_keys",
        two_keys,
        lambda m, o, k: m.Store.delete_keys(["a", "b"], **k),
        "again",
    ),
    row("`KVStore.clear()`", "kv.clear", two_keys, lambda m, o, k: m.Store.clear(**k), "again"),
    row(
        "`KVStoreItem.set()`",
        "item.set",
        two_keys,
        lambda m, o, k: KVStoreItem.of(m.Store)[int]("a").set(5, **k),
        "again",
    ),
    row(
        "`KVStoreItem.set_default()`",
        "item.set_default",
        nothing,
        lambda m, o, k: KVStoreItem.of(m.Store)[int]("a", 5).set_default(**k),
        "again",
    ),
    row(
        "`KVStoreItem.delete()`",
        "item.delete",
        two_keys,
        lambda m, o, k: KVStoreItem.of(m.Store)[int]("a").delete(**k),
        "again",
    ),
    # -- transactions
    row(
        "`transaction()` of `insert()` and `save()`",
        "transaction",
        changed_and_new,
        in_transaction,
        save_each,
    ),
    row(
        "`run_in_transaction()` of the same",
        "run_in_transaction",
        changed_and_new,
        repeated_transaction,
        save_each,
        repeats=True,
    ),
)

# What is public and writes no document.
READS = frozenset(
    {
        *("aggregate", "count", "count_documents", "distinct", "dump", "estimated_document_count"),
        *("exists", "fetch", "find", "find_all", "find_by_id", "find_one", "get_by_id"),
        *(
            "get_collection",
            "get_collection_name",
            "get_one",
            "id",
            "load",
            "page",
            "ref",
            "reload",
        ),
    }
)
KV_READS = frozenset({"get", "get_all", "get_many", "get_or_default", "has", "keys"})
ITEM_READS = frozenset({"get", "has", "of"})
