"""A server process that ends with the process which started it (see :mod:`mongospec_testing.guard`)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from mongospec_testing import guard
from mongospec_testing.errors import ServerNotAvailableError


class GuardedProcess:
    """Run a command in a temporary directory until :meth:`stop`, or until this process is gone.

    :param command: the command line; ``{dir}`` in an argument stands for the temporary directory.
    :raises ServerNotAvailableError: if the command cannot be started at all.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.directory: Path | None = None
        self._owner = os.getpid()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for the tests; the guard ends after them
        )
        try:
            self.directory = self._read_directory(command[0])
        except BaseException:
            self.stop()
            raise

    def _read_directory(self, name: str) -> Path:
        assert self._guard.stdout is not None
        assert self._guard.stderr is not None
        line = self._guard.stdout.readline().decode().rstrip("\r\n")
        if not line:
            reason = self._guard.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ServerNotAvailableError(f"{name!r} could not be started: {reason}")
        return Path(line)

    @property
    def exit_status(self) -> int | None:
        """The server's exit status if it ended by itself, else ``None``."""
        text = self._read(guard.STATUS_NAME)
        return int(text) if text else None

    def ended(self) -> str | None:
        """How the server ended, if it did so by itself."""
        status = self.exit_status
        return None if status is None else f"ended with exit status {status}"

    def log(self) -> str:
        """What the server has printed so far."""
        return self._read(guard.LOG_NAME)

    def _read(self, name: str) -> str:
        with suppress(FileNotFoundError):
            if self.directory is not None:
                return (self.directory / name).read_text(errors="replace")
        return ""

    def stop(self) -> None:
        """Kill the server and remove its directory; harmless when repeated, and in a forked child."""
        if os.getpid() != self._owner:
            return
        with self._guard:  # closes the pipes, which tells the guard to end, and waits for it
            pass
        if self.directory is not None:  # gone already, unless somebody killed the guard
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
