"""The READMEs' tables of hooks and operations say what happens."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import mongospec
import mongospec_core
from tests.conftest import Bind
from tests.hooks_table import OF_REFERENCES, OPERATIONS, Try, recording, table

ROOT = Path(__file__).parent.parent
CORE = (ROOT / "packages/mongospec-core/README.md", mongospec_core.MongoDocument, OPERATIONS)
WHOLE = (ROOT / "README.md", mongospec.MongoDocument, OPERATIONS | OF_REFERENCES)
GUIDE = (ROOT / "docs/guides/hooks.md", mongospec.MongoDocument, OPERATIONS | OF_REFERENCES)


@pytest.mark.parametrize(
    ("path", "base", "operations"), [CORE, WHOLE, GUIDE], ids=["core", "mongospec", "guide"]
)
async def test_the_table_says_which_operation_calls_which_hook(
    path: Path, base: Any, operations: dict[str, Try], bind: Bind
) -> None:
    cls, called = recording(base)
    await bind(cls)
    found: dict[str, set[str]] = {}
    for operation, attempt in operations.items():
        await cls.delete_many({})
        document = await cls(name="there").insert()
        called.clear()
        await attempt(cls, document)
        found[operation] = set(called)
    assert table(found) in await asyncio.to_thread(path.read_text), f"it should be\n{table(found)}"


def test_every_operation_stands_in_the_table() -> None:
    no_operations = {
        "changes",
        "dump",
        "get_collection",
        "get_collection_name",
        "id",
        "load",
        "ref",
    }
    offered = {name for name in dir(mongospec.MongoDocument) if not name.startswith("_")}
    rows = OPERATIONS | OF_REFERENCES
    assert offered - no_operations == {row.partition(":")[0] for row in rows}
