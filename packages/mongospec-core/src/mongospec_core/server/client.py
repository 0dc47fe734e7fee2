"""The state of a client: its calls in flight, and whether it can be used."""

import asyncio
import os
import time
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import mongojet
from bson.codec_options import CodecOptions

from mongospec_core.errors import ServerUnavailableError
from mongospec_core.server.driver import client_of, core_of, write_concern_of
from mongospec_core.server.timeout import end_of

_STEP = 0.005
_FORKED = (
    "the driver was in use before os.fork(), its threads stayed in the parent, and any call in this "
    "process would hang; start workers by spawn, or fork before the first client is created"
)


class ClientState:
    """The calls in flight on a client, and why it cannot be used (None if it can).

    ``silent``: a call was given up or found no server, so the next one may wait in the driver.
    """

    __slots__ = ("__weakref__", "in_flight", "silent", "unusable")

    def __init__(self, unusable: str | None = None) -> None:
        self.in_flight: set[object] = set()  # its changes are atomic, clients work across threads
        self.silent: bool = False
        self.unusable: str | None = unusable


_used = False  # whether the driver was used in this process: its threads live as long
_forked: str | None = None  # why no client can be used in this process
_states: MutableMapping[mongojet.Client, ClientState] = WeakKeyDictionary()


def state_of(client: mongojet.Client) -> ClientState:
    """Return the state that all targets of *client* share."""
    _note_use()
    return _states.setdefault(client, ClientState(_forked))


async def drain(client: mongojet.Client, seconds: float) -> None:
    """Wait until nothing is in flight on *client*, at most *seconds*."""
    state = state_of(client)
    end = time.monotonic() + seconds
    while state.in_flight and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(_STEP)  # no event: the calls may run in other loops and threads


def refuse_after_fork(what: str) -> None:
    """Refuse to use the driver in a forked child of a process that used it: calls would hang.

    It also marks the driver as used: it is called just before a client is created.

    :raises ServerUnavailableError: this is such a child.
    """
    if _forked is not None:
        raise ServerUnavailableError(f"{what}: {_forked}", outcome="not_applied")
    _note_use()


def _note_use() -> None:
    global _used  # noqa: PLW0603 - it is a state of the process
    _used = True


def _after_fork() -> None:
    global _forked  # noqa: PLW0603
    if _used:
        _forked = _FORKED
        for state in _states.values():
            state.unusable = _FORKED


os.register_at_fork(after_in_child=_after_fork)


class Target:
    """A collection, the client that it belongs to, and its codec options."""

    __slots__ = (
        "client",
        "codec",
        "collection",
        "core",
        "database",
        "database_core",
        "name",
        "owner",
        "place",
        "state",
        "timeout",
        "write_concern",
    )

    def __init__(
        self,
        owner: str,
        database: mongojet.Database,
        name: str,
        codec: CodecOptions[dict[str, Any]],
        timeout: float | None,
        place: Any = None,
    ) -> None:
        self.place: Any = place  # a Place, if it is not the database of init()
        self.owner: str = owner  # the class's name, for messages
        self.database: mongojet.Database = database
        self.client: mongojet.Client = client_of(database)
        self.state: ClientState = state_of(self.client)
        self.name: str = name
        self.codec: CodecOptions[dict[str, Any]] = codec
        end_of(timeout)  # refuses what is not a number of seconds
        self.timeout: float | None = timeout
        collections: Any = database  # the driver's annotation leaves the codec's type out
        self.collection: mongojet.Collection = collections.get_collection(name, codec_options=codec)
        self.core: Any = core_of(self.collection)
        self.database_core: Any = core_of(database)
        self.write_concern: dict[str, Any] | None = write_concern_of(self.collection)
