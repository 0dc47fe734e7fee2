"""The ways to get a MongoDB, one module each, in the order in which they are tried."""

from contextlib import AbstractContextManager
from typing import Protocol

from mongospec_testing.sources.docker import DockerSource
from mongospec_testing.sources.embedded import EmbeddedSource
from mongospec_testing.sources.mongod import MongodSource
from mongospec_testing.sources.uri import UriSource

__all__ = ["SOURCES", "DockerSource", "EmbeddedSource", "MongodSource", "Source", "UriSource"]


class Source(Protocol):
    """A way to get a MongoDB."""

    def missing(self) -> str | None:
        """Say what is missing and how to get it; ``None`` if nothing is. Start nothing."""
        ...

    def serve(self) -> AbstractContextManager[str]:
        """Start a server and yield its connection string; on leaving, remove all of it."""
        ...


SOURCES: dict[str, type[UriSource | MongodSource | EmbeddedSource | DockerSource]] = {
    "uri": UriSource,
    "mongod": MongodSource,
    "embedded": EmbeddedSource,
    "docker": DockerSource,
}
