"""The command `mongospec-server`."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mongospec_testing import MongoServer, command
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
from tests.testing.conftest import Leftovers

COMMAND = [str(Path(sys.executable).with_name("mongospec-server"))]
SHOW = "import json, os, sys; print(json.dumps([os.environ['MONGODB_URI'], sys.argv[1:]]))"
# Says that it is there, and how it is ended.
PATIENT = """
import os, signal, sys, time
def end(number, frame):  # it may come while something is printed, so nothing buffered is used
    os.write(1, f"got {signal.Signals(number).name}\\n".encode())
    sys.exit(5)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
os.write(1, b"ready\\n")
time.sleep(100)
"""

# Makes its standard input the terminal of its session. Not `pty.fork()`: Pythons warn of a fork beside other threads, be
# it pytest's watchdog.
IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_runs_a_command_with_the_uri_of_a_server_and_leaves_nothing(
    leftovers: Leftovers,
) -> None:
    done = run("--server", "embedded", "--", sys.executable, "-c", SHOW, "a b", "--server", "--")
    assert (done.returncode, done.stderr) == (0, "")
    uri, arguments = json.loads(done.stdout)
    assert arguments == ["a b", "--server", "--"]
    assert ask(MongoUri.parse(uri).addresses[0], {"hello": 1}) is None
    assert leftovers.all() == []


def test_it_exits_with_the_exit_code_of_the_command(mongo_server: MongoServer) -> None:
    code = "import sys; sys.exit(42)"
    assert run("--server", mongo_server.uri, "--", sys.executable, "-c", code).returncode == 42


def test_it_exits_like_a_shell_when_a_signal_ended_the_command(mongo_server: MongoServer) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run("--server", mongo_server.uri, "--", sys.executable, "-c", code).returncode == 137


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_forwards_signals_and_waits_for_the_command(
    mongo_server: MongoServer, number: signal.Signals
) -> None:
    arguments = [*COMMAND, "--server", mongo_server.uri, "--", sys.executable, "-c", PATIENT]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"got {number.name}\n"
        assert process.wait(10) == 5


def test_ctrl_c_in_a_terminal_reaches_the_command_once(
    mongo_server: MongoServer,
) -> None:
    once = PATIENT.replace("    sys.exit(5)", "    time.sleep(0.5); sys.exit(5)")
    arguments = [*COMMAND, "--server", mongo_server.uri, "--", sys.executable, "-c", once]
    screen, terminal = pty.openpty()
    with (
        os.fdopen(screen, "rb+", buffering=0),
        subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        ) as process,
    ):
        os.close(terminal)
        assert b"ready" in read_until(screen, b"ready")
        os.write(screen, b"\x03")
        shown = read_until(screen, None)
        assert process.wait(10) == 5
    assert shown.count(b"got SIGINT") == 1


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    shown = b""
    while wanted is None or wanted not in shown:
        try:
            shown += os.read(terminal, 1024)
        except OSError:  # how a terminal says that nobody is there any more
            break
    return shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_command_it_prints_the_uri_and_serves_until_it_is_told_to_stop(
    leftovers: Leftovers, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--server", "embedded"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = MongoUri.parse(process.stdout.readline().strip()).addresses[0]
        assert ask(address, {"hello": 1}) is not None
        process.send_signal(number)
        assert process.wait(10) == 0
    assert ask(address, {"hello": 1}) is None
    assert leftovers.all() == []


def test_a_command_that_is_not_there_is_an_error_as_in_a_shell(
    mongo_server: MongoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_program = tmp_path / "text"
    no_program.write_text("no program")
    assert command.main(["--server", mongo_server.uri, "--", "no-such-program"]) == 127
    assert capsys.readouterr().err == "mongospec-server: no-such-program: command not found\n"
    assert command.main(["--server", mongo_server.uri, "--", str(no_program)]) == 126
    assert "Permission denied" in capsys.readouterr().err
    assert command.main(["--server", mongo_server.uri, "--"]) == 2
    assert "no command" in capsys.readouterr().err


def test_a_server_that_cannot_be_had_is_an_error_that_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--server", "mongodb://127.0.0.1:1/"]) == 1
    assert "nothing answers there" in capsys.readouterr().err
    assert command.main(["--server", "mongo"]) == 1
    assert "not a source of servers" in capsys.readouterr().err


def test_help_names_the_servers_and_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "uri, mongod, embedded, docker" in shown
    assert "mongospec-server --server embedded -- python examples/quick_start.py" in shown


def test_a_command_without_the_dashes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["python"])
    assert caught.value.code == 2
    assert "[-- COMMAND ...]" in capsys.readouterr().err
