"""The public names of each package: listed, importable, documented, and nothing else."""

import importlib
import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

PUBLIC = [
    "mongospec",
    "mongospec_cli",
    "mongospec_core",
    "mongospec_core.extension",
    "mongospec_discovery",
    "mongospec_kv",
    "mongospec_refs",
    "mongospec_testing",
]
each_module = pytest.mark.parametrize("name", PUBLIC)


def public_names(name: str) -> tuple[ModuleType, list[str]]:
    module = importlib.import_module(name)
    return module, list(module.__all__)


def constants_then_classes_then_functions(name: str) -> tuple[bool, bool, str]:
    """Ruff's order, which `make format` sees to."""
    return not name.isupper(), not name[0].isupper(), name


def is_ours(value: Any) -> bool:
    return getattr(value, "__module__", "").split(".")[0].startswith("mongospec")


@each_module
def test_all_is_sorted_and_names_nothing_twice(name: str) -> None:
    _, names = public_names(name)
    assert names == sorted(set(names), key=constants_then_classes_then_functions)


@each_module
def test_all_names_exist(name: str) -> None:
    module, names = public_names(name)
    assert [each for each in names if not hasattr(module, each)] == []


@each_module
def test_all_lists_every_public_name_of_the_module(name: str) -> None:
    module, names = public_names(name)
    public = {
        each
        for each in dir(module)
        if not each.startswith("_") and not inspect.ismodule(getattr(module, each))
    }
    assert public == set(names)


@each_module
def test_public_names_have_docstrings(name: str) -> None:
    module, names = public_names(name)
    undocumented: list[str] = []
    for each in names:
        value = getattr(module, each)
        if not is_ours(value) or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        if not inspect.getdoc(value):
            undocumented.append(each)
        if inspect.isclass(value):
            undocumented += [f"{each}.{member}" for member in undocumented_members(value)]
    assert undocumented == []


def undocumented_members(cls: type) -> list[str]:
    return [
        member
        for member, value in vars(cls).items()
        if not member.startswith("_")
        and (inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod))
        and is_ours(getattr(value, "fget", value))
        and not inspect.getdoc(getattr(cls, member))
    ]


def test_importing_mongospec_imports_no_test_code() -> None:
    code = "import sys, mongospec; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "mongospec_core" in loaded
    assert loaded.isdisjoint({"mongospec_testing", "pytest", "secantus", "testcontainers"})
