"""How the proxy begins and ends."""

import asyncio
import gc
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mongojet
import pytest

from mongospec_testing import FaultProxy, MongoServer, ProxyError
from mongospec_testing.wire import ask


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_stopped_proxy_leaves_no_thread_no_socket_and_no_warning(
    mongo_server: MongoServer, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    threads, files = set(threading.enumerate()), open_files()
    for _ in range(3):
        with FaultProxy(mongo_server.uri) as proxy:
            host = (proxy.address.host, proxy.address.port)
            with socket.create_connection(host) as silent, socket.create_connection(host):
                assert ask(proxy.address, {"ping": 1}) is not None
                stalled = proxy.stall("ping")
                silent.sendall(b"\x10\x00\x00")  # a message that never ends
                assert ask(proxy.address, {"ping": 1}, timeout=0.1) is None
                assert len(stalled.hits) == 1
    gc.collect()  # what was not closed warns here
    assert set(threading.enumerate()) <= threads
    eventually(lambda: open_files() <= files)  # clients of other tests open and close some as well


def test_a_stopped_proxy_does_not_listen(mongo_server: MongoServer) -> None:
    with FaultProxy(mongo_server.uri) as proxy:
        address = proxy.address
        assert ask(address, {"ping": 1}) is not None
    assert ask(address, {"ping": 1}) is None
    proxy.stop()


def test_a_proxy_can_be_started_again_and_keeps_its_rules(mongo_server: MongoServer) -> None:
    proxy = FaultProxy(mongo_server.uri)
    rule = proxy.fail("ping", 50)
    for times in (1, 2):
        with proxy:
            reply = ask(proxy.address, {"ping": 1})
            assert reply is not None
            assert reply["code"] == 50
            assert len(rule.hits) == times


def test_a_proxy_whose_port_was_taken_meanwhile_says_so_and_can_be_started_later(
    mongo_server: MongoServer,
) -> None:
    with FaultProxy(mongo_server.uri) as first:
        port = first.address.port
    proxy = FaultProxy(mongo_server.uri, port=port)
    with proxy:
        pass
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        proxy.start()
    with proxy:
        assert ask(proxy.address, {"ping": 1}) is not None


def test_a_proxy_that_does_not_run_says_so(mongo_server: MongoServer) -> None:
    proxy = FaultProxy(mongo_server.uri)
    with pytest.raises(ProxyError, match="not running"):
        _ = proxy.uri
    with proxy, pytest.raises(ProxyError, match="running already"):
        proxy.start()


def test_the_port_can_be_chosen_and_a_taken_one_is_an_error(mongo_server: MongoServer) -> None:
    with FaultProxy(mongo_server.uri) as first:
        port = first.address.port
        with pytest.raises(OSError, match="in use"):
            FaultProxy(mongo_server.uri, port=port).start()
    with FaultProxy(mongo_server.uri, port=port) as second:
        assert f":{port}/" in second.uri


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("mongodb://127.0.0.1:1/", "nothing answers"),
        ("mongodb://127.0.0.1/?tls=true", "does not support TLS"),
        ("mongodb+srv://example.test/", "or mongodb\\+srv"),
    ],
)
def test_a_server_that_it_cannot_stand_in_front_of_is_an_error(uri: str, reason: str) -> None:
    with pytest.raises(ProxyError, match=reason):
        FaultProxy(uri).start()


def test_the_uri_keeps_credentials_database_and_options(mongo_server: MongoServer) -> None:
    hosts = mongo_server.uri.removeprefix("mongodb://").partition("/")[0]
    with FaultProxy(f"mongodb://ada:pw@{hosts}/app?retryWrites=false") as proxy:
        here = f"127.0.0.1:{proxy.address.port}"
        options = "retryWrites=false&serverMonitoringMode=poll"
        assert proxy.uri == f"mongodb://ada:pw@{here}/app?{options}"


def test_a_client_of_a_server_that_is_gone_is_not_left_waiting(mongo_server: MongoServer) -> None:
    inner = FaultProxy(mongo_server.uri).start()
    with FaultProxy(inner.uri) as outer:
        assert ask(outer.address, {"ping": 1}) is not None
        inner.stop()
        assert ask(outer.address, {"ping": 1}) is None


def test_a_predicate_that_raises_ends_the_connection_and_is_told_at_the_end(
    mongo_server: MongoServer,
) -> None:
    proxy = FaultProxy(mongo_server.uri).start()
    proxy.fail("ping", 50, where=lambda command: bool(command.body["no such field"]))
    assert ask(proxy.address, {"ping": 1}) is None
    with pytest.raises(ProxyError, match="a rule of the proxy failed: KeyError"):
        proxy.stop()


async def test_clients_that_go_away_at_any_moment_leave_no_trace(
    mongo_server: MongoServer, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultProxy(mongo_server.uri) as proxy:
        for wait in (0, 0.001, 0.003):
            client = await mongojet.create_client(proxy.uri)
            tasks = [asyncio.create_task(client["x"]["y"].find_one({})) for _ in range(5)]
            await asyncio.sleep(wait)
            await client.close()
            await asyncio.gather(*tasks, return_exceptions=True)
        proxy.disconnect()
    assert caplog.records == []


def test_connections_that_come_while_the_proxy_stops_are_closed(mongo_server: MongoServer) -> None:
    for _ in range(20):
        proxy = FaultProxy(mongo_server.uri).start()
        host = (proxy.address.host, proxy.address.port)
        clients = [socket.create_connection(host) for _ in range(10)]
        proxy.stop()
        for client in clients:
            client.settimeout(5)
            with client, suppress(ConnectionResetError):
                assert client.recv(1) == b""
    gc.collect()  # what was not closed warns here
