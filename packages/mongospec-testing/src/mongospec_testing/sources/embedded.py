"""SecantusDB: a server that pip installs. It runs in a process of its own and is never imported here."""

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from mongospec_testing.process import GuardedProcess
from mongospec_testing.startup import wait_for
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
# Runs the command `secantus`, with a configuration file of its own: else one in the user's home would have its say
# in the tests. Only the process itself knows the directory that the file lies in.
LAUNCH = """
import pathlib, runpy, sys
home = pathlib.Path(sys.argv[1])
(home / "secantusd.toml").touch()
sys.argv = ["secantus", "--config", str(home / "secantusd.toml"), *sys.argv[2:]]
runpy.run_module("secantus", run_name="__main__")
"""
# fmt: off
FLAGS = [
    "--host", "127.0.0.1", "--port", "0", "--storage-path", "{dir}/data",
    "--cache-size", "64M", "--enable-test-commands", "--log-level", "INFO",
]
# fmt: on


class EmbeddedSource:
    """The ``secantusdb`` of this environment, with transactions and fail points, on a port the system chooses."""

    def missing(self) -> str | None:
        """What is missing, if anything is."""
        if find_spec("secantus") is None:
            return (
                "the package secantusdb is not installed; pip install 'mongospec-testing[embedded]'"
            )
        return None

    @contextmanager
    def serve(self) -> Generator[str]:
        """Start it; it is a replica set of one member by itself."""
        with GuardedProcess([sys.executable, "-c", LAUNCH, "{dir}", *FLAGS]) as process:
            said = wait_for(
                process, "it said where it listens", lambda: LISTENING.search(process.log())
            )
            address = Address("127.0.0.1", int(said[1]))
            wait_for(process, "it answered", partial(ask, address, {"hello": 1}))
            yield f"mongodb://{address}/"
