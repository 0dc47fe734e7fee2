"""A real ``mongod``."""

import os
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager

from mongospec_testing import replica_set
from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.process import GuardedProcess
from mongospec_testing.uri import Address

VARIABLE = "MONGOSPEC_MONGOD"
# What mongod ends with when its port is taken: another process was faster between our choice and its start.
PORT_TAKEN_STATUS = 48
ATTEMPTS = 3


class MongodSource:
    """The ``mongod`` that ``MONGOSPEC_MONGOD`` names, or the first one on the PATH."""

    def __init__(self) -> None:
        self._wanted = os.environ.get(VARIABLE) or "mongod"
        self._binary = shutil.which(self._wanted)

    def missing(self) -> str | None:
        """Say what is missing and how to get it; ``None`` if nothing is."""
        if self._binary is not None:
            return None
        if self._wanted != "mongod":
            return f"{VARIABLE} names {self._wanted!r}, which is not a program that can be run"
        return (
            f"there is no mongod on the PATH, and {VARIABLE} names none; install MongoDB Community Server "
            "(https://www.mongodb.com/try/download/community)"
        )

    @contextmanager
    def serve(self) -> Generator[str]:
        """Start it, as a replica set of one member."""
        with self._start() as address:
            yield f"mongodb://{address}/"

    @contextmanager
    def _start(self) -> Generator[Address]:
        assert self._binary is not None
        for attempt in range(1, ATTEMPTS + 1):
            address = Address("127.0.0.1", free_port())
            with GuardedProcess(command_line(self._binary, address.port)) as process:
                try:
                    replica_set.initiate(process, address, member=address)
                except ServerNotAvailableError:
                    if process.exit_status == PORT_TAKEN_STATUS and attempt < ATTEMPTS:
                        continue
                    raise
                yield address
                return


def command_line(binary: str, port: int) -> list[str]:
    """Return the command line of a ``mongod``: small, on this machine only, with fail points."""
    command = [binary, "--dbpath", "{dir}", "--port", str(port), "--bind_ip", "127.0.0.1"]
    command += ["--replSet", replica_set.NAME, "--oplogSize", "64"]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "enableTestCommands=1"]
    if os.name == "posix":
        # Its socket file would lie in /tmp, and stay there when the server is killed.
        command.append("--nounixsocket")
    return command


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
