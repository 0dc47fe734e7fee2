"""SecantusDB: a server that pip installs. It runs in a process of its own and is never imported here."""

import re
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mongospec_testing.process import GuardedProcess
from mongospec_testing.startup import wait_for
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
EXECUTABLE = "secantusd-py"
# SecantusDB has wheels up to this Python; for a newer one it runs as a program of its own.
NEWEST_PYTHON = (3, 13)
# Starts the one of this environment; the first argument is its folder. Given a configuration file, an empty one
# of its own, it reads no other, such as one in the user's home. It looks through what it has noted of earlier writes
# at every write, to know those that a driver repeats: ten thousand of them make it eight times slower.
LAUNCH = """
import pathlib, runpy, sys
from secantus import transactions
transactions._RETRYABLE_RECORD_LIFETIME_SECONDS = 5.0
home = pathlib.Path(sys.argv[1])
(home / "secantusd.toml").touch()
sys.argv = ["secantus", "--config", str(home / "secantusd.toml"), *sys.argv[2:]]
runpy.run_module("secantus", run_name="__main__")
"""
# fmt: off
FLAGS = [
    "--host", "127.0.0.1", "--storage-path", "{dir}/data",
    "--cache-size", "64M", "--enable-test-commands", "--log-level", "INFO",
]
# fmt: on


class EmbeddedSource:
    """SecantusDB, with transactions and fail points, on a port that the system chooses.

    Taken from this environment, else from the PATH: ``uv tool install`` puts it there, with a Python of its own.
    """

    def missing(self) -> str | None:
        """Say what is missing and how to get it; ``None`` if nothing is."""
        if _program() is not None:
            return None
        if sys.version_info[:2] <= NEWEST_PYTHON:
            return (
                f"the package secantusdb is not installed, and there is no {EXECUTABLE} on the PATH; "
                "pip install 'mongospec-testing[embedded]'"
            )
        return (
            f"there is no {EXECUTABLE} on the PATH, and secantusdb has no wheel for Python "
            f"{sys.version_info[0]}.{sys.version_info[1]}; let it run with a Python of its own, "
            "`uv tool install --python 3.13 'secantusdb>=0.7.0b3'`, or take another server: a mongod on the PATH, "
            "Docker, or the one that MONGOSPEC_TEST_URI names"
        )

    @contextmanager
    def serve(self) -> Generator[str]:
        """Start it; it is a replica set of one member by itself."""
        with GuardedProcess(command_line(0)) as process:
            said = wait_for(process, "it printed its port", lambda: LISTENING.search(process.log()))
            address = Address("127.0.0.1", int(said[1]))
            wait_for(process, "it answered", partial(ask, address, {"hello": 1}))
            yield f"mongodb://{address}/"


def command_line(port: int) -> list[str]:
    """Return the command line of a SecantusDB: small, on this machine only, with fail points.

    :param port: where it listens; 0 lets the system choose.
    """
    program = _program()
    assert program is not None
    return [*program, "--port", str(port), *FLAGS]


def _program() -> list[str] | None:
    if find_spec("secantus") is not None:
        return [sys.executable, "-c", LAUNCH, "{dir}"]
    executable = shutil.which(EXECUTABLE)
    if executable is None:
        return None
    return [executable, "--config", str(Path(__file__).with_name("secantusd.toml"))]
