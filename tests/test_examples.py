"""Every example runs as it stands, says what it did, and can be run again."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import mongojet
import pytest

from mongospec_testing import MongoServer
from tests.subprocesses import without_coverage

EXAMPLES = Path(__file__).parent.parent / "examples"

LAST_LINES = {
    "atomic_updates": "The balance is 10 at version 14: no update was lost.",
    "batch_operations": "401 items were deleted in the bulk, 601 at the end.",
    "collection_binding": "Books, audio books, authors: (1, 1, 1). Each class used its own collection.",
    "connection_management": "The classes were bound three times, and are unbound again.",
    "count_documents": "1000 of 3000 visits were to /about.",
    "create_documents": "8 users were inserted; Alice and Heidi exist once.",
    "delete_documents": "4 of 10 jobs are left.",
    "document_references": "'An orphan' is by Bob now and has the tag 'python'.",
    "document_models": "A product, a country and an order were stored and read back equal.",
    "inheritance": "4 media, 2 books, 1 audio book, 1 map.",
    "key_value_store": "4 settings are stored; 40 visits were counted.",
    "lifecycle_hooks": "Four hooks kept the timestamps, the history, the scope and an old note readable.",
    "model_discovery": "3 classes were found in the package and bound.",
    "fastapi_app": "Created, listed, patched, paged and refused over HTTP, a transaction included.",
    "tenants": "The tenants have 1 and 2 articles, and nothing crossed.",
    "transactions": "Alice has 70, Bob has 80: no transfer was carried out by half.",
    "web_app": "Created, listed, patched, paged and refused over HTTP, with one OpenAPI page.",
    "index_creation": "5 indexes are there, the one on _id included; a double e-mail was refused.",
    "projection_example": "10 users live in Oslo, 20 in Rome.",
    "quick_start": (
        "One user was inserted, found and deleted; the second with the same e-mail was refused."
    ),
    "read_documents": "4 films were found in six ways.",
    "update_documents": "The article is called 'White tea', has 11 views, version 2.",
    "upsert_operations": "The devices ['A', 'B', 'C'] are there, each once.",
    "working_with_cursors": "5000 readings were read one by one, 10000 in 3 batches.",
}


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == LAST_LINES.keys()


@pytest.mark.parametrize("name", sorted(LAST_LINES))
async def test_an_example_runs_twice_without_a_warning_and_sums_up(
    mongo_server: MongoServer, name: str
) -> None:
    for _ in range(2):  # it finds what its first run left
        assert (await run(name, mongo_server.uri))[-1] == LAST_LINES[name]


async def test_index_creation_searches_text_where_the_server_can(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    lines = await run("index_creation", mongo_server.uri)
    try:
        await mongo_db["articles"].create_index([("title", "text")])
    except mongojet.PyMongoError:
        (line,) = [line for line in lines if line.startswith("This server has no text indexes: ")]
        assert "Article" in line  # the class that wants one
    else:
        assert "Found by text, best first: ['Tea', 'Coffee']" in lines


async def run(name: str, uri: str) -> list[str]:
    """The lines that an example prints; it must end well and write nothing to stderr."""
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        env=without_coverage({**os.environ, "MONGODB_URI": uri}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()
