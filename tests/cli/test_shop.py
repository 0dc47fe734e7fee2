"""The shop of ``examples/shop``, taken through its life by the command."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mongojet
import pytest
from bson import Decimal128, ObjectId

from mongospec_testing import MongoServer
from tests.cli.conftest import Commands, Done

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NAME = "    name: Text\n    email: Text\n"
FULL_NAME = """\
    full_name: Text
    email: Text

    @classmethod
    def __upgrade__(cls, raw):
        if "name" in raw:
            raw["full_name"] = raw.pop("name")
        return raw
"""


class Shop:
    """A copy of the shop, whose models can be changed, and the command on its database."""

    def __init__(self, commands: Commands, folder: Path, uri: str, database: str) -> None:
        shutil.copytree(EXAMPLES / "shop", folder / "shop")
        self._commands = commands
        self._folder = folder
        self._models = folder / "shop" / "models.py"
        self._uri = uri
        self._database = database

    def change(self, old: str, new: str) -> None:
        """Change the source of the models."""
        source = self._models.read_text()
        assert source.count(old) == 1
        self._models.write_text(source.replace(old, new))

    def run(self, command: str, *options: str) -> Done:
        return self._commands.run(
            self._folder,
            *(command, "shop.models", "--database", self._database, *options),
            MONGODB_URI=self._uri,
        )


@pytest.fixture
def shop(
    commands: Commands, tmp_path: Path, mongo_server: MongoServer, mongo_db: mongojet.Database
) -> Shop:
    return Shop(commands, tmp_path, mongo_server.uri, mongo_db.name)


async def test_the_shop_begins_changes_and_ends_a_pipeline(
    shop: Shop, mongo_db: mongojet.Database
) -> None:
    def plan(*options: str) -> Any:
        return shop.run("plan", "--json", *options).json

    # The first time: everything is missing, and then nothing is.
    assert shop.run("plan", "--check").code == 1
    assert [step["name"] for step in plan()["steps"]] == [
        *("email_1", "sku_1", "price_-1__id_-1", "customer_1_placed_at_-1")
    ]
    assert shop.run("apply", "--yes").code == 0
    assert shop.run("plan", "--check").code == 0
    await mongo_db["customers"].insert_many([{"name": "A", "email": "a"}, {"name": "B"}])

    # An index changes: the new one is built beside the old one.
    index = 'IndexModel("email", unique=True)'
    changed = 'IndexModel("email", unique=True, sparse=True)'
    shop.change(index, changed)
    [step] = plan()["steps"]
    assert (step["action"], step["name"]) == ("rebuild", "email_1_2")
    assert step["size"]["documents"] == 2
    assert shop.run("apply", "--yes").code == 0

    # One is declared no more: it is told, and it is no reason for a pipeline to stop.
    shop.change(changed, "")
    found = plan("--check")
    assert (found["steps"], [each["index"]["name"] for each in found["undeclared"]]) == (
        [],
        ["email_1_2"],
    )
    assert [step["action"] for step in plan("--drop")["steps"]] == ["hide"]
    assert shop.run("plan", "--check").code == 0


async def test_the_shop_renames_a_field_and_mends_an_old_document(
    shop: Shop, mongo_db: mongojet.Database
) -> None:
    assert shop.run("apply", "--yes").code == 0
    ada, bob, gone = ObjectId(), ObjectId(), ObjectId()
    customers, orders = mongo_db["customers"], mongo_db["orders"]
    await customers.insert_many(
        [
            {"_id": ada, "name": "Ada", "email": "ada@example.com"},
            {"_id": bob, "name": "Bob", "email": "bob@example.com"},
            {"_id": gone, "name": "", "email": "old@example.com"},  # older than the constraint
        ]
    )
    order = {"lines": [], "total": Decimal128("0"), "placed_at": datetime.now(UTC)}
    await orders.insert_one({"customer": ada, **order})

    # A field is renamed: old documents are read as new ones, and only then written as such.
    shop.change(NAME, FULL_NAME)
    found = shop.run("audit", "--json")
    assert found.code == 1
    [unreadable] = found.json["unreadable"]
    assert (unreadable["owner"], unreadable["path"]) == ("Customer", "full_name")
    assert unreadable["examples"] == [str(gone)]
    [old] = found.json["old"]
    assert (sorted(old["fields"]), old["count"]) == (["full_name", "name"], 3)

    assert shop.run("upgrade", "--dry-run").code == 1
    assert (await customers.find_one({"_id": ada}) or {})["name"] == "Ada"
    done = shop.run("upgrade", "--json")
    assert done.code == 1  # one document was left
    assert (done.json["collections"][0]["written"], done.json["left"][0]["count"]) == (2, 1)
    assert await customers.find_one({"_id": ada}) == {
        "_id": ada,
        "email": "ada@example.com",
        "full_name": "Ada",
    }

    # The document that is left is mended; then nothing is left to do.
    await customers.update_one({"_id": gone}, {"$set": {"name": "Carl"}})
    assert shop.run("upgrade").code == 0
    assert shop.run("audit", "--strict").code == 0
    assert shop.run("plan", "--check").code == 0
