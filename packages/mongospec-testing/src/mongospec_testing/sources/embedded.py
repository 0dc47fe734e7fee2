"""SecantusDB: a server that pip installs. It runs in a process of its own and is never imported here."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from mongospec_testing.process import GuardedProcess
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class EmbeddedSource:
    """The ``secantusdb`` of this environment, with transactions and fail points, on a port the system chooses."""

    def missing(self) -> str | None:
        if find_spec("secantus") is None:
            return "the package secantusdb is not installed; pip install 'mongospec-testing[embedded]'"
        return None

    @contextmanager
    def serve(self) -> Iterator[str]:
        with GuardedProcess(_command()) as process:
            port = process.wait_for("it said where it listens", lambda: LISTENING.search(process.log()))
            address = Address("127.0.0.1", int(port[1]))
            process.wait_for("it answered", lambda: ask(address, {"hello": 1}))
            yield f"mongodb://{address}/"


def _command() -> list[str]:
    # Without --config, a secantusd.toml in the home directory would decide about the server of the tests.
    return [sys.executable, "-c", LAUNCH, "{dir}"]


# The configuration file has to exist, and only the child knows its directory.
LAUNCH = """
import pathlib, runpy, sys
home = pathlib.Path(sys.argv[1])
(home / "secantusd.toml").touch()
sys.argv = [
    "secantus", "--config", str(home / "secantusd.toml"), "--host", "127.0.0.1", "--port", "0",
    "--storage-path", str(home / "data"), "--cache-size", "64M", "--enable-test-commands", "--log-level", "INFO",
]
runpy.run_module("secantus", run_name="__main__")
"""
