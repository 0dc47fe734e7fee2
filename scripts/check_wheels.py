"""Build every distribution and try each one as a stranger gets it.

Everything happens in a temporary folder outside the checkout: the wheels are built without the
workspace's sources, each is installed alone into an environment of its own, with what it declares
and nothing else, and all of its modules are imported in Python's isolated mode.

    check_wheels.py [FOLDER]    FOLDER keeps what was built
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, Self

CORE = "mongospec-core"
PARTS = ("mongospec-discovery", "mongospec-kv", "mongospec-refs")
META = "mongospec"
TESTING = "mongospec-testing"
CLI = "mongospec-cli"

# The siblings that a distribution brings; it must not bring any other.
BRINGS: dict[str, set[str]] = {
    CORE: set(),
    **{part: {CORE} for part in PARTS},
    META: {CORE, *PARTS},
    TESTING: set(),
    CLI: {CORE, "mongospec-discovery", "mongospec-refs"},
}
# What PyPI must show beside each of them.
SHOWN_LINKS = {"Changelog", "Documentation", "Homepage", "Issues", "Source"}
# Imported by pytest and by pydantic alone, which are not dependencies of the packages that offer them.
IMPORTED_BY_OTHERS = {"mongospec_testing.plugin", "mongospec_core.codec.pydantic_schema"}

PROBE = """
import importlib, importlib.metadata, importlib.util, json, pkgutil, sys

name, skipped, others = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
package = importlib.import_module(name)
modules = [
    module.name
    for module in pkgutil.walk_packages(package.__path__, name + ".")
    if module.name not in skipped
]
for module in modules:
    importlib.import_module(module)
print(json.dumps({
    "file": package.__file__,
    "modules": 1 + len(modules),
    "importable": [other for other in others if importlib.util.find_spec(other)],
    "distributions": sorted({
        distribution.metadata["Name"] for distribution in importlib.metadata.distributions()
    }),
}))
"""

IMPORT_TIME = """
import json, sys, time

