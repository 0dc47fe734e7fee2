"""The modules of packages: found, filtered and imported, in the same order in every run."""

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Literal, NamedTuple

type OnError = Literal["ignore", "warn", "raise"] | Callable[[str, Exception], object]
"""What to do if a module cannot be imported; a function gets its name and the error."""

_NEVER = ("__main__", "__pycache__")
"""``__main__`` would start the application; ``__pycache__`` is not a package."""
_HERE = __file__.removesuffix("modules.py")


class ModuleEntry(NamedTuple):
    """A module on the disk, not imported yet; ``path`` holds the folders of a package's modules."""

    name: str
    path: list[str] | None
    namespace: bool = False


class ModuleFinder:
    """Import the modules below packages.

    :param recursive: whether to search below packages.
    :param matches: whether a module of this full name is to be imported.
    :param on_error: what to do if a module cannot be imported.
    """

    def __init__(
        self, *, recursive: bool, matches: Callable[[str], bool], on_error: OnError
    ) -> None:
        self._recursive = recursive
        self._matches = matches
        self._on_error = on_error

    def modules(self, target: str | ModuleType) -> Iterator[ModuleType]:
        """Yield the target and the modules below it: a package before its modules, those by name."""
        module = target if isinstance(target, ModuleType) else self._import(target)
        if module is None:
            return
        if self._matches(module.__name__):
            yield module
        if self._recursive:
            yield from self._below(module.__name__, _path_of(module))

    def _below(self, package: str, path: list[str] | None) -> Iterator[ModuleType]:
        for found in _modules_in(package, path or []):
            below = found.path
            if not found.namespace and self._matches(found.name):
                module = self._import(found.name)
                if module is None:
                    continue  # nothing below a package can be imported without the package
                yield module
                below = _path_of(module)
            yield from self._below(found.name, below)

    def _import(self, name: str) -> ModuleType | None:
        try:
            return importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may fail with anything
            self._report(name, error)
            return None

    def _report(self, name: str, error: Exception) -> None:
        if callable(self._on_error):
            self._on_error(name, error)
        elif self._on_error == "raise":
            error.add_note(f"(while document types were collected from the module {name!r})")
            raise error
        elif self._on_error == "warn":
            warnings.warn(
                f"no document types were collected from the module {name!r}: it cannot be "
                f"imported: {type(error).__name__}: {error}",
                RuntimeWarning,
                skip_file_prefixes=(_HERE,),
            )


def _path_of(module: ModuleType) -> list[str] | None:
    path: Iterable[str] | None = getattr(module, "__path__", None)
    return None if path is None else list(path)


def _modules_in(package: str, path: list[str]) -> list[ModuleEntry]:
    """List what is directly in a package's folders, sorted by name, without importing it."""
    # Milliseconds, which only those who look for modules pay:
    import pkgutil  # noqa: PLC0415

    found = {
        name: ModuleEntry(
            f"{package}.{name}", _folders(f"{package}.{name}", path) if is_package else None
        )
        for _, name, is_package in pkgutil.iter_modules(path)
    }
    for name, folders in _namespaces(path).items():
        found.setdefault(name, ModuleEntry(f"{package}.{name}", folders, namespace=True))
    return [found[name] for name in sorted(found.keys() - _NEVER)]


def _folders(name: str, path: list[str]) -> list[str]:
    spec = PathFinder.find_spec(name, path)
    return list(spec.submodule_search_locations or ()) if spec else []


def _namespaces(path: list[str]) -> dict[str, list[str]]:
    """Find folders without ``__init__.py``: namespace packages, which pkgutil does not list."""
    found: dict[str, list[str]] = {}
    for folder in filter(os.path.isdir, path):
        for inner in os.scandir(folder):
            if inner.name.isidentifier() and inner.is_dir():
                found.setdefault(inner.name, []).append(inner.path)
    return found
