"""A MongoDB for tests: found or started."""

from contextlib import ExitStack
from typing import Self

from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.sources import SOURCES, Source, UriSource


class MongoServer:
    """A MongoDB for tests, found or started; what was started leaves no process and no directory behind.

    Without an argument, the first of these that is available:

    1. ``"uri"``: the server that the environment variable ``MONGOSPEC_TEST_URI`` names,
    2. ``"mongod"``: a ``mongod`` on the PATH (or the one that ``MONGOSPEC_MONGOD`` names), as a replica set of one,
    3. ``"embedded"``: SecantusDB (``pip install 'mongospec-testing[embedded]'``; from Python 3.14 on
       ``uv tool install --python 3.13 'secantusdb>=0.7.0b3'``),
    4. ``"docker"``: MongoDB's image (``pip install 'mongospec-testing[docker]'`` and a Docker engine).

    Each of them supports transactions. A server that was started ends with the process that started it, however
    that ends.

    .. code-block:: python

        with MongoServer() as server:
            client = await mongojet.create_client(server.uri)

    :param source: one of the four names, or the ``mongodb://`` URI of a server that runs; ``None`` to choose.
    :raises ValueError: if it is neither a name nor a URI.
    """

    def __init__(self, source: str | None = None) -> None:
        if source is not None and source not in SOURCES and "://" not in source:
            raise ValueError(
                f"{source!r} is not a source of servers: use one of {', '.join(SOURCES)} or a mongodb:// URI"
            )
        self._wanted = source
        self._running = ExitStack()
        self._kind: str | None = None
        self._uri: str | None = None

    @property
    def kind(self) -> str:
        """The source of the running server: ``"uri"``, ``"mongod"``, ``"embedded"`` or ``"docker"``."""
        return self._checked(self._kind)

    @property
    def uri(self) -> str:
        """The running server's connection string."""
        return self._checked(self._uri)

    def _checked(self, value: str | None) -> str:
        if value is None:
            raise RuntimeError(
                "the server is not running: use `with MongoServer() as server:`, or start() and stop()"
            )
        return value

    def start(self) -> Self:
        """Find or start the server; wait until it answers, as a primary.

        :raises ServerNotAvailableError: if there is none; says what is missing and how to get it.
        """
        if self._uri is not None:
            raise RuntimeError("the server is running already")
        kind, source = self._choose()
        self._uri = self._running.enter_context(source.serve())
        self._kind = kind
        return self

    def _choose(self) -> tuple[str, Source]:
        if self._wanted is not None and "://" in self._wanted:
            return "uri", UriSource(self._wanted)
        reasons: list[str] = []
        for kind in SOURCES if self._wanted is None else [self._wanted]:
            source = SOURCES[kind]()
            reason = source.missing()
            if reason is None:
                return kind, source
            reasons.append(f"{kind}: {reason}")
        raise ServerNotAvailableError(
            "no MongoDB is available for the tests:\n  " + "\n  ".join(reasons)
        )

    def stop(self) -> None:
        """Stop what was started and remove its files; harmless when repeated."""
        self._uri = self._kind = None
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
