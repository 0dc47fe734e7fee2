"""A command that runs as a process, in a folder with models."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mongospec_testing import MongoServer

MODELS = """
from mongospec import MongoDocument


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__ = [{"key": {"email": 1}, "unique": True}]

    name: str
    email: str = ""
"""

INTERRUPT = """
import os, signal

import mongospec_cli.batches
from mongospec import MongoDocument

mongospec_cli.batches.BATCH = 2  # documents


class Note(MongoDocument):
    __collection_name__ = "notes"

    _id: int | None = None
    text: str

    @classmethod
    def __upgrade__(cls, raw):
        if raw["_id"] == 3 and os.environ.pop("CTRL_C", None):  # in the second batch
            os.kill(os.getpid(), signal.SIGINT)
        if "title" in raw:
            raw["text"] = raw.pop("title")
        return raw
"""
"""Models of which the reading is interrupted once if CTRL_C is set."""


@dataclass
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


type Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with one module, ``models``."""
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


def run_command(folder: Path, *arguments: str, **variables: str | None) -> Done:
    """Run the command as a process in a folder, with variables of the environment; None takes one away."""
    environment = {name: value for name, value in (os.environ | variables).items() if value}
    done = subprocess.run(
        [sys.executable, "-m", "mongospec_cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run(folder: Path, mongo_server: MongoServer, mongo_db: Any) -> Run:
    """``run("plan", "models")``: the command as a process, on this test's database."""

    def command(*arguments: str, **variables: str | None) -> Done:
        return run_command(folder, *arguments, **{"MONGODB_URI": mongo_server.uri, **variables})

    (folder / "pyproject.toml").write_text(f'[tool.mongospec]\ndatabase = "{mongo_db.name}"\n')
    return command
