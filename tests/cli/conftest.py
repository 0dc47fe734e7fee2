"""A command that runs as a process, in a folder with models."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


class Commands:
    """Runs commands as processes, one at a time: see ``command_forks.py``."""

    def __init__(self, forks: subprocess.Popen[str], folder: Path) -> None:
        self._forks = forks
        self._output = [folder / "out", folder / "err"]

    def run(self, folder: Path, *arguments: str, **variables: str | None) -> Done:
        """Run a command in a folder.

        :param variables: of the environment; None takes one away.
        """
        given = {name: value for name, value in (os.environ | variables).items() if value}
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": given,
            "output": [str(each) for each in self._output],
        }
        assert self._forks.stdin is not None and self._forks.stdout is not None
        self._forks.stdin.write(msgspec.json.encode(request).decode() + "\n")
        self._forks.stdin.flush()
        code = int(self._forks.stdout.readline())
        out, err = (each.read_text() for each in self._output)
        return Done(code, out, err)


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    script = Path(__file__).with_name("command_forks.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as forks:
        yield Commands(forks, tmp_path_factory.mktemp("commands"))
        assert forks.stdin is not None
        forks.stdin.close()


@pytest.fixture
def run(folder: Path, commands: Commands, mongo_server: MongoServer, mongo_db: Any) -> Run:
    """``run("plan", "models")``: the command as a process, on this test's database."""

    def command(*arguments: str, **variables: str | None) -> Done:
        return commands.run(folder, *arguments, **{"MONGODB_URI": mongo_server.uri, **variables})

    (folder / "pyproject.toml").write_text(f'[tool.mongospec]\ndatabase = "{mongo_db.name}"\n')
    return command
