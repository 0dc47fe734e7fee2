"""What users write is accepted by both checkers, and what they must not write is reported.

Every ``*_usage.py`` of this folder is checked by mypy --strict and pyright strict. A misuse that must
be reported stands there with a suppression for each checker: both are told to report suppressions
that suppress nothing, so a misuse that is not noticed any more fails here.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).parent
PYRIGHT = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
PACKAGE = str(FOLDER.parent.parent / "packages" / "mongospec-core" / "src")
FILES = [str(path) for path in sorted(FOLDER.glob("*_usage.py"))]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_mypy_accepts_the_usage_and_reports_the_misuse() -> None:
    done = run("mypy", "--strict", *FILES)
    assert done.stdout.splitlines() == [f"Success: no issues found in {len(FILES)} source files"]


def test_pyright_accepts_the_usage_and_reports_the_misuse() -> None:
    done = run("pyright", "--outputjson", "--pythonpath", sys.executable, *FILES)
    report = json.loads(done.stdout)
    found = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
    ]
    assert found == []
    assert report["summary"]["filesAnalyzed"] >= len(FILES)


def test_every_misuse_is_planted_for_both_checkers() -> None:
    for path in FILES:
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            mypy = re.search(r"# type: ignore\[[\w-]+", line)
            pyright = re.search(r"# pyright: ignore\[\w+", line)
            if "frozen=True" not in line:  # mypy alone asks for frozen bases, which Structs do not
                assert bool(mypy) is bool(pyright), f"{path}:{number}: for one checker only"


def test_nothing_of_core_is_left_for_a_checker_to_guess() -> None:
    done = subprocess.run(
        [*PYRIGHT, "--verifytypes", "mongospec_core", "--ignoreexternal"],
        cwd=FOLDER.parent.parent,
        # pyright follows no .pth file here, so it is told where the package and its needs are
        env={**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE, sysconfig.get_path("purelib")])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    ours = [each for each in symbols if each["isExported"] and each["name"].startswith("mongospec")]
    assert len(ours) > 800
    guessed = {each["name"] for each in ours if not each["isTypeKnown"] or each["isTypeAmbiguous"]}
    assert guessed == set()
