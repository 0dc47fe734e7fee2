"""The tests that the page of guarantees names: each has to run, and to pass, in every run of the whole suite."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LACKING = re.compile(r"server|system|PATH")
"""What the reason of a skipped test may be: that the server or the machine at hand lacks what it needs."""


def proofs() -> dict[str, list[str]]:
    """The tests that each guarantee names."""
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split(" | ") for line in re.findall(r"^\| .*\|$", page, re.MULTILINE)]
    return {
        guarantee.strip(): re.findall(r"`(test_\w+)`", proof)
        for guarantee, *_, proof in rows
        if guarantee.strip() != "Guarantee"
    }


class Proofs:
    """A plugin that fails a run of the whole suite in which a named test did not pass.

    It is for the process that gets the reports of all workers. A run of chosen tests it leaves alone.
    """

    def __init__(self, named: dict[str, list[str]]) -> None:
        self._named = named
        self._passed: set[str] = set()
        self._skipped: dict[str, set[str]] = defaultdict(set)
        self._missing: list[str] = []

    def missing(self) -> list[str]:
        """What is not proved, in a line each."""
        lines: list[str] = []
        for guarantee, tests in self._named.items():
            for test in tests:
                reasons = self._skipped[test]
                lacking = reasons and all(map(LACKING.search, reasons))
                if lacking or (test in self._passed and not reasons):
                    continue
                why = "; ".join(sorted(reasons)) or "it did not run"
                lines.append(f"{test}: {why} (it proves: {guarantee})")
        return lines

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2] if "[" not in report.nodeid else ""
        name = name or report.nodeid.partition("[")[0].rpartition("::")[2]
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self._skipped[name].add(str(reason))
        elif report.when == "call" and report.passed:
            self._passed.add(name)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and is_whole(session.config):
            self._missing = self.missing()
            if self._missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._missing:
            terminalreporter.section("guarantees without a proof in this run", red=True)
            terminalreporter.write("\n".join(self._missing) + "\n")


def is_whole(config: pytest.Config) -> bool:
    """Return whether all tests run: no path, no name and no mark was chosen."""
    chosen = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    paths = {Path(config.invocation_params.dir, each).resolve() for each in config.args}
    return not any(config.getoption(each, None) for each in (*chosen, "collectonly")) and paths <= {
        ROOT,
        ROOT / "tests",
    }
