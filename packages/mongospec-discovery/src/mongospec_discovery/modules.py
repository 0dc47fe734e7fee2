"""From the names of packages to their modules, imported, in one order for every run."""

import importlib
import os
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

type OnError = Literal["ignore", "warn", "raise"] | Callable[[str, Exception], object]
"""What becomes of a module that cannot be imported: its name and the error go to a function."""

_NEVER = ("__main__", "__pycache__")
"""``__main__`` starts the application that it belongs to; the other is no package."""
_HERE = str(Path(__file__).parent) + os.sep


class Found(NamedTuple):
    """A module that is there, not imported yet; ``path`` is where a package has its modules."""

    name: str
    path: list[str] | None
    namespace: bool = False


class Walk:
    """One walk: which modules it is interested in, and what it does where one fails."""

    def __init__(
        self, *, recursive: bool, wanted: Callable[[str], bool], on_error: OnError
    ) -> None:
        self._recursive = recursive
        self._wanted = wanted
        self._on_error = on_error

    def modules(self, target: str | ModuleType) -> Iterator[ModuleType]:
        """The target and the modules below it: a package before its modules, those by name."""
        module = target if isinstance(target, ModuleType) else self._imported(target)
        if module is None:
            return
        if self._wanted(module.__name__):
            yield module
        if self._recursive:
            yield from self._below(module.__name__, _path_of(module))

    def _below(self, package: str, path: list[str] | None) -> Iterator[ModuleType]:
        for found in _modules_in(package, path or []):
            below = found.path
            if not found.namespace and self._wanted(found.name):
                module = self._imported(found.name)
                if module is None:
                    continue  # what is below a broken package cannot be imported either
                yield module
                below = _path_of(module)
            yield from self._below(found.name, below)

    def _imported(self, name: str) -> ModuleType | None:
        try:
            return importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may fail with anything
            self._failed(name, error)
            return None

    def _failed(self, name: str, error: Exception) -> None:
        if callable(self._on_error):
            self._on_error(name, error)
        elif self._on_error == "raise":
            error.add_note(f"(while document types were collected from the module {name!r})")
            raise error
        elif self._on_error == "warn":
            warnings.warn(
                f"no document types were collected from the module {name!r}, it cannot be "
                f"imported: {type(error).__name__}: {error}",
                UserWarning,
                skip_file_prefixes=(_HERE,),
            )


def _path_of(module: ModuleType) -> list[str] | None:
    path: Iterable[str] | None = getattr(module, "__path__", None)
    return None if path is None else list(path)


def _modules_in(package: str, path: list[str]) -> list[Found]:
    """What stands directly in a package's folders, by name; nothing is imported for it."""
    found = {
        name: Found(
            f"{package}.{name}", _folders(f"{package}.{name}", path) if is_package else None
        )
        for _, name, is_package in pkgutil.iter_modules(path)
    }
    for name, folders in _namespaces(path).items():
        found.setdefault(name, Found(f"{package}.{name}", folders, namespace=True))
    return [found[name] for name in sorted(found.keys() - _NEVER)]


def _folders(name: str, path: list[str]) -> list[str]:
    spec = PathFinder.find_spec(name, path)
    return list(spec.submodule_search_locations or ()) if spec else []


def _namespaces(path: list[str]) -> dict[str, list[str]]:
    """Folders without ``__init__.py``: packages for Python, which pkgutil does not list."""
    found: dict[str, list[str]] = {}
    for folder in map(Path, path):
        for inner in folder.iterdir() if folder.is_dir() else ():
            if inner.name.isidentifier() and inner.is_dir():
                found.setdefault(inner.name, []).append(str(inner))
    return found
