"""A server process that ends with the process which started it (see :mod:`mongospec_testing.guard`)."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mongospec_testing import guard
from mongospec_testing.errors import ServerNotAvailableError

START_SECONDS = 60.0
POLL_SECONDS = 0.02


class GuardedProcess:
    """Run a command in a temporary directory until :meth:`stop`, or until this process is gone.

    :param command: the command line; ``{dir}`` in an argument stands for the temporary directory.
    :raises ServerNotAvailableError: if the command cannot be started at all.
    """

    directory: Path

    def __init__(self, command: Sequence[str]) -> None:
        self._name = command[0]
        self._owner = os.getpid()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for the tests, the guard goes after them
        )
        try:
            self.directory = Path(self._first_line())
        except BaseException:
            self.stop()
            raise

    def _first_line(self) -> str:
        assert self._guard.stdout is not None and self._guard.stderr is not None
        line = self._guard.stdout.readline().decode().rstrip("\r\n")
        if not line:
            message = self._guard.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ServerNotAvailableError(f"{self._name!r} could not be started: {message}")
        return line

    @property
    def exit_status(self) -> int | None:
        """The server's exit status if it ended by itself, else ``None``."""
        with suppress(FileNotFoundError):
            return int((self.directory / guard.STATUS_NAME).read_text())
        return None

    def log(self) -> str:
        """What the server has printed so far."""
        with suppress(FileNotFoundError):
            return (self.directory / guard.LOG_NAME).read_text(errors="replace")
        return ""

    def wait_for[T](self, what: str, probe: Callable[[], T | None]) -> T:
        """Ask ``probe`` until it gives something.

        :param what: what is waited for, for the error.
        :raises ServerNotAvailableError: if the server ends by itself or nothing came within a minute; with the end
            of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while (found := probe()) is None:
            status = self.exit_status
            if status is not None or time.monotonic() > deadline:
                reason = "took more than a minute" if status is None else f"ended with exit status {status}"
                raise ServerNotAvailableError(f"{self._name!r} {reason} before {what}; its last words:\n{self._tail()}")
            time.sleep(POLL_SECONDS)
        return found

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-20:]) or "(none)"

    def stop(self) -> None:
        """Kill the server and remove its directory; harmless when repeated, and in a forked child."""
        if os.getpid() != self._owner:
            return
        guarding = self._guard
        assert guarding.stdin is not None and guarding.stdout is not None and guarding.stderr is not None
        with suppress(OSError):
            guarding.stdin.close()
        guarding.wait()
        guarding.stdout.close()
        guarding.stderr.close()
        if hasattr(self, "directory"):  # gone already, unless somebody killed the guard
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
