"""The process between a test run and the server that it started: no run leaves a server or a directory behind.

Run as a script, on the standard library alone, never imported: ``python -I -S guard.py <command ...>``. It makes a
temporary directory, starts the command in it (``{dir}`` in an argument stands for that directory), prints the
directory and then waits for the end of its standard input. The other end of that pipe is held by the process that
wants the server, so the pipe ends whichever way that process goes: a clean stop, a signal, or a SIGKILL that
nobody can catch. Then the server is killed and the directory removed.

In the directory: ``server.log`` has what the server printed, ``exit-status`` appears if it ends by itself.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
LOG_NAME = "server.log"
STATUS_NAME = "exit-status"


def main(command: Sequence[str]) -> None:
    parent = os.getppid()
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    directory = Path(tempfile.mkdtemp(prefix="mongospec-"))
    try:
        server = _start([part.replace("{dir}", str(directory)) for part in command], directory)
        try:
            print(directory, flush=True)  # noqa: T201 - this is what the parent waits for
            threading.Thread(target=_note_end, args=(server, directory), daemon=True).start()
            threading.Thread(target=_wait_for_end_of_input, args=(stopped,), daemon=True).start()
            # A process forked by the parent may hold the pipe open after the parent is gone: so look for that too.
            while not stopped.wait(1) and os.getppid() == parent:
                pass
        finally:
            _kill(server)
    finally:
        _remove(directory)


def _start(command: Sequence[str], directory: Path) -> subprocess.Popen[bytes]:
    before_exec = _die_with_parent() if sys.platform == "linux" else None
    with (directory / LOG_NAME).open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            # The strictness of a test run is not for the server.
            env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
            start_new_session=True,  # a group of its own: a wrapper script dies with what it started
            preexec_fn=before_exec,  # noqa: PLW1509 - no thread runs yet
        )


def _die_with_parent() -> Callable[[], object]:
    libc = ctypes.CDLL(None)  # loaded before the fork: the child may only call it
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_end_of_input(stopped: threading.Event) -> None:
    while os.read(0, 64):
        pass
    stopped.set()


def _note_end(server: subprocess.Popen[bytes], directory: Path) -> None:
    status = server.wait()
    with suppress(OSError):  # the directory may already be gone
        unfinished = directory / f"{STATUS_NAME}.new"
        unfinished.write_text(str(status))
        unfinished.replace(directory / STATUS_NAME)  # a reader sees the whole number or nothing


def _kill(server: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
    else:
        server.kill()
    server.wait()


def _remove(directory: Path) -> None:
    # A killed process may still be letting go of its files (always on Windows): then try again.
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1:])
