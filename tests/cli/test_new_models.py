"""``new-models`` writes classes that a database's documents fit."""

import asyncio
import datetime as dt
import importlib.util
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import mongojet
from bson import Binary, Decimal128, Int64, ObjectId

from mongospec import MongoDocument
from mongospec_cli import audit, new_models
from tests.cli.conftest import Run
from tests.conftest import Bind

USERS = [ObjectId() for _ in range(12)]
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "users": [
        {
            "_id": each,
            "name": f"user {number}",
            "role": ["admin", "guest"][number % 2],
            "age": number if number % 3 else float(number),
            "address": {"city": f"city {number}", "zip": None if number % 2 else "x"},
            "import": number,
            "save": 1,
            "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "str": "x",
            "photo": Binary(b"x", 128),
            **({"nick": "x"} if number % 2 else {}),
            **({"tags": ["a"]} if number % 2 else {}),
        }
        for number, each in enumerate(USERS)
    ],
    "blog_posts": [
        {
            "_id": number,
            "author_id": USERS[number],
            "likes": USERS[:number],
            "price": Decimal128("1.5"),
            "key": Binary.from_uuid(uuid.uuid4()),
            "views": Int64(2**40),
            "mixed": [1, "x", None][number % 3],
            "odd": [ObjectId(), {"a": 1}][number % 2],
            "per_day": {f"2026-01-{day}": day for day in range(10, 20)},
            "comments": [{"by": USERS[0], "text": f"t{number}"}, {"by": None}],
            "empty": [],
            "none": None,
            "settings": {},
            "a.b": 1,
        }
        for number in range(6)
    ],
    "cities": [{"_id": "rome", "blog_posts": [0, 1]}],
    "class": [],
}


async def written(database: mongojet.Database) -> str:
    for name, documents in DOCUMENTS.items():
        await database.create_collection(name)
        if documents:
            await database[name].insert_many(documents)
    return await new_models(database)


def imported(source: str, folder: Path) -> list[type[MongoDocument]]:
    file = folder / "written_models.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("written_models", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["written_models"] = module
    spec.loader.exec_module(module)
    every = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in every if issubclass(each, MongoDocument) and each is not MongoDocument]


async def test_what_it_writes_fits_the_sample(
    mongo_db: mongojet.Database, bind: Bind, tmp_path: Path
) -> None:
    source = await written(mongo_db)
    classes = imported(source, tmp_path)
    assert {each.__name__ for each in classes} == {"User", "BlogPost", "City", "Class"}
    await bind(*classes)
    found = await audit(classes)
    assert (found.unreadable, found.dangling, found.old, found.lax) == ([], [], [], [])
    assert [each.path for each in found.undeclared] == ["a.b"]  # MongoDB alone can have it
    lines = {line.strip() for line in source.splitlines()}
    assert {
        "role: Literal['admin', 'guest']",
        "nick: str | None = None",
        "tags: list[str] = []",
        "age: float | int",
        "photo: Any",
        "address: UserAddress",
        "zip: str | None = None",
        "import_: int = msgspec.field(name='import')",
        "save_: int = msgspec.field(name='save')",
        "when: datetime",
        "str_: str = msgspec.field(name='str')",
        'author_id: "User"',
        'likes: "list[User]"',
        'by: "User | None" = None',
        "price: Decimal",
        "key: UUID",
        "views: int",
        "mixed: int | str | None = None",
        "odd: Any",
        "per_day: dict[str, int]",
        "comments: list[BlogPostComments]",
        "empty: list[Any]",
        "none: Any = None",
        "settings: dict[str, Any]",
        "_id: str | None = None",
        "_id: int | None = None",
        'blog_posts: "list[BlogPost]"',
        "# 'a.b' cannot be a field",
    } - lines == set()
    [post] = await classes[0].find({"_id": 1}).to_list()
    assert getattr(post, "price", None) == Decimal("1.5")


async def test_what_it_writes_passes_the_type_checker(
    mongo_db: mongojet.Database, tmp_path: Path
) -> None:
    file = tmp_path / "models.py"
    file.write_text(await written(mongo_db))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "mypy", "--strict", str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


async def test_the_command_writes_a_module(run: Run, mongo_db: mongojet.Database) -> None:
    await mongo_db["pets"].insert_one({"name": "Rex"})
    done = run("new-models")
    assert (done.code, done.err) == (0, "")
    assert (
        "class Pet(MongoDocument):\n    __collection_name__ = 'pets'\n\n    name: str\n" in done.out
    )