start = time.perf_counter()
import {module}
print(json.dumps({{"ms": (time.perf_counter() - start) * 1000, "modules": sorted(sys.modules)}}))
"""


@dataclass(frozen=True)
class Wheel:
    """One built wheel and what its metadata says."""

    path: Path
    files: frozenset[str]
    metadata: Message

    @classmethod
    def read(cls, path: Path) -> Self:
        with zipfile.ZipFile(path) as archive:
            files = frozenset(archive.namelist())
            [metadata] = [name for name in files if name.endswith(".dist-info/METADATA")]
            return cls(path, files, message_from_bytes(archive.read(metadata)))

    @property
    def name(self) -> str:
        return self.metadata["Name"]

    @property
    def version(self) -> str:
        return self.metadata["Version"]

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")


def main(keep: Path | None = None) -> None:
    """Check all wheels; the first thing that is wrong ends the run with an error."""
    # Resolved, because an environment names its files by their real paths.
    with tempfile.TemporaryDirectory(prefix="mongospec-wheels-") as folder:
        work = Path(folder).resolve()
        uv("build", "--all-packages", "--no-sources", "--out-dir", str(work / "dist"))
        wheels = {wheel.name: wheel for wheel in map(Wheel.read, (work / "dist").glob("*.whl"))}
        expect(wheels.keys() == BRINGS.keys(), f"the workspace builds {sorted(wheels)}")

        # By these the siblings come from this build, whatever an index offers under their names.
        constraints = work / "siblings.txt"
        constraints.write_text(
            "".join(f"{wheel.name} @ {wheel.path.as_uri()}\n" for wheel in wheels.values())
        )
        for wheel in sorted(wheels.values(), key=lambda wheel: wheel.name):
            check_contents(wheel, version=wheels[META].version)
            modules = check_alone(wheel, work / "alone" / wheel.name, constraints)
            brings = ", ".join(sorted(BRINGS[wheel.name])) or "no sibling"
            print(f"{wheel.name} {wheel.version}: {modules} modules import; brings {brings}")
        check_import(wheels, work / "all", constraints)
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(work / "dist", keep, ignore=shutil.ignore_patterns(".gitignore"))


def check_contents(wheel: Wheel, *, version: str) -> None:
    """Judge a wheel by its files and its metadata; `version` is the one all must have."""
    info = f"{wheel.module}-{wheel.version}.dist-info"
    for file in (f"{wheel.module}/py.typed", f"{info}/licenses/LICENSE"):
        expect(file in wheel.files, f"{wheel.path.name} lacks {file}")
    strays = {file for file in wheel.files if file.split("/")[0] not in {wheel.module, info}}
    expect(not strays, f"{wheel.path.name} has files of its own outside its package: {strays}")
    sdist = wheel.path.with_name(f"{wheel.module}-{wheel.version}.tar.gz")
    expect(sdist.is_file(), f"{sdist.name} was not built")

    metadata = wheel.metadata
    expect(wheel.version == version, f"{wheel.name} is {wheel.version}, {META} is {version}")
    expect(metadata["License-Expression"] == "MIT", f"{wheel.name} names no MIT licence")
    expect(metadata["Requires-Python"] == ">=3.13", f"{wheel.name} runs on other Pythons")
    expect(bool(metadata["Summary"]), f"{wheel.name} has no summary")
    expect(bool(metadata.get_payload()), f"{wheel.name} has no readme")
    links = {line.split(", ")[0] for line in metadata.get_all("Project-URL", [])}
    expect(links >= SHOWN_LINKS, f"{wheel.name} has no link for {sorted(SHOWN_LINKS - links)}")
    requirements: list[str] = metadata.get_all("Requires-Dist", [])
    siblings = {
        line for line in requirements if line.startswith("mongospec") and "extra ==" not in line
    }
    pinned = {f"{sibling}=={version}" for sibling in BRINGS[wheel.name]}
    expect(siblings == pinned, f"{wheel.name} requires {siblings}, not {pinned}")


def check_alone(wheel: Wheel, environment: Path, constraints: Path) -> int:
    """Install one wheel with what it declares, import all of it, and return how many modules."""
    install([wheel], environment, constraints)
    foreign = BRINGS.keys() - BRINGS[wheel.name] - {wheel.name}
    modules = " ".join(sorted(name.replace("-", "_") for name in foreign))
    found = run(environment, PROBE, wheel.module, " ".join(IMPORTED_BY_OTHERS), modules)
    expect(
        Path(found["file"]).is_relative_to(environment),
        f"{wheel.module} came from {found['file']}, not from its wheel",
    )
    expect(not found["importable"], f"{wheel.name} brings {found['importable']}")
    installed = {name for name in found["distributions"] if name in BRINGS}
    expect(installed == BRINGS[wheel.name] | {wheel.name}, f"{wheel.name} brings {installed}")
    return int(found["modules"])


def check_import(wheels: dict[str, Wheel], environment: Path, constraints: Path) -> None:
    """With everything installed, `import mongospec` loads no test code and no pydantic; say how long it takes."""
    install([wheels[META], wheels[TESTING]], environment, constraints)
    probe = IMPORT_TIME.format(module="mongospec")
    loaded = {name.split(".")[0] for name in run(environment, probe)["modules"]}
    expect("mongospec_core" in loaded, "import mongospec does not import mongospec_core")
    others = {"mongospec_testing", "pytest", "unittest", "secantus", "testcontainers", "pydantic"}
    expect(not loaded & others, f"import mongospec imports {loaded & others}")
    driver = import_time(environment, "mongojet")
    print(
        f"import mongospec takes {import_time(environment, 'mongospec'):.0f} ms,"
        f" {driver:.0f} ms of it are mongojet's (best of 5)"
    )


def install(wheels: list[Wheel], environment: Path, constraints: Path) -> None:
    uv("venv", "--python", sys.executable, str(environment))
    uv(
        *("pip", "install", "--python", str(environment), "--constraints", str(constraints)),
        *(str(wheel.path) for wheel in wheels),
    )


def import_time(environment: Path, module: str) -> float:
    probe = IMPORT_TIME.format(module=module)
    return min(float(run(environment, probe)["ms"]) for _ in range(5))


def run(environment: Path, code: str, *arguments: str) -> Any:
    """Run code with an environment's Python, isolated (-I) and away from the checkout."""
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [str(python), "-I", "-c", code, *arguments]
    done = subprocess.run(command, cwd=environment, stdout=subprocess.PIPE, text=True, check=False)
    expect(done.returncode == 0, f"the above happened in the environment of {environment.name}")
    return json.loads(done.stdout)


def uv(*arguments: str) -> None:
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        sys.exit("check_wheels: uv is not on the PATH; run `make wheels`")
    root = Path(__file__).resolve().parent.parent
    subprocess.run([program, *arguments, "--quiet"], cwd=root, check=True)


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        sys.exit(f"check_wheels: {otherwise}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
