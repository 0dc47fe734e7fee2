"""The ways to a MongoDB, one module each, in the order in which they are tried."""

from contextlib import AbstractContextManager
from typing import Protocol

from mongospec_testing.sources.docker import DockerSource
from mongospec_testing.sources.embedded import EmbeddedSource
from mongospec_testing.sources.mongod import MongodSource
from mongospec_testing.sources.uri import UriSource

__all__ = ["SOURCES", "DockerSource", "EmbeddedSource", "MongodSource", "Source", "UriSource"]


class Source(Protocol):
    """One way to a MongoDB."""

    def missing(self) -> str | None:
        """What stands in the way of this source here, and how to get it; ``None`` if nothing does. Starts nothing."""
        ...

    def serve(self) -> AbstractContextManager[str]:
        """Give a server's connection string; on leaving, nothing of the server is left."""
        ...


SOURCES: dict[str, type[UriSource | MongodSource | EmbeddedSource | DockerSource]] = {
    "uri": UriSource,
    "mongod": MongodSource,
    "embedded": EmbeddedSource,
    "docker": DockerSource,
}
