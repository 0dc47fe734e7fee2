"""A server that runs already, named by a connection string."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager

from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.uri import Address, MongoUri

VARIABLE = "MONGOSPEC_TEST_URI"
CONNECT_SECONDS = 5.0


class UriSource:
    """The server that ``MONGOSPEC_TEST_URI``, or the argument, names. It is left running."""

    def __init__(self, uri: str | None = None) -> None:
        self._name = VARIABLE if uri is None else "the given URI"
        self._uri = os.environ.get(VARIABLE, "") if uri is None else uri

    def missing(self) -> str | None:
        if not self._uri:
            return f"the environment variable {VARIABLE} is not set; set it to the URI of a server that runs"
        return None

    @contextmanager
    def serve(self) -> Generator[str]:
        try:
            uri = MongoUri.parse(self._uri)
        except ValueError as error:
            raise ServerNotAvailableError(f"{self._name} cannot be used: {error}") from error
        # The hosts behind a mongodb+srv:// name stand in the DNS: there the driver has to say it.
        if uri.scheme == "mongodb" and not any(_answers(address) for address in uri.addresses):
            raise ServerNotAvailableError(
                f"{self._name} names {uri.public!r}, but nothing answers there; is it up?"
            )
        yield self._uri


def _answers(address: Address) -> bool:
    try:
        with socket.create_connection((address.host, address.port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
