"""The Python of a page (a README, a guide): its blocks, run in their order, in one namespace."""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from tests.subprocesses import without_coverage

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SETTINGS = re.compile(r"^```toml\n# pyproject\.toml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_WRITTEN_URI = re.compile(r"mongodb://localhost:27017(?:/(\w+))?")
_ASYNC = """
[tool.pytest]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
pythonpath = ["."]
"""
MAIN = 'if __name__ == "__main__":'


class Block:
    """One fenced block; ``line`` is where its code starts in the file."""

    def __init__(self, path: Path, line: int, code: str) -> None:
        self.path = path
        self.line = line
        self.code = code

    @property
    def is_program(self) -> bool:
        """Whether it is a whole program, and not a part of the file's story."""
        return MAIN in self.code

    @property
    def file(self) -> str | None:
        """The file that it is: a comment in its first line names it."""
        found = _FILE.match(self.code)
        return found[1] if found else None

    @property
    def shown(self) -> list[str]:
        """What the block says that it prints: the comments behind its ``print`` calls."""
        return _SHOWN.findall(self.code)

    async def run(self, namespace: dict[str, Any]) -> list[str]:
        """Run it; ``await`` may stand at its top level. Gives the lines that it printed."""
        padded = "\n" * (self.line - 1) + self.code  # a traceback names the file's own lines
        code = compile(padded, str(self.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(code, namespace)
            if inspect.iscoroutine(result):
                await result
        return printed.getvalue().splitlines()


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text()
    return [
        Block(path, text.count("\n", 0, found.start(1)) + 1, found[1])
        for found in _BLOCK.finditer(text)
    ]


@contextlib.contextmanager
def module_namespace(name: str) -> Iterator[dict[str, Any]]:
    """The namespace of a module that can be imported: classes look up their annotations there."""
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        yield module.__dict__
    finally:
        del sys.modules[name]


async def run_page(
    path: Path, uri: str, database: str, folder: Path, namespace: dict[str, Any]
) -> None:
    """Run a page's blocks: parts of one story, whole programs, or files, whose tests pytest runs."""
    files: list[str] = []
    for block in blocks_of(path):
        block.code = here(block.code, uri, database)
        where = f"{path}:{block.line}"
        if block.file is not None:
            files.append(block.file)
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.code)
        elif block.is_program:
            (folder / "program.py").write_text(block.code)
            await run_python(folder, "-W", "error", "program.py", where=where)
        else:
            printed = await block.run(namespace)
            if block.shown:
                assert printed == block.shown, where
    if any(Path(file).name.startswith("test_") for file in files):
        (folder / "pyproject.toml").write_text(settings_of(path))
        await run_python(folder, "-m", "pytest", f"--mongo-server={uri}", where=str(path))


def settings_of(path: Path) -> str:
    """The pyproject.toml that a page shows, else one for async tests."""
    found = _SETTINGS.search(path.read_text())
    return found[1] if found else _ASYNC


async def run_python(folder: Path, *arguments: str, where: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **without_coverage(os.environ),
            "PYTEST_ADDOPTS": "-p no:faker",
        },  # for the pages' tests
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{where}\n{done.stdout}{done.stderr}"


def here(code: str, uri: str, database: str) -> str:
    """The code with a test's server and database in the place of the page's."""

    def put(found: re.Match[str]) -> str:
        parts = urlsplit(uri)
        return parts._replace(path=f"/{database if found[1] else ''}").geturl()

    return _WRITTEN_URI.sub(put, code).replace("example_db", database)
