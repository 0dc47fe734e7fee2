"""No process and no directory stays, whichever way the process that started the server goes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
from tests.testing.conftest import FakeMongod, Leftovers

type Eventually = Callable[[Callable[[], bool]], None]

HOLDER = """
import sys, time
from mongospec_testing import MongoServer
with MongoServer(sys.argv[1]) as server:
    print(server.uri, flush=True)
    time.sleep(100)
"""


def answers(uri: str) -> bool:
    return ask(MongoUri.parse(uri).addresses[0], {"hello": 1}) is not None


def test_leaving_the_block_leaves_nothing(leftovers: Leftovers) -> None:
    with MongoServer("embedded") as server:
        uri = server.uri
        assert answers(uri)
        assert leftovers.files()
        assert leftovers.processes()
    assert not answers(uri)
    assert leftovers.all() == []


def test_an_exception_in_the_block_leaves_nothing(leftovers: Leftovers) -> None:
    with pytest.raises(ZeroDivisionError), MongoServer("embedded"):
        raise ZeroDivisionError
    assert leftovers.all() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_process_that_started_it_leaves_nothing(
    leftovers: Leftovers, eventually: Eventually, number: signal.Signals
) -> None:
    check_that_nothing_is_left("embedded", number, leftovers, eventually)


def test_sigkill_leaves_nothing_of_a_fake_mongod_that_has_children_of_its_own(
    fake_mongod: FakeMongod, leftovers: Leftovers, eventually: Eventually
) -> None:
    check_that_nothing_is_left("mongod", signal.SIGKILL, leftovers, eventually)


def check_that_nothing_is_left(
    source: str, number: signal.Signals, leftovers: Leftovers, eventually: Eventually
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, source],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        uri = holder.stdout.readline().strip()
        assert answers(uri)
        assert leftovers.files()
        assert leftovers.processes()
        holder.send_signal(number)
        assert holder.wait(30) != 0
    eventually(leftovers.gone)
    assert not answers(uri)


def test_ctrl_c_in_a_terminal_while_the_server_starts_leaves_nothing(
    leftovers: Leftovers, eventually: Eventually
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, "embedded"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as holder:
        eventually(lambda: bool(leftovers.files()))
        os.killpg(holder.pid, signal.SIGINT)  # what a terminal does: to the whole process group
        assert holder.wait(30) != 0
    eventually(leftovers.gone)


def test_the_server_survives_ctrl_c_to_the_group_until_the_block_is_left(
    leftovers: Leftovers,
) -> None:
    code = """
import os, signal
from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
with MongoServer("embedded") as server:
    try:
        os.killpg(os.getpgrp(), signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt:
        print("answers" if ask(MongoUri.parse(server.uri).addresses[0], {"hello": 1}) else "gone")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "answers"
    assert leftovers.all() == []


def test_a_forked_child_that_stops_the_server_stops_only_its_own_copy(
    leftovers: Leftovers,
) -> None:
    code = """
import os
from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
with MongoServer("embedded") as server:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    print("answers" if ask(MongoUri.parse(server.uri).addresses[0], {"hello": 1}) else "gone")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "answers"
    assert leftovers.all() == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's death signal")
def test_even_a_killed_guard_takes_the_server_with_it(
    leftovers: Leftovers, eventually: Eventually
) -> None:
    with MongoServer("embedded") as server:
        uri = server.uri
        [guard] = leftovers.guards()
        os.kill(guard, signal.SIGKILL)
        eventually(lambda: not answers(uri))
    assert leftovers.all() == []
