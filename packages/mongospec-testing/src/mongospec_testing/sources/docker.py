"""MongoDB's own image, through testcontainers."""

from collections.abc import Iterator
from contextlib import contextmanager


class DockerSource:
    def missing(self) -> str | None:
        return "not there yet"

    @contextmanager
    def serve(self) -> Iterator[str]:
        raise NotImplementedError
        yield ""
