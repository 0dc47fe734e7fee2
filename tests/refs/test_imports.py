"""mongospec-refs stands on core's public names and on its extension module, on nothing else."""

import ast
from pathlib import Path

import mongospec_refs

ALLOWED = {"mongospec_core", "mongospec_core.extension"}


def test_only_the_public_names_of_core_and_its_extension_module_are_imported() -> None:
    used: set[str] = set()
    modules = list(Path(mongospec_refs.__file__).parent.rglob("*.py"))
    assert len(modules) > 5
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            used |= {name for name in names if name.startswith("mongospec")}
    assert {name for name in used if not name.startswith("mongospec_refs")} == ALLOWED
