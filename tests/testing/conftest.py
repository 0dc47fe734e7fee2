import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mongojet
import pytest

from mongospec_testing import MongoServer, guard
from mongospec_testing.clients import ClientFactory
from mongospec_testing.sources.embedded import EXECUTABLE

# The embedded server as a program: beside this interpreter or, if that is too new for it, on the PATH.
SECANTUSD = shutil.which(
    EXECUTABLE, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
FAKE_MONGOD = Path(__file__).with_name("fake_mongod.py")


@pytest.fixture
def direct_client(
    mongo_server: MongoServer, _mongo_clients: ClientFactory
) -> Iterator[mongojet.Client]:
    """A client that does not go through the test's proxy."""
    with _mongo_clients.client(mongo_server.uri) as client:
        yield client


@pytest.fixture
def direct_db(direct_client: mongojet.Client, mongo_db: mongojet.Database) -> mongojet.Database:
    """The test's database, past its proxy."""
    return direct_client[mongo_db.name]


@dataclass
class FakeMongod:
    """A `mongod` on the PATH that is the embedded server behind mongod's command line."""

    starts: Path
    monkeypatch: pytest.MonkeyPatch

    def command_lines(self) -> list[str]:
        return self.starts.read_text().splitlines()

    def exit_first_with(self, *statuses: int) -> None:
        self.monkeypatch.setenv("FAKE_MONGOD_EXITS", " ".join(map(str, statuses)))


@pytest.fixture
def fake_mongod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMongod:
    binary = tmp_path / "bin" / "mongod"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_MONGOD}" "$@"\n')
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{binary.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_MONGOD_STARTS", str(tmp_path / "starts"))
    monkeypatch.delenv("MONGOSPEC_TEST_URI", raising=False)
    monkeypatch.delenv("MONGOSPEC_MONGOD", raising=False)
    return FakeMongod(tmp_path / "starts", monkeypatch)


@dataclass
class Leftovers:
    """What servers left behind that had to put their files below one directory."""

    directory: Path

    def files(self) -> list[Path]:
        return list(self.directory.iterdir())

    def processes(self) -> list[str]:
        """The processes that name the directory on their command line or work in it."""
        found: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                home = str((process / "cwd").readlink())
                if str(self.directory) in f"{line} {home}":
                    found.append(line)
        return found

    def guards(self) -> list[int]:
        """The processes that stand between this one and the servers that run."""
        variable = f"TMPDIR={self.directory}\0".encode()
        found: list[int] = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes()
                if (
                    guard.__file__.encode() in line
                    and variable in (process / "environ").read_bytes()
                ):
                    found.append(int(process.name))
        return found

    def all(self) -> list[str]:
        return [*map(str, self.files()), *self.processes()]

    def gone(self) -> bool:
        return not self.all()


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leftovers:
    """Servers of this test have their directories where it can look."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("looks for processes in /proc, which this system has not")
    directory = tmp_path / "servers"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Leftovers(directory)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not become true"
            time.sleep(0.05)

    return wait
