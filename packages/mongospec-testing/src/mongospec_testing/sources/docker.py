"""MongoDB's own image, through testcontainers."""

import gc
import os
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
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
        """Say what is missing and how to get it: the package, or an engine that answers; ``None`` if nothing is."""
        if find_spec("testcontainers") is None:
            return (
                "the package testcontainers is not installed; "
                "pip install 'mongospec-testing[docker]'"
            )
        with warnings.catch_warnings():
            # If it cannot connect, the docker package leaves a socket to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            trouble = _engine_trouble()
            gc.collect()
        return None if trouble is None else f"no Docker engine answers ({trouble}); start one"

    @contextmanager
    def serve(self) -> Generator[str]:
        """Start it, as a replica set of one member; testcontainers' reaper removes it if this process is killed."""
        containers: Any = import_module("testcontainers.community.mongodb")
        image = os.environ.get(VARIABLE) or IMAGE
        with ExitStack() as stack:
            try:
                # Past the image's own entry point, which creates a user: a replica set with users needs a key file.
                container = containers.MongoDbContainer(image, entrypoint=["mongod"])
                stack.callback(container.stop)
                container.with_command(COMMAND).start()
            except Exception as error:
                message = f"a container of {image!r} could not be started: {error}"
                raise ServerNotAvailableError(message) from error
            address = Address(container.get_container_host_ip(), container.get_exposed_port(PORT))
            member = Address("127.0.0.1", PORT)
            replica_set.initiate(_Container(container), address, member=member)
            # The replica set knows its member by an address that is good inside the container alone.
            yield f"mongodb://{address}/?directConnection=true"


def _engine_trouble() -> str | None:
    docker: Any = import_module("docker")  # comes with testcontainers
    try:
        client = docker.from_env()
        try:
            client.ping()
        finally:
            client.close()
    except docker.errors.DockerException as error:
        return str(error)
    return None


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
