"""Contenders measured turn by turn, each in a process of its own, and what comes of it.

Other work on the machine makes single figures jump. It meets all contenders of a round alike, so
ratios are made within a round, and reported are their median and quartiles. Who goes first changes from
round to round. A fixed loop is timed in each round: its spread is the machine's own drift.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import bson

from benchmarks.data import person
from benchmarks.rows import ROWS, Row

ROOT = Path(__file__).parent.parent
TOGETHER = 32
ONE_THREAD = ", one driver thread"  # after the label of a contender whose driver has one
RAW = "mongojet_raw"
OURS = "mongospec_now"
EARLIER = "mongospec_03"


class Contender(NamedTuple):
    """Who is measured: the module of its work, and the Python that has its packages."""

    module: str
    label: str
    python: str = sys.executable
    environment: tuple[tuple[str, str], ...] = ()
    together: bool = True
    """Whether it can do several things at once."""


class Size(NamedTuple):
    """How much is done in a turn."""

    singles: int
    documents: int


QUICK = Size(singles=32, documents=200)
FULL = Size(singles=640, documents=10_000)


class Figures(NamedTuple):
    """Quartiles of what was measured in all rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


type Turn = tuple[str, int]
"""A row's title, and how many operations are under way at once."""


def turns(rows: Sequence[Row] = ROWS) -> list[tuple[Row, int]]:
    """Every row with one operation at a time, and if it makes sense with many."""
    return [(row, each) for row in rows for each in ((1, TOGETHER) if row.together else (1,))]


def titled(row: Row, concurrency: int) -> str:
    return row.title if concurrency == 1 else f"{row.title}, {concurrency} at a time"


class Worker:
    """A process that does a contender's work; see :mod:`benchmarks.worker`."""

    def __init__(self, contender: Contender, port: int | str) -> None:
        command = [contender.python, "-m", "benchmarks.worker", contender.module, str(port)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", **dict(contender.environment)}
        self.contender = contender
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.contender.label} ended in {do} {arguments}; see above")
        told: dict[str, Any] = json.loads(answer)
        return told

    def close(self) -> None:
        self._process.communicate(timeout=30)


@contextlib.contextmanager
def workers(contenders: Sequence[Contender], port: int | str) -> Iterator[list[Worker]]:
    """Processes of all contenders, for the time of a block."""
    started: list[Worker] = []
    try:
        started += [Worker(each, port) for each in contenders]
        for each in started:
            each.ask("started")  # what a contender sends at its start is not to be counted later
        yield started
    finally:
        for each in started:
            each.close()


class WrongError(Exception):
    """A contender does not do what it is measured for."""


def check(all_workers: Sequence[Worker]) -> dict[str, dict[str, float]]:
    """See that every contender reads and writes what each row asks for: the commands of each call.

    :raises WrongError: one does not.
    """
    commands: dict[str, dict[str, float]] = {}
    wrong: list[str] = []
    for worker in all_workers:
        told = worker.ask("check")
        commands[worker.contender.label] = told["commands"]
        for title, why in told["wrong"].items():
            wrong.append(f"{worker.contender.label}, {title}: {why}")
    if wrong:
        raise WrongError("\n".join(wrong))
    return commands


class Sample(NamedTuple):
    """What one operation, or one document, took in a turn."""

    cpu: float
    """Microseconds, of all threads."""
    event_loop: float
    """Of these, the microseconds of the event loop's thread."""
    switches: float
    """How often a thread of the process gave its processor up, to wait."""


