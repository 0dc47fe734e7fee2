"""Every block of code that users know from the package's documentation runs, and does what it says."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mongojet
import pytest

import mongospec
from mongospec_testing import MongoServer
from tests.readme_blocks import Block, module_namespace

from . import blocks

type Namespace = dict[str, Any]

OLD = datetime(2020, 1, 1, tzinfo=UTC)


async def run(code: str, namespace: Namespace) -> list[str]:
    return await Block(Path(__file__), 1, code).run(namespace)


@pytest.fixture
def names(mongo_db: mongojet.Database, unbound: None) -> Iterator[Namespace]:
    """The names of one module, in which blocks run one after another."""
    with module_namespace("documented_blocks") as namespace:
        namespace.update(mongospec=mongospec, db=mongo_db)
        yield namespace


async def test_the_quick_start_runs_as_a_script(
    mongo_server: MongoServer, mongo_db: mongojet.Database, tmp_path: Path
) -> None:
    script = tmp_path / "quick_start.py"
    code = blocks.QUICK_START.replace("mongodb://localhost:27017", mongo_server.uri)
    script.write_text(code.replace("example_db", mongo_db.name))
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    inserted, fetched = done.stdout.splitlines()
    shape = r"User\(_id=ObjectId\('\w{24}'\), name='Alice', email='alice@example.com', created_at="
    assert re.match("Inserted: " + shape, inserted)
    assert re.match("Fetched: " + shape, fetched)
    users = mongo_db.get_collection("users")
    assert await users.count_documents({}) == 0
    [index] = [each for each in await users.list_indexes() if each["name"] != "_id_"]
    assert (dict(index["key"]), index["unique"]) == ({"email": 1}, True)


@pytest.fixture
async def blog(names: Namespace, mongo_db: mongojet.Database) -> Namespace:
    """The documents of the reference blocks, bound, and a user and a tag in the database."""
    await run(blocks.REFERENCES, names)
    types = [names["User"], names["Tag"], names["Post"]]
    await mongospec.init(mongo_db, types, close_client=False)
    names["user"] = await names["User"](name="Alice").insert()
    names["tag"] = await names["Tag"](label="python").insert()
    return names


async def test_references_are_created_from_documents_and_stored_as_ids(blog: Namespace) -> None:
    await run(blocks.CREATE, blog)
    stored = await blog["Post"].get_collection().find_one({})
    assert stored["author"] == blog["user"].id
    assert stored["tags"] == [blog["tag"].id]
    assert stored["reviewer"] is None


async def test_references_are_resolved_on_read(blog: Namespace) -> None:
    await run(blocks.CREATE, blog)
    assert await run(blocks.READ, blog) == ["Alice"]
    await run(blocks.READ_MANY, blog)
    [post] = blog["posts"]
    assert (post.author.name, post.tags[0].label) == ("Alice", "python")


async def test_resolution_can_be_left_out(blog: Namespace) -> None:
    await run(blocks.CREATE, blog)
    await run(blocks.READ_UNRESOLVED, blog)
    author = blog["post"].author
    assert (isinstance(author, blog["User"]), author.id) == (True, blog["user"].id)
    assert not mongospec.is_resolved(author)


async def test_saving_saves_the_changed_references_too(blog: Namespace) -> None:
    await run(blocks.CREATE, blog)
    await run(blocks.READ, blog)
    await run(blocks.CASCADE, blog)
    assert (await blog["User"].find_one()).name == "Updated"


async def test_a_graph_is_inserted_children_first_and_taken_back(blog: Namespace) -> None:
    blog["existing_user"] = blog["user"]
    assert await run(blocks.RECURSIVE_INSERT, blog) == ["['Tag', 'Tag', 'Post']"]
    assert (await blog["Post"].count(), await blog["Tag"].count()) == (1, 3)
    await run(blocks.ROLLBACK, blog)
    assert (await blog["Post"].count(), await blog["Tag"].count()) == (0, 1)
    assert await blog["User"].count() == 1


@pytest.mark.parametrize("block", [blocks.DISCOVERY, blocks.DISCOVERY_WITH_OPTIONS])
async def test_discovered_models_are_bound(names: Namespace, myapp: None, block: str) -> None:
    await run(block, names)
    found = names.get("document_types") or names["models"]
    assert [cls.__qualname__ for cls in found] == ["Entry", "Account"]
    for cls in found:
        await cls().insert()
        assert await cls.count() == 1


async def test_the_advanced_options_of_discovery_work(myapp: None) -> None:
    from mongospec.utils import collect_document_types  # noqa: PLC0415 - as the block has it

    package = "myapp.db.models"
    by_name = collect_document_types(package, return_map=True)
    assert list(by_name) == [f"{package}.blog.posts.Entry", f"{package}.users.Account"]
    chosen = collect_document_types(package, predicate=lambda cls: cls.__name__ == "Entry")
    assert chosen == [by_name[f"{package}.blog.posts.Entry"]]
    assert len(collect_document_types("myapp", module_filter=".*models.*")) == 2


async def test_hooks_keep_updated_at_in_step(names: Namespace, mongo_db: mongojet.Database) -> None:
    await run(blocks.DOCUMENT_WITH_HOOKS, names)
    document_class = names["Document"]
    await mongospec.init(mongo_db, [document_class], close_client=False)

    async def updated_at() -> datetime:
        stored = await document_class.find_one()
        changed: datetime = stored.updated_at
        await document_class.get_collection().update_one({}, {"$set": {"updated_at": OLD}})
        return changed

    start = datetime.now(UTC) - timedelta(seconds=1)
    document = document_class(created_at=OLD, updated_at=OLD)
    await document.insert()
    assert await updated_at() > start
    await document.save()
    assert await updated_at() > start
    change = {"$set": {"created_at": OLD}}
    await document_class.update_one({}, change)
    assert await updated_at() > start
    await document_class.update_many({}, change)
    assert await updated_at() > start
    await document_class.update_by_id(document.id, change)
    assert await updated_at() > start
    await document_class.find_one_and_update({}, change)
    assert await updated_at() > start
    assert change == {"$set": {"created_at": OLD}}


@pytest.fixture
async def storage(names: Namespace, mongo_db: mongojet.Database, myapp: None) -> Namespace:
    """The store of the key-value blocks, bound."""
    await run(blocks.KV_STORE, names)
    await mongospec.init(mongo_db, [names["AppStorage"]], close_client=False)
    return names


async def test_the_key_value_store_gives_what_the_comments_say(storage: Namespace) -> None:
    await run(blocks.KV_DIRECT, storage)
    assert (storage["theme"], storage["default"], storage["kept"]) == ("dark", 0, "dark")
    assert storage["all_pairs"] == {"theme": "dark", "a": 1, "b": 2}
    assert storage["all_keys"] == ["theme", "a", "b"]
    assert (storage["there"], storage["deleted"]) == (True, True)
    indexes = await storage["AppStorage"].get_collection().list_indexes()
    assert {each["name"]: each.get("unique") for each in indexes}["key_1"] is True
    with pytest.raises(KeyError):
        await storage["AppStorage"].get("theme")


async def test_typed_items_give_what_the_comments_say(storage: Namespace) -> None:
    await run(blocks.KV_ITEM, storage)
    assert (storage["value"], storage["stored_before"], storage["stored"]) == (3, False, 3)
    assert (storage["there"], storage["deleted"]) == (True, True)
