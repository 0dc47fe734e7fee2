"""A real ``mongod``, as a replica set of one member, because only replica sets have transactions."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.process import GuardedProcess
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

VARIABLE = "MONGOSPEC_MONGOD"
REPLICA_SET = "rs0"
# What mongod ends with when its port is taken: another process was faster between our choice and its start.
PORT_TAKEN_STATUS = 48
ATTEMPTS = 3


class MongodSource:
    """The ``mongod`` that ``MONGOSPEC_MONGOD`` names, or the first one on the PATH."""

    def __init__(self) -> None:
        self._wanted = os.environ.get(VARIABLE) or "mongod"
        self._binary = shutil.which(self._wanted)

    def missing(self) -> str | None:
        if self._binary is not None:
            return None
        if self._wanted != "mongod":
            return f"{VARIABLE} names {self._wanted!r}, which is no program that can be run"
        return (
            f"there is no mongod on the PATH, and {VARIABLE} is not set; "
            "install MongoDB Community Server (https://www.mongodb.com/try/download/community)"
        )

    @contextmanager
    def serve(self) -> Iterator[str]:
        with self._start() as (process, address):
            initiate_replica_set(process, address)
            yield f"mongodb://{address}/"

    @contextmanager
    def _start(self) -> Iterator[tuple[GuardedProcess, Address]]:
        for attempt in range(1, ATTEMPTS + 1):
            address = Address("127.0.0.1", free_port())
            with GuardedProcess(self._command(address.port)) as process:
                try:
                    process.wait_for("it answered", lambda address=address: ask(address, {"hello": 1}))
                except ServerNotAvailableError:
                    if process.exit_status == PORT_TAKEN_STATUS and attempt < ATTEMPTS:
                        continue
                    raise
                yield process, address
                return

    def _command(self, port: int) -> list[str]:
        assert self._binary is not None
        command = [self._binary, "--dbpath", "{dir}", "--port", str(port), "--bind_ip", "127.0.0.1"]
        command += ["--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--setParameter", "enableTestCommands=1"]  # fail points
        if os.name == "posix":
            command.append("--nounixsocket")  # it would lie in /tmp and stay there when the server is killed
        return command


def initiate_replica_set(process: GuardedProcess, address: Address) -> None:
    """Make a fresh ``mongod`` the primary of a replica set of its own.

    :raises ServerNotAvailableError: if it refuses, or does not become primary.
    """
    config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": str(address)}]}
    reply = process.wait_for("it took replSetInitiate", lambda: ask(address, {"replSetInitiate": config}, timeout=30))
    if not reply.get("ok"):
        raise ServerNotAvailableError(f"mongod refused replSetInitiate: {reply.get('errmsg', reply)}")
    process.wait_for("it became primary", lambda: _primary(ask(address, {"hello": 1})))


def _primary(hello: Mapping[str, Any] | None) -> bool | None:
    return True if hello is not None and hello.get("isWritablePrimary") else None


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
