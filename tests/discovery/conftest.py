"""Packages of an application, written for one test each."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

type WritePackage = Callable[[dict[str, str]], str]

_numbers = count(1)


@pytest.fixture
def write_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritePackage]:
    """Write modules by their path below an importable package, and give the package's name."""
    names: list[str] = []

    def write(files: dict[str, str]) -> str:
        name = f"discovered_app_{next(_numbers)}"
        names.append(name)
        for path, text in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text).replace("PACKAGE", name))
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield write
    for module in list(sys.modules):
        if module.partition(".")[0] in names:
            del sys.modules[module]
