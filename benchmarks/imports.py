"""What ``import mongospec_core`` costs beyond ``import mongojet``."""

import os
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

_CHILD = """\
import time
wall, cpu = time.perf_counter(), time.process_time()
import {modules}
print((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
"""
DRIVER, DRIVER_IN_USE, OURS = "mongojet", "asyncio, mongojet", "mongospec_core"


class Imports(NamedTuple):
    """Milliseconds, medians; the differences are medians of neighbouring turns."""

    ours: float
    driver: float
    over_driver: float
    over_driver_cpu: float
    over_driver_in_use: float
    """Over mongojet and asyncio: mongojet does not import it, but nobody uses it without."""


def compare_imports(rounds: int) -> Imports:
    """Import them in fresh processes, turn by turn, with all bytecode at hand."""
    with tempfile.TemporaryDirectory() as bytecode:
        ways = (OURS, DRIVER, DRIVER_IN_USE)
        for way in ways:
            _import(way, bytecode)  # writes the bytecode
        turns = [[_import(way, bytecode) for way in ways] for _ in range(rounds)]
    return Imports(
        statistics.median(ours[0] for ours, _, _ in turns),
        statistics.median(driver[0] for _, driver, _ in turns),
        statistics.median(ours[0] - driver[0] for ours, driver, _ in turns),
        statistics.median(ours[1] - driver[1] for ours, driver, _ in turns),
        statistics.median(ours[0] - in_use[0] for ours, _, in_use in turns),
    )


def _import(modules: str, bytecode: str) -> tuple[float, float]:
    """Wall and CPU milliseconds of one import."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _CHILD.format(modules=modules)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    wall, cpu = answer.stdout.split()
    return float(wall), float(cpu)
