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
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
LOG_NAME = "server.log"
STATUS_NAME = "exit-status"


def main(command: Sequence[str]) -> None:
    parent = os.getppid()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    directory = tempfile.mkdtemp(prefix="mongospec-")
    try:
        server = _start([part.replace("{dir}", directory) for part in command], directory)
        try:
            print(directory, flush=True)
            threading.Thread(target=_note_end, args=(server, directory), daemon=True).start()
            threading.Thread(target=_wait_for_end_of_input, args=(stopped,), daemon=True).start()
            # A process forked by the parent may hold the pipe open after the parent is gone: so look for that as well.
            while not stopped.wait(1) and os.getppid() == parent:
                pass
        finally:
            _kill(server)
    finally:
        _remove(directory)


def _start(command: Sequence[str], directory: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    with open(os.path.join(directory, LOG_NAME), "wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            start_new_session=True,  # a group of its own, so that a wrapper script dies with what it started
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )


def _die_with_parent() -> object:
    libc = ctypes.CDLL(None)  # loaded before the fork: the child may only call it
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_end_of_input(stopped: threading.Event) -> None:
    while os.read(0, 64):
        pass
    stopped.set()


def _note_end(server: subprocess.Popen[bytes], directory: str) -> None:
    status = server.wait()
    # Renamed into place, so that a reader sees the whole number or nothing.
    unfinished = os.path.join(directory, STATUS_NAME + ".new")
    try:
        with open(unfinished, "w") as file:
            file.write(str(status))
        os.replace(unfinished, os.path.join(directory, STATUS_NAME))
    except OSError:
        pass  # the directory is being removed: nobody asks any more


def _kill(server: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        server.kill()
    server.wait()


def _remove(directory: str) -> None:
    # A killed process may still be letting go of its files (always on Windows), so a failure is tried again.
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.exists(directory):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1:])
