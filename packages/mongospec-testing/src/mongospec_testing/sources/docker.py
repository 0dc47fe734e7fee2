"""MongoDB's own image, through testcontainers."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mongospec_testing import replica_set
from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.uri import Address

VARIABLE = "MONGOSPEC_DOCKER_IMAGE"
IMAGE = "mongo:8.0"
PORT = 27017
COMMAND = ["--replSet", replica_set.NAME, "--bind_ip_all", "--setParameter", "enableTestCommands=1"]


class DockerSource:
    """A container of the image ``mongo:8.0``, or of the one that ``MONGOSPEC_DOCKER_IMAGE`` names."""

    def missing(self) -> str | None:
        """What is missing, if anything is: the package, or an engine that answers."""
        if find_spec("testcontainers") is None:
            return (
                "the package testcontainers is not installed; "
                "pip install 'mongospec-testing[docker]'"
            )
        # Packages of the extra, imported where they are there.
        docker: Any = import_module("docker")
        try:
            client = docker.from_env()
        except docker.errors.DockerException as error:
            return f"no Docker engine answers ({error}); start one"
        try:
            client.ping()
        except docker.errors.DockerException as error:
            return f"no Docker engine answers ({error}); start one"
        finally:
            client.close()
        return None

    @contextmanager
    def serve(self) -> Generator[str]:
        """Start it, as a replica set of one member; testcontainers' reaper takes it away should we be killed."""
        containers: Any = import_module("testcontainers.community.mongodb")
        # Without the image's own entry point: that creates a root user, and a replica set with users needs a key file.
        container = containers.MongoDbContainer(
            os.environ.get(VARIABLE) or IMAGE, entrypoint=["mongod"]
        )
        container.with_command(COMMAND)
        try:
            container.start()
        except Exception as error:
            container.stop()
            raise ServerNotAvailableError(f"the container could not be started: {error}") from error
        try:
            address = Address(container.get_container_host_ip(), container.get_exposed_port(PORT))
            member = Address("127.0.0.1", PORT)
            replica_set.initiate(_Container(container), address, member=member)
            # The replica set knows its member by an address that is good inside the container alone.
            yield f"mongodb://{address}/?directConnection=true"
        finally:
            container.stop()


class _Container:
    """A container as a server that is starting."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def ended(self) -> str | None:
        self._container.reload()
        status = self._container.status
        return None if status in {"created", "running"} else f"has the container status {status!r}"

    def log(self) -> str:
        out, err = self._container.get_logs()
        return str((out + err).decode(errors="replace"))
