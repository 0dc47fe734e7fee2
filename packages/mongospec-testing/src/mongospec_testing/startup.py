"""Wait for a server that is starting."""

import time
from collections.abc import Callable
from typing import Protocol

from mongospec_testing.errors import ServerNotAvailableError

START_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_LINES = 20


class Starting(Protocol):
    """A server that is starting."""

    def ended(self) -> str | None:
        """How it ended, if it did, as a clause: ``"ended with exit status 1"``."""
        ...

    def log(self) -> str:
        """What it has printed so far."""
        ...


def wait_for[T](server: Starting, what: str, probe: Callable[[], T | None]) -> T:
    """Call *probe* until it returns something other than ``None``, and return that.

    :param what: the event, for the error: ``"it answered"``.
    :raises ServerNotAvailableError: if the server ends, or a minute passes; with the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while (found := probe()) is None:
        trouble = server.ended()
        if trouble is None and time.monotonic() > deadline:
            trouble = f"took more than {START_SECONDS:.0f} s"
        if trouble is not None:
            words = "\n".join(server.log().splitlines()[-LOG_LINES:]) or "(none)"
            raise ServerNotAvailableError(
                f"the server {trouble} before {what}; the end of its log:\n{words}"
            )
        time.sleep(POLL_SECONDS)
    return found
