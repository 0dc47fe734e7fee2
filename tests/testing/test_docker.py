"""MongoDB's image. The first test needs a Docker engine and says so if there is none; the second does not start one."""

import asyncio
import sys
from types import ModuleType
from typing import Any, Self

import mongojet
import pytest

from mongospec_testing import MongoServer, ServerNotAvailableError
from mongospec_testing.process import GuardedProcess
from mongospec_testing.sources import docker, mongod
from tests.testing.conftest import FakeMongod
from tests.testing.test_server import write_in_transaction


async def test_a_container_is_a_primary_that_takes_transactions() -> None:
    if (reason := docker.DockerSource().missing()) is not None:
        pytest.skip(reason)
    with MongoServer("docker") as server:
        assert server.kind == "docker"
        await write_in_transaction(server.uri)


class StandInContainer:
    """testcontainers' MongoDbContainer as far as we use it, with a fake mongod as the container."""

    made: list["StandInContainer"]
    status = "running"

    def __init__(self, image: str, *, entrypoint: list[str]) -> None:
        self.image, self.entrypoint = image, entrypoint
        self.command: list[str] = []
        self.port = mongod.free_port()
        self.process: GuardedProcess | None = None
        self.made.append(self)

    def with_command(self, command: list[str]) -> Self:
        self.command = command
        return self

    def start(self) -> Self:
        self.process = GuardedProcess(mongod.command_line("mongod", self.port))
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> int:
        assert port == docker.PORT
        return self.port

    def reload(self) -> None:
        pass

    def get_logs(self) -> tuple[bytes, bytes]:
        assert self.process is not None
        return self.process.log().encode(), b""


@pytest.fixture
def stand_in(fake_mongod: FakeMongod, monkeypatch: pytest.MonkeyPatch) -> type[StandInContainer]:
    class Container(StandInContainer):
        made = []

    module: Any = ModuleType("testcontainers.community.mongodb")
    module.MongoDbContainer = Container
    monkeypatch.setitem(sys.modules, "testcontainers.community.mongodb", module)
    monkeypatch.setattr(docker.DockerSource, "missing", lambda _: None)
    return Container


async def test_a_stand_in_container_gets_the_command_line_of_a_replica_set_and_is_initiated(
    stand_in: type[StandInContainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fake mongod knows itself by the port outside, as a real one knows the port inside.
    monkeypatch.setenv("FAKE_MONGOD_MEMBER", f"127.0.0.1:{docker.PORT}")
    monkeypatch.setenv("MONGOSPEC_DOCKER_IMAGE", "mongo:7.0")
    with MongoServer("docker") as server:
        [container] = stand_in.made
        assert container.image == "mongo:7.0"
        assert container.entrypoint == ["mongod"]
        assert container.command[:2] == ["--replSet", "rs0"]
        assert server.uri == f"mongodb://127.0.0.1:{container.port}/?directConnection=true"
        client = await mongojet.create_client(server.uri)
        await client["x"]["y"].find_one({})
        await client.close()
        await asyncio.sleep(0.03)
    assert container.process is not None
    assert container.process.directory is not None
    assert not container.process.directory.exists()


def test_a_stand_in_container_that_ends_is_an_error_with_its_log(
    stand_in: type[StandInContainer], fake_mongod: FakeMongod
) -> None:
    fake_mongod.exit_first_with(14)
    stand_in.status = "exited"
    with pytest.raises(
        ServerNotAvailableError, match=r"container status 'exited' before it answered"
    ):
        MongoServer("docker").start()


def test_an_engine_that_does_not_answer_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("testcontainers", reason="testcontainers is not installed")
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(ServerNotAvailableError, match="no Docker engine answers"):
        MongoServer("docker").start()
