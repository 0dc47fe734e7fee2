"""The pytest plugin: a server for the session, and a client and a database for each test.

The driver and the server are imported when a fixture is first used, so that a run without them pays nothing.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import mongojet

    from mongospec_testing.clients import ClientFactory
    from mongospec_testing.proxy import FaultProxy
    from mongospec_testing.server import MongoServer
    from mongospec_testing.traffic import MaxQueries

# Whether a test's client goes straight to the server.
_DIRECT = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--mongo-server`` and the setting ``mongo_server``."""
    text = (
        "the source of mongo_server: uri, mongod, embedded, docker, or the mongodb:// URI of a server that runs "
        "(default: the first available)"
    )
    parser.getgroup("mongospec").addoption("--mongo-server", metavar="SOURCE", help=text)
    parser.addini("mongo_server", text)


@pytest.fixture(scope="session")
def mongo_server(pytestconfig: pytest.Config) -> Iterator[MongoServer]:
    """A MongoDB for the whole session (each xdist worker has its own, unless a URI was given)."""
    from mongospec_testing.server import MongoServer

    source = pytestconfig.getoption("--mongo-server") or pytestconfig.getini("mongo_server") or None
    with MongoServer(source) as server:
        yield server


@pytest.fixture(scope="session")
def _mongo_clients(mongo_server: MongoServer) -> Iterator[ClientFactory]:
    from mongospec_testing.clients import ClientFactory
    from mongospec_testing.loop_thread import LoopThread

    with LoopThread("mongospec-clients") as loop:
        clients = ClientFactory(mongo_server.uri, loop)
        try:
            yield clients
        finally:
            clients.close()


@pytest.fixture
def mongo_proxy(mongo_server: MongoServer, request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """A :class:`~mongospec_testing.FaultProxy` in front of the server, which this test's client goes through."""
    from mongospec_testing.proxy import FaultProxy

    if request.node.stash.get(_DIRECT, False):
        pytest.fail(
            "mongo_proxy came after mongo_client, by getfixturevalue: name it in the test's arguments"
        )
    with FaultProxy(mongo_server.uri) as proxy:
        yield proxy


@pytest.fixture
def max_queries(mongo_proxy: FaultProxy) -> MaxQueries:
    """Limit the queries of a block, as :meth:`FaultProxy.max_queries` does."""
    return mongo_proxy.max_queries


@pytest.fixture
def mongo_client(
    mongo_server: MongoServer, _mongo_clients: ClientFactory, request: pytest.FixtureRequest
) -> Iterator[mongojet.Client]:
    """A mongojet client for this test, closed after it; the test, or an application in it, may close it itself.

    It goes through ``mongo_proxy`` if the test has it, or ``max_queries``, also by another fixture.
    """
    if "mongo_proxy" not in request.fixturenames:
        request.node.stash[_DIRECT] = True
        with _mongo_clients.client(mongo_server.uri) as client:
            yield client
        return
    proxy: FaultProxy = request.getfixturevalue("mongo_proxy")
    with _mongo_clients.client(proxy.uri) as client:
        yield client
        proxy.stop()  # a client that waits for a stalled reply cannot be closed


@pytest.fixture(scope="session")
def _mongo_database_names() -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    run = uuid4().hex[:8]  # runs that share a server do not meet
    return (f"test_{run}_{worker}_{number}" for number in count(1))


@pytest.fixture
def mongo_db(
    mongo_client: mongojet.Client,
    _mongo_clients: ClientFactory,
    _mongo_database_names: Iterator[str],
) -> Iterator[mongojet.Database]:
    """An empty database for this test, dropped after it."""
    name = next(_mongo_database_names)
    yield mongo_client[name]
    _mongo_clients.drop_database(name)
