"""The contenders of ``peers.toml``, each with an environment of its own that uv makes."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.measure import OURS, ROOT, Contender

_FOLDER = ROOT / ".benchmarks"
_PACKAGES = ("mongospec-core", "mongospec-refs", "mongospec-kv", "mongospec-discovery", "mongospec")
PEERS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("peers.toml").read_text(encoding="utf-8")
)


def contenders() -> list[Contender]:
    """All of them, their environments made if they are missing; ours is built anew."""
    return [
        Contender(
            module,
            peer["label"],
            _environment(module, peer["packages"]),
            together="sync" not in peer["label"],
        )
        for module, peer in PEERS.items()
    ]


def _environment(module: str, packages: list[str]) -> str:
    """The environment's Python."""
    folder = _FOLDER / module
    python, done = folder / "bin" / "python", folder / "installed.txt"
    listed = "\n".join(packages)
    if done.is_file() and done.read_text("utf-8") == listed and module != OURS:
        return str(python)
    ours = [str(ROOT / "packages" / name) for name in _PACKAGES]
    wanted = [path for each in packages for path in (ours if each == "{ours}" else [each])]
    anew = [f"--reinstall-package={name}" for name in _PACKAGES] if module == OURS else []
    if not python.exists():
        _uv("venv", "--python", getattr(sys, "_base_executable", sys.executable), str(folder))
    _uv("pip", "install", "--python", str(python), "--compile-bytecode", *anew, *wanted)
    done.write_text(listed, "utf-8")
    return str(python)


def _uv(*arguments: str) -> None:
    command = [os.environ.get("UV", "uv"), *arguments, "--quiet"]
    subprocess.run(command, check=True, cwd=ROOT)