class Samples:
    """A sample for each round, by contender and turn; and the milliseconds of the fixed loop."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, Turn], list[Sample]] = defaultdict(list)
        self.loop: list[float] = []

    def figures(
        self, label: str, turn: Turn, of: Callable[[Sample], float] = lambda each: each.cpu
    ) -> Figures | None:
        """Of the CPU, or of another figure."""
        taken = self.taken.get((label, turn))
        return Figures.of([of(each) for each in taken]) if taken else None

    def ratio(self, label: str, turn: Turn, base: str) -> Figures | None:
        """Of the CPU to that of *base*, round by round."""
        taken, others = self.taken.get((label, turn)), self.taken.get((base, turn))
        if not taken or not others:
            return None
        pairs = zip(taken, others, strict=True)
        return Figures.of([one.cpu / other.cpu for one, other in pairs])

    def drift(self) -> float:
        """How far apart the quartiles of the fixed loop are, as a part of its median."""
        loop = Figures.of(self.loop)
        return (loop.high - loop.low) / loop.median


def measure(
    all_workers: Sequence[Worker],
    commands: dict[str, dict[str, float]],
    size: Size,
    rounds: int,
    samples: Samples,
    rows: Sequence[Row] = ROWS,
) -> None:
    """Add so many rounds to *samples*; one more goes ahead to warm up."""
    for number in range(rounds + 1):
        calibration = fixed_loop()
        if number:
            samples.loop.append(calibration)
        for row, concurrency in turns(rows):
            shift = number % len(all_workers)
            for worker in (*all_workers[shift:], *all_workers[:shift]):
                who = worker.contender
                if row.title not in commands[who.label] or (concurrency > 1 and not who.together):
                    continue
                told = worker.ask(
                    "turn",
                    row=row.title,
                    count=max((size.documents if row.batch else size.singles) // row.share, 1),
                    calls=row.share,
                    concurrency=concurrency,
                )
                if number:
                    samples.taken[who.label, (row.title, concurrency)].append(Sample(**told))


def fixed_loop() -> float:
    """CPU milliseconds of work that never changes."""
    document = person(7)
    start = time.process_time()
    for _ in range(2_000):
        bson.decode(bson.encode(document))
    return (time.process_time() - start) * 1_000


# -- what is measured once

_IMPORT = """\
import sys, time
for each in {before!r}: __import__(each)
many, start = len(sys.modules), time.perf_counter()
for each in {modules!r}: __import__(each)
print((time.perf_counter() - start) * 1000, len(sys.modules) - many)
"""


class Imports(NamedTuple):
    """What an import takes: milliseconds, and how many modules it loads."""

    milliseconds: Figures
    modules: int


def imports(
    python: str, modules: Sequence[str], rounds: int, before: Sequence[str] = (), path: str = ""
) -> Imports:
    """Import *modules* in fresh processes, with all bytecode at hand; wall time.

    :param before: what has been imported already.
    :param path: a further folder of modules.
    """
    command = [python, "-c", _IMPORT.format(modules=list(modules), before=list(before))]
    environment = {
        each: os.environ[each] for each in os.environ if each != "COVERAGE_PROCESS_START"
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if path:
        environment["PYTHONPATH"] = path
    told = []
    for _ in range(rounds + 1):  # the first writes the bytecode
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        told.append(ran.stdout.split())
    return Imports(Figures.of([float(each[0]) for each in told[1:]]), int(told[-1][1]))


def empty_imports(python: str, count: int, rounds: int) -> Imports:
    """Import so many modules with nothing in them: what no module of that number can be below."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"empty_{number}" for number in range(count)]
        for each in names:
            (Path(folder) / f"{each}.py").touch()
        return imports(python, names, rounds, path=folder)


def peak_megabytes(contender: Contender, port: int, row: str, count: int) -> tuple[float, float]:
    """Of a fresh process: what it takes at its peak, and how much of that is for the row."""
    with workers([contender], port) as (worker,):
        told = worker.ask("memory", row=row, count=count)
    return told["peak"], told["peak"] - told["before"]


GROWING = (
    "find_all, a document",
    "cursor, a document",
    "insert_many, a document",
    "posts with author and tags, a post",
)


class Growth(NamedTuple):
    """Of one row at one size."""

    row: str
    documents: int
    microseconds: float
    """CPU for a document."""
    megabytes: float
    """What the work itself took at its peak, in a fresh process."""


def growth(
    contender: Contender,
    port: int,
    sizes: Sequence[int],
    rounds: int,
    rows: Sequence[str] = GROWING,
) -> list[Growth]:
    """How time and memory grow with the number of documents."""
    found: list[Growth] = []
    with workers([contender], port) as (worker,):
        times: dict[tuple[str, int], list[float]] = defaultdict(list)
        for number in range(rounds + 1):
            for row in rows:
                for size in sizes:
                    calls = max(1, sizes[-1] // size // 10)
                    told = worker.ask("turn", row=row, count=size, calls=calls)
                    if number:
                        times[row, size].append(told["cpu"])
    for (row, size), values in times.items():
        _, megabytes = peak_megabytes(contender, port, row, size)
        found.append(Growth(row, size, statistics.median(values), megabytes))
    return found
