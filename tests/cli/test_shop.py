"""The shop of ``examples/shop``, taken through its life by the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mongojet

from mongospec_testing import MongoServer
from tests.cli.conftest import Done

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


async def test_the_shop_begins_changes_and_ends_a_pipeline(
    tmp_path: Path, mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    shutil.copytree(EXAMPLES / "shop", tmp_path / "shop")
    models = tmp_path / "shop" / "models.py"

    def run(*arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "mongospec_cli", *arguments, "--database", mongo_db.name],
            cwd=tmp_path,
            env=os.environ | {"MONGODB_URI": mongo_server.uri, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def plan(*options: str) -> Any:
        return run("plan", "shop.models", "--json", *options).json

    # The first time: everything is missing, and then nothing is.
    assert run("plan", "shop.models", "--check").code == 1
    assert [step["name"] for step in plan()["steps"]] == [
        *("email_1", "sku_1", "price_-1__id_-1", "customer_1_placed_at_-1")
    ]
    assert run("apply", "shop.models", "--yes").code == 0
    assert run("plan", "shop.models", "--check").code == 0
    await mongo_db["customers"].insert_many([{"name": "A", "email": "a"}, {"name": "B"}])

    # An index changes: the new one is built beside the old one.
    source = models.read_text()
    old = 'IndexModel("email", unique=True)'
    assert old in source
    models.write_text(source.replace(old, 'IndexModel("email", unique=True, sparse=True)'))
    [step] = plan()["steps"]
    assert (step["action"], step["name"]) == ("rebuild", "email_1_2")
    assert step["size"]["documents"] == 2
    assert run("apply", "shop.models", "--yes").code == 0

    # One is declared no more: it is told, and it is no reason for a pipeline to stop.
    models.write_text(source.replace(old, ""))
    found = plan("--check")
    assert (found["steps"], [each["index"]["name"] for each in found["undeclared"]]) == (
        [],
        ["email_1_2"],
    )
    assert [step["action"] for step in plan("--drop")["steps"]] == ["hide"]
    assert run("plan", "shop.models", "--check").code == 0
