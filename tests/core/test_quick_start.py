"""The quick start as its users know it, run as it stands."""

import asyncio
import subprocess
import sys
from pathlib import Path

import mongojet
import pytest

import mongospec
from mongospec_core import DuplicateKeyError
from mongospec_testing import MongoServer
from tests.conftest import Bind

BLOCK = """
import asyncio
from datetime import datetime
from typing import ClassVar, Sequence

import mongojet
import msgspec
import mongospec
from mongospec import MongoDocument
from mongojet import IndexModel


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [
        IndexModel(keys=[("email", 1)], options={"unique": True})
    ]

    name: str
    email: str
    created_at: datetime = msgspec.field(default_factory=datetime.now)


async def main() -> None:
    client = await mongojet.create_client("mongodb://localhost:27017")
    await mongospec.init(client.get_database("example_db"), document_types=[User])

    user = User(name="Alice", email="alice@example.com")
    await user.insert()
    print("Inserted:", user)

    fetched = await User.find_one({"email": "alice@example.com"})
    print("Fetched:", fetched)

    await fetched.delete()
    await mongospec.close()


if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_the_quick_start_runs_as_it_stands(
    mongo_server: MongoServer, mongo_db: mongojet.Database, tmp_path: Path
) -> None:
    block = BLOCK.replace("mongodb://localhost:27017", mongo_server.uri).replace(
        "example_db", mongo_db.name
    )
    script = tmp_path / "quick_start.py"
    script.write_text(block)
    for _ in range(2):  # it leaves nothing behind that would stop its second run
        run = await asyncio.to_thread(
            subprocess.run, [sys.executable, script], capture_output=True, text=True, timeout=60
        )
        assert (run.returncode, run.stderr) == (0, "")
        inserted, fetched = run.stdout.splitlines()
        assert inserted.startswith("Inserted: User(")
        assert fetched.startswith("Fetched: User(")
        assert "alice@example.com" in fetched
    assert await mongo_db["users"].count_documents({}) == 0
    indexes = await mongo_db.run_command({"listIndexes": "users"})
    assert [each.get("unique") for each in indexes["cursor"]["firstBatch"]] == [None, True]


async def test_its_second_identical_email_is_refused(bind: Bind) -> None:
    names: dict[str, object] = {"__name__": __name__}
    exec(BLOCK, names)
    User = names["User"]  # noqa: N806
    assert isinstance(User, type)
    assert issubclass(User, mongospec.MongoDocument)
    await bind(User)
    alice = await User(name="Alice", email="alice@example.com").insert()
    with pytest.raises(DuplicateKeyError) as caught:
        await User(name="Eve", email="alice@example.com").insert()
    assert caught.value.key_pattern == {"email": 1}
    assert caught.value.key_value == {"email": "alice@example.com"}
    assert await User.find_all() == [alice]
