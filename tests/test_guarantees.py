"""The page of guarantees names tests, and a run of all tests fails if one of them did not pass."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.guarantees import ROOT, Proofs, proofs


def test_every_guarantee_names_tests_that_there_are() -> None:
    files: dict[str, set[Path]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")):
            files.setdefault(name, set()).add(path)
    assert len(proofs()) > 20
    for guarantee, named in proofs().items():
        assert named, f"nothing proves: {guarantee}"
        assert [name for name in named if len(files.get(name, ())) != 1] == [], guarantee


def report(
    name: str, outcome: Literal["passed", "failed", "skipped"], reason: str = "", case: str = ""
) -> Any:
    told = ("a.py", 1, f"Skipped: {reason}") if outcome == "skipped" else None
    when: Literal["setup", "call"] = "setup" if outcome == "skipped" else "call"
    return pytest.TestReport(
        f"tests/a.py::{name}{case}", ("a.py", 1, name), {}, outcome, told, when
    )


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([], "it did not run"),
        ([report("test_it", "passed")], None),
        ([report("test_it", "passed", case="[a::b]")], None),
        ([report("test_other", "passed")], "it did not run"),
        ([report("test_it", "failed")], "it did not run"),
        ([report("test_it", "skipped", "some day")], "Skipped: some day"),
        ([report("test_it", "skipped", "the embedded server has no text indexes")], None),
        (
            [report("test_it", "passed", case="[a]"), report("test_it", "skipped", "no", "[b]")],
            "Skipped: no",
        ),
    ],
)
def test_a_named_test_that_did_not_pass_is_told(reports: list[Any], said: str | None) -> None:
    plugin = Proofs({"It holds": ["test_it"]})
    for each in reports:
        plugin.pytest_runtest_logreport(each)
    told = None if said is None else [f"test_it: {said} (it proves: It holds)"]
    assert (plugin.missing() or None) == told


SUITE = """
import sys
sys.path.insert(0, {root!r})
import tests.guarantees
tests.guarantees.ROOT = __import__("pathlib").Path(__file__).parent.resolve()

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(tests.guarantees.Proofs({{"It holds": ["test_it"]}}))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 1), (("-p", "xdist", "-n", "1"), 1), (("-k", "other"), 0), (("test_a.py",), 0)],
)
def test_only_a_run_of_all_tests_fails_for_it(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "conftest.py").write_text(SUITE.format(root=str(ROOT)), encoding="utf-8")
    (tmp_path / "test_a.py").write_text("def test_other(): pass\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # which takes most of the time
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("test_it: it did not run (it proves: It holds)" in done.stdout) == (code == 1)
