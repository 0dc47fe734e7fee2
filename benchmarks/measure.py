"""Client CPU of two ways to do the same work, turn by turn in one process.

The clock is the process's CPU time, so the driver's own threads count and waiting for the server
does not. Other programs on the machine make single figures jump; they meet both ways alike, so what
is compared is each pair of neighbouring turns, and what is reported is the median of those ratios.
"""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple


async def nothing() -> None:
    """The preparation of work that needs none."""


class Way(NamedTuple):
    """One way to do the work."""

    run: Callable[[Any], Awaitable[Any]]
    prepare: Callable[[], Awaitable[Any]] = nothing
    """Makes what ``run`` is given; not measured."""


class Task(NamedTuple):
    """The same work done by mongospec and by the driver."""

    name: str
    operations: int
    """How many operations, or documents, one turn has."""
    aim: float
    ours: Way
    driver: Way


class Row(NamedTuple):
    """What was measured of one task."""

    name: str
    ours: float
    """Microseconds of CPU for one operation, the median."""
    driver: float
    ratio: float
    low: float
    """The quartiles of the ratios of all rounds."""
    high: float
    aim: float


async def compare(task: Task, rounds: int) -> Row:
    """Measure a task; one more round goes ahead to warm both ways up."""
    await turn(task.ours)
    await turn(task.driver)
    ours: list[float] = []
    driver: list[float] = []
    for number in range(rounds):
        # Who goes second finds the machine as the first has left it, so they take turns.
        if number % 2:
            driver.append(await turn(task.driver))
            ours.append(await turn(task.ours))
        else:
            ours.append(await turn(task.ours))
            driver.append(await turn(task.driver))
    ratios = [one / other for one, other in zip(ours, driver, strict=True)]
    low, ratio, high = quartiles(ratios)
    per = 1e6 / task.operations
    return Row(
        task.name,
        statistics.median(ours) * per,
        statistics.median(driver) * per,
        ratio,
        low,
        high,
        task.aim,
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile; for one value, three times it."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


async def turn(way: Way) -> float:
    """CPU seconds of one turn, letting go of the result included.

    The collector runs before it, and may run in it as it would in an application.
    """
    given = await way.prepare()
    gc.collect()
    start = time.process_time()
    await way.run(given)
    return time.process_time() - start
