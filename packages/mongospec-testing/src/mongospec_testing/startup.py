"""Waiting for a server that is starting."""

import time
from collections.abc import Callable
from typing import Protocol

from mongospec_testing.errors import ServerNotAvailableError

START_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_LINES = 20


class Starting(Protocol):
    """A server that is on its way."""

    def ended(self) -> str | None:
        """How it ended, if it did, as a clause: ``"ended with exit status 1"``."""
        ...

    def log(self) -> str:
        """What it has printed so far."""
        ...


def wait_for[T](server: Starting, what: str, probe: Callable[[], T | None]) -> T:
    """Ask ``probe`` until it gives something.

    :param what: what is waited for, for the error: ``"it answered"``.
    :raises ServerNotAvailableError: if the server ends, or nothing comes within a minute; with the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while (found := probe()) is None:
        trouble = server.ended()
        if trouble is None and time.monotonic() > deadline:
            trouble = f"took more than {START_SECONDS:.0f} s"
        if trouble is not None:
            words = "\n".join(server.log().splitlines()[-LOG_LINES:]) or "(none)"
            raise ServerNotAvailableError(
                f"the server {trouble} before {what}; its last words:\n{words}"
            )
        time.sleep(POLL_SECONDS)
    return found
