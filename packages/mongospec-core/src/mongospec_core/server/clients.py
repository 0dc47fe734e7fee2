"""What must be known of a client as a whole: what is in flight on it, and whether it can be used."""

import asyncio
import os
import time
from collections.abc import MutableMapping
from weakref import WeakKeyDictionary

import mongojet

_STEP = 0.005
_FORKED = (
    "its client was made before os.fork(): the driver's threads stayed in the parent, and every call "
    "would hang, also that of a new client; fork before the first client is made, or start the child "
    "anew (multiprocessing's \"spawn\")"
)


class ClientState:
    """Of one client: the calls in flight, and why it cannot be used (None where it can)."""

    __slots__ = ("__weakref__", "in_flight", "unusable")

    def __init__(self) -> None:
        self.in_flight: set[object] = set()  # its changes are atomic, clients work across threads
        self.unusable: str | None = None


_states: MutableMapping[mongojet.Client, ClientState] = WeakKeyDictionary()


def state_of(client: mongojet.Client) -> ClientState:
    """The state that all targets of *client* share."""
    return _states.setdefault(client, ClientState())


async def drain(client: mongojet.Client, seconds: float) -> None:
    """Wait until nothing is in flight on *client*, at most *seconds*."""
    state = state_of(client)
    end = time.monotonic() + seconds
    while state.in_flight and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(_STEP)  # no event: the calls may be of other loops and threads


def _after_fork() -> None:
    for state in _states.values():
        state.unusable = _FORKED


os.register_at_fork(after_in_child=_after_fork)
