"""The benchmark runs; what it measures is for `make bench`, on a quiet machine."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mongospec_testing import MongoServer
from tests.subprocesses import without_coverage

ROOT = Path(__file__).parent.parent


def run(server: MongoServer, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.run", "--quick", *arguments]
    environment = without_coverage({**os.environ, "MONGODB_URI": server.uri})
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_row_of_the_benchmark_is_a_positive_ratio(mongo_server: MongoServer) -> None:
    figures: dict[str, Any] = json.loads(run(mongo_server, "--json"))
    assert set(figures["ratios"]) == {
        "find_all",
        "cursor",
        "insert_many",
        "find_by_id",
        "insert_one",
        "save of one changed field",
    }
    assert all(ratio > 0 and math.isfinite(ratio) for ratio in figures["ratios"].values())
    assert figures["stored_form"]["bytes"] > 0
    assert figures["imports"]["ours"] > 0
    assert figures["imports"]["driver"] > 0


@pytest.mark.parametrize("heading", ["find_all", "insert_many", "stored form", "`import mongojet`"])
def test_the_recorded_figures_have_what_is_measured(heading: str) -> None:
    assert heading in (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
