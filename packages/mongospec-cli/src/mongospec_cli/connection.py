"""The connection of a command: to the server and the database of the command line, else of the settings."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mongojet

from mongospec_cli.errors import CommandError
from mongospec_cli.settings import Settings, read_settings
from mongospec_cli.targets import find_document_types
from mongospec_core import MongoDocument, connect

_SELECTION = 5_000
"""Milliseconds that the driver looks for a server, unless the URI says otherwise."""


@asynccontextmanager
async def connected(
    targets: Sequence[str], uri: str | None, database: str | None
) -> AsyncGenerator[list[type[MongoDocument]]]:
    """Find the document classes and bind them, without a change in the database.

    :raises CommandError: there are no classes, or no URI.
    """
    settings = read_settings(Path.cwd())
    document_types = find_document_types(targets, settings)
    async with open_database(uri, database, settings, document_types):
        yield document_types


def open_database(
    uri: str | None,
    database: str | None,
    settings: Settings,
    document_types: Sequence[type[MongoDocument]] = (),
) -> AbstractAsyncContextManager[mongojet.Database]:
    """Connect to the database and bind classes, without a change in it.

    :raises CommandError: there is no URI.
    """
    uri, database = _place(uri, database, settings)
    return connect(
        _impatient(uri),
        document_types=document_types,
        database=database,
        indexes="skip",
        validators="skip",
    )


def _place(uri: str | None, database: str | None, settings: Settings) -> tuple[str, str | None]:
    """Return the URI, and the database's name; None: the one in the URI.

    What the command line says comes before the settings, as a whole: a name in its URI as well.
    """
    if uri:
        named = urlsplit(uri).path.strip("/")
        return uri, database or (None if named else settings.database)
    if settings.uri:
        return settings.uri, database or settings.database
    raise CommandError("no server: set MONGODB_URI, or give --uri mongodb://HOST:27017/NAME")


def _impatient(uri: str) -> str:
    """Return the URI, with less time to look for a server than the driver's 30 seconds."""
    parts = urlsplit(uri)
    if "serverselectiontimeoutms=" in parts.query.lower() or not parts.netloc:
        return uri
    query = f"{parts.query}&" if parts.query else ""
    wait = f"{query}serverSelectionTimeoutMS={_SELECTION}"
    return parts._replace(path=parts.path or "/", query=wait).geturl()
