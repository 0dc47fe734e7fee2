"""Every Python block of every README runs, and prints what it says that it prints."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import mongojet
import pytest

from mongospec_core import close
from mongospec_testing import MongoServer
from tests.readme_blocks import Block, blocks_of, module_namespace

ROOT = Path(__file__).parent.parent
READMES = sorted([ROOT / "README.md", *ROOT.glob("packages/*/README.md")])

_WRITTEN_URI = re.compile(r"mongodb://localhost:27017(?:/(\w+))?")


@pytest.fixture
async def unbound() -> AsyncIterator[None]:
    yield
    await close()


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
async def test_the_blocks_of_a_readme_run_in_their_order(
    path: Path,
    mongo_server: MongoServer,
    mongo_db: mongojet.Database,
    tmp_path: Path,
    unbound: None,
) -> None:
    with module_namespace(f"readme_of_{path.parent.name.replace('-', '_')}") as namespace:
        namespace["db"] = mongo_db
        for block in blocks_of(path):
            block.code = here(block.code, mongo_server.uri, mongo_db.name)
            if block.is_program:
                await run_as_a_script(block, tmp_path)
                continue
            printed = await block.run(namespace)
            if block.shown:
                assert printed == block.shown, f"{path}:{block.line}"


def test_every_package_has_a_readme_with_code_in_it() -> None:
    assert len(READMES) == 1 + len(list(ROOT.glob("packages/*/pyproject.toml")))
    assert [path for path in READMES if not blocks_of(path)] == []


async def run_as_a_script(block: Block, folder: Path) -> None:
    script = folder / "program.py"
    script.write_text(block.code)
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, ""), f"{block.path}:{block.line}"


def here(code: str, uri: str, database: str) -> str:
    """The code with this test's server and database in the place of the README's."""

    def put(found: re.Match[str]) -> str:
        parts = urlsplit(uri)
        return parts._replace(path=f"/{database if found[1] else ''}").geturl()

    return _WRITTEN_URI.sub(put, code).replace("example_db", database)
