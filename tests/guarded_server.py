"""A server that does not let everybody in."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mongojet
import pytest

from benchmarks.load import Server

SECRET = "s3cret-w0rd"
"""The password of each user."""


@contextmanager
def guarded_server(
    folder: Path, users: Mapping[str, Mapping[str, str]], /, **documents: Mapping[str, Any]
) -> Iterator[Server]:
    """Start a server with users, who are defined in its database ``app``.

    :param users: the role of each, by their names.
    :param documents: a document of ``app`` by its collection.
    """
    if sys.version_info >= (3, 14):
        pytest.skip("the embedded server is for Python 3.13")
    server = Server(folder)  # which keeps the users when it is killed
    server.start()

    async def prepare() -> None:
        client = await mongojet.create_client(server.uri)
        for name, role in users.items():
            await client["app"].run_command({"createUser": name, "pwd": SECRET, "roles": [role]})
        for collection, document in documents.items():
            await client["app"][collection].insert_one(document)
        await client.close()

    try:
        asyncio.run(prepare())
        server.kill()
        server.flags.append("--auth")
        server.start()
        yield server
    finally:
        server.kill()
