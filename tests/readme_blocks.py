"""The Python of a README: its blocks, run in their order, in one namespace."""

import ast
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
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
