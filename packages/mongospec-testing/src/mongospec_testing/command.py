"""The command ``mongospec-server``: start a MongoDB, or run a command with one."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.server import MongoServer
from mongospec_testing.sources import SOURCES

VARIABLE = "MONGODB_URI"

DESCRIPTION = f"""\
Start a MongoDB, print its URI and keep it until Ctrl-C. With a command after --, run that with {VARIABLE} set to the
URI instead, stop the server when it ends, and exit with its exit code.
"""
EPILOG = """\
examples:
  mongospec-server
  mongospec-server --server embedded -- python examples/quick_start.py

Without --server, the first available: the server that MONGOSPEC_TEST_URI names, a mongod on the PATH (or the one
that MONGOSPEC_MONGOD names), the embedded server, Docker.
"""

# The exit codes of a shell for a command that it cannot find, and for one that it cannot run.
NOT_FOUND, NOT_RUNNABLE = 127, 126
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: the command line; without it, the process's own.
    :returns: the exit code: that of the command that was run; 0 after Ctrl-C or SIGTERM if there was none; 1 if
        no server is available.
    """
    own, command = _split(list(sys.argv[1:] if arguments is None else arguments))
    options = _parser().parse_args(own)
    try:
        with MongoServer(options.server) as server:
            return _serve(server) if command is None else _run(command, server.uri)
    except (ServerNotAvailableError, ValueError) as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:  # while the server was starting
        return 128 + signal.SIGINT


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mongospec-server",
        usage="%(prog)s [--server NAME] [-- COMMAND ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(SOURCES)
    parser.add_argument(
        "--server", metavar="NAME", help=f"one of {names}, or the mongodb:// URI of one that runs"
    )
    return parser


def _serve(server: MongoServer) -> int:
    stopped = threading.Event()
    with _handling(lambda _: stopped.set()):
        print(server.uri, flush=True)  # noqa: T201 - this is what the command is for
        while not stopped.wait(1):  # in steps: on Windows, Ctrl-C does not interrupt a wait
            pass
    return 0


def _run(command: list[str], uri: str) -> int:
    if not command:
        return _complain("no command follows --", 2)
    try:
        child = subprocess.Popen(command, env={**os.environ, VARIABLE: uri})
    except FileNotFoundError:
        return _complain(f"{command[0]}: command not found", NOT_FOUND)
    except OSError as error:
        return _complain(f"{command[0]}: {error.strerror}", NOT_RUNNABLE)

    def forward(number: int) -> None:
        # Ctrl-C in a terminal is for all processes of the foreground group: the child has it already.
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    with _handling(forward):
        status = child.wait()
    return status if status >= 0 else 128 - status  # as a shell says "ended by a signal"


def _in_foreground() -> bool:
    if os.name != "posix":
        return True
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False


@contextmanager
def _handling(handle: Callable[[int], object]) -> Generator[None]:
    def handler(number: int, _frame: FrameType | None) -> None:
        handle(number)

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


def _complain(message: str, status: int) -> int:
    print(f"mongospec-server: {message}", file=sys.stderr)  # noqa: T201 - it is a command
    return status
