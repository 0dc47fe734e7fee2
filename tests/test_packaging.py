"""The distributions fit together: one version, exact pins, and nobody imports what is not theirs.

Read from the sources; scripts/check_wheels.py asks the built wheels the same.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
SIBLINGS = {package.name for package in PACKAGES}

# What a distribution may import besides itself and the standard library: what it declares, plus
# what its declared dependencies bring as a part of their own interface (bson comes with mongojet).
MAY_IMPORT = {
    "mongospec-core": {"mongojet", "msgspec", "bson", "typing_extensions"},
    "mongospec-discovery": {"mongospec_core"},
    "mongospec-kv": {"mongospec_core", "msgspec", "mongojet", "bson", "typing_extensions"},
    "mongospec-refs": {"mongospec_core", "msgspec", "mongojet", "bson"},
    "mongospec-cli": {
        *("mongospec_core", "mongospec_discovery", "mongospec_refs"),
        *("mongojet", "msgspec", "bson", "cyclopts", "rich"),
    },
    "mongospec": {
        *("mongospec_core", "mongospec_discovery", "mongospec_kv", "mongospec_refs"),
        *("mongojet", "msgspec", "bson"),
    },
    "mongospec-testing": {"mongojet", "bson", "pytest", "testcontainers", "secantus"},
}
# The one module that knows mongojet's private names.
DRIVER = "mongospec_core.server.driver"
# What packages built on core may import of it.
FOR_EXTENSIONS = {"mongospec_core", "mongospec_core.extension"}

each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


def project(package: Path) -> dict[str, Any]:
    with (package / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def source(package: Path) -> Path:
    return package / "src" / package.name.replace("-", "_")


def imports(package: Path) -> Iterator[tuple[str, str]]:
    """Each import of a package as (importing module, imported name), relative ones left out."""
    folder = source(package)
    for file in folder.rglob("*.py"):
        module = ".".join(file.relative_to(folder.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    yield from ((module, alias.name) for alias in names)
                case ast.ImportFrom(module=str(origin), names=names, level=0):
                    yield from ((module, f"{origin}.{alias.name}") for alias in names)
                case _:
                    pass


def is_module(name: str) -> bool:
    """Whether a dotted name of one of our packages is a module, and no name inside one."""
    path = Path(*name.split("."))
    return any(
        (package / "src" / path).is_dir() or (package / "src" / path).with_suffix(".py").is_file()
        for package in PACKAGES
    )


def test_the_workspace_has_the_seven_distributions() -> None:
    assert MAY_IMPORT.keys() == SIBLINGS


def test_all_distributions_have_one_version() -> None:
    versions = {package.name: project(package)["version"] for package in PACKAGES}
    assert len(set(versions.values())) == 1, versions


@each_package
def test_siblings_are_pinned_to_the_same_version(package: Path) -> None:
    own = project(package)
    for requirement in own["dependencies"]:
        if requirement.startswith("mongospec"):
            assert requirement in {f"{name}=={own['version']}" for name in SIBLINGS}


@each_package
def test_a_package_is_typed_licensed_and_described(package: Path) -> None:
    assert (source(package) / "py.typed").is_file()
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (package / "README.md").read_text().startswith(f"# {package.name}\n")
    own = project(package)
    assert own["name"] == package.name
    assert own["requires-python"] == ">=3.13"
    assert own["license"] == "MIT"
    assert own["readme"] == "README.md"


@each_package
def test_a_package_imports_only_what_it_declares(package: Path) -> None:
    newer = {"annotationlib"}  # of Python 3.14's standard library, imported only there
    allowed = MAY_IMPORT[package.name] | {source(package).name} | sys.stdlib_module_names | newer
    strangers = {
        (module, name)
        for module, name in imports(package)
        if name.split(".")[0] not in allowed
        # Imported when pydantic asks: see test_pydantic_is_imported_only_if_it_asks.
        and not (module == "mongospec_core.codec.pydantic_schema" and name.startswith("pydantic"))
    }
    assert not strangers


@each_package
def test_only_the_driver_module_imports_private_names_of_mongojet(package: Path) -> None:
    private = {
        (module, name)
        for module, name in imports(package)
        if name.startswith("mongojet.") and any(part.startswith("_") for part in name.split("."))
        if module != DRIVER
    }
    assert not private


@pytest.mark.parametrize(
    "package",
    [
        package
        for package in PACKAGES
        if package.name not in {"mongospec-core", "mongospec-testing"}
    ],
    ids=lambda path: path.name,
)
def test_packages_built_on_core_import_its_public_names_and_its_extension_module(
    package: Path,
) -> None:
    inside = set()
    for module, name in imports(package):
        if name.split(".")[0] == "mongospec_core":
            origin = name if is_module(name) else name.rpartition(".")[0]
            if origin not in FOR_EXTENSIONS:
                inside.add((module, name))
    assert not inside


def test_pyright_checks_every_package() -> None:
    """It says nothing if a pattern of ``include`` finds no file."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]
    included = [ROOT / each for each in settings["include"]]
    assert all(each.is_dir() for each in included)
    assert all(any(map(package.is_relative_to, included)) for package in PACKAGES)


def test_the_lock_file_names_no_place_of_one_machine() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    for package in lock["package"]:
        match package["source"]:
            case {"registry": registry}:
                assert registry == "https://pypi.org/simple", package["name"]
            case {"editable": path}:
                assert package["name"] in SIBLINGS
                assert path == f"packages/{package['name']}"
            case other:
                pytest.fail(f"{package['name']} comes from {other}")
