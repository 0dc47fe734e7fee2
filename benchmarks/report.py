"""What was measured, as tables for people."""

import datetime as dt
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.measure import (
    EARLIER,
    ONE_THREAD,
    OURS,
    RAW,
    Contender,
    Figures,
    Sample,
    Samples,
    titled,
    turns,
)
from benchmarks.plot import Bar, Panel, svg
from benchmarks.rows import ROWS, Aim, Row

if TYPE_CHECKING:
    from benchmarks.run import Results

IMPORT_AIM = 20
"""Milliseconds over what every program with this driver imports."""
READY_AIMS = {
    "find_one": 9.0,
    "insert_one": 13.0,
    "update_one": 8.0,
    "save, two fields changed": 22.0,
    "insert_many, a document": 6.5,
}
"""Microseconds on ready bytes."""
PLOTTED = (
    "find_one",
    "insert_one",
    "save, two fields changed",
    "insert_many, a document",
    "find_all, a document",
    "posts with author and tags, a post",
)


def to_markdown(results: "Results") -> str:
    sections = [
        _head(results),
        _aims(results),
        _threads(results),
        _ready(results),
        _imports(results),
    ]
    if len(results.contenders) > 2:
        sections += [_ratios(results), _microseconds(results), _resources(results)]
    sections += [_growth(results), _one_thread(results)]
    return "\n\n".join(sections)


def plot(results: "Results") -> str:
    """The rows that matter most, one bar a contender."""
    raw = _label(results, RAW)
    panels = []
    for title in PLOTTED:
        bars = []
        for each in results.contenders:
            ratio = results.samples.ratio(each.label, (title, 1), raw)
            if each.label != raw:
                bars.append(Bar(each.label, ratio and ratio.median, ours=each.module == OURS))
        panels.append(Panel(title, bars))
    return svg(
        "Client CPU as a multiple of mongojet with plain dictionaries: the dashed line; less is better",
        panels,
    )


def _label(results: "Results", module: str) -> str:
    return next(each.label for each in results.contenders if each.module == module)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(
        f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|" for line in lines
    )


def _head(results: "Results") -> str:
    versions = "; ".join(f"{each.label}: {_versions(each)}" for each in results.contenders)
    quick = " **A quick run: it shows that all works, its figures mean nothing.**"
    return (
        f"# What it costs\n\n"
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{platform.machine()}, {results.rounds} rounds, {results.seconds / 60:.0f} minutes; "
        f"the machine's own drift (the spread between the quartiles of a fixed loop): "
        f"{results.samples.drift():.0%}.{quick if results.quick else ''}\n\n"
        "CPU of the client, the driver's threads included, against a server that answers at once and "
        "stores nothing; documents of 457 bytes and 12 fields. Each contender runs in a process of "
        "its own, all take turns, and ratios are made within a round. Before anything was timed, "
        "every contender's reads were compared with what is stored, and its writes with what they "
        "should leave.\n\n"
        f"{versions}"
    )


def _versions(contender: Contender) -> str:
    names = "mongospec-core mongospec mongojet msgspec pymongo motor pydantic marshmallow beanie odmantic umongo mongoengine"
    script = (
        "from importlib.metadata import version, PackageNotFoundError\n"
        f"for name in {names.split()!r}:\n"
        "    try: print(name, version(name), end=', ')\n"
        "    except PackageNotFoundError: pass\n"
    )
    if contender.module == RAW:  # in one environment with ours it would be the same list
        script = script.replace("'mongospec-core', 'mongospec', ", "").replace("'msgspec', ", "")
    ran = subprocess.run(
        [contender.python, "-c", script], check=True, capture_output=True, text=True
    )
    return ran.stdout.removesuffix(", ")


# -- ours


def _aims(results: "Results") -> str:
    raw, ours = _label(results, RAW), _label(results, OURS)
    earlier = next((each.label for each in results.contenders if each.module == EARLIER), None)
    samples = results.samples
    rows: list[list[str]] = []
    for row, concurrency in turns():
        turn = (row.title, concurrency)
        figures, base = samples.figures(ours, turn), samples.figures(raw, turn)
        ratio = samples.ratio(ours, turn, raw)
        if figures is None or base is None or ratio is None:
            continue
        cells = [_number(figures.median), _number(base.median), f"{ratio.median:.2f}"]
        aim = _aim(row.aim, concurrency)
        rows.append([titled(row, concurrency), *cells, _quartiles(ratio), aim])
        if earlier is not None:
            over = samples.ratio(ours, turn, earlier)
            rows[-1].append("" if over is None else f"{over.median:.2f} ({_quartiles(over)})")
    head = ["work", "mongospec, µs", "mongojet, µs", "ratio", "quartiles", "aim"]
    if earlier is not None:
        head.append(f"ratio to {earlier}")
    return f"## mongospec and the driver below it\n\n{_table(head, rows)}"


def _threads(results: "Results") -> str:
    labels = list(results.bytecodes)  # those on the same driver
    rows: list[list[str]] = []
    for row, concurrency in turns([row for row in ROWS if row.together]):
        cells: list[str] = []
        for label in labels:
            for each in _OF_A_SAMPLE.values():
                figures = results.samples.figures(label, (row.title, concurrency), each)
                cells.append("" if figures is None else _number(figures.median))
        rows.append([titled(row, concurrency), *cells])
    head = ["work", *[f"{label}: {name}" for label in labels for name in _OF_A_SAMPLE]]
    return (
        "## Which thread it is spent in\n\n"
        "Of the same CPU, the part of the event loop's thread, where all Python runs, and that of the "
        "driver's threads; and how often a thread has stopped to wait for another. Most of an operation is "
        f"the price of that.\n\n{_table(head, rows)}"
    )


_OF_A_SAMPLE: Mapping[str, Callable[[Sample], float]] = {
    "event loop, µs": lambda each: each.event_loop,
    "driver, µs": lambda each: each.cpu - each.event_loop,
    "waits": lambda each: each.switches,
}


def _aim(aim: Aim, concurrency: int) -> str:
    if aim.microseconds is not None:
        return f"{aim.microseconds:,.0f} µs"
    value = aim.alone if concurrency == 1 else aim.together
    return "" if value is None else f"{value:.2f}"


def _ready(results: "Results") -> str:
    labels = list(results.bytecodes)
    rows = []
    for row in ROWS:
        figures = [results.ready.figures(label, (row.title, 1)) for label in labels]
        counts = [results.bytecodes[label].get(row.title) for label in labels]
        aim = READY_AIMS.get(row.title)
        rows.append(
            [row.title]
            + ["" if each is None else f"{each.median:.1f}" for each in figures]
            + ["" if aim is None else f"{aim:.1f}"]
            + ["" if each is None else f"{each:,}" for each in counts]
        )
    head = [
        "work",
        *[f"{label}, µs" for label in labels],
        "aim for mongospec",
        *[f"{label}, bytecodes" for label in labels],
    ]
    return (
        "## Without the driver\n\n"
        "A tight loop on a driver whose calls return ready bytes at once, one operation at a time; and "
        f"the Python bytecodes of one operation, or of one document.\n\n{_table(head, rows)}"
    )


def _imports(results: "Results") -> str:
    over, empty = results.over_driver, results.empty
    assert over is not None and empty is not None
    return (
        f"`import mongospec` takes {_spread(over.milliseconds)} ms over `import asyncio, mongojet, "
        f"msgspec`; aim: {IMPORT_AIM}. It loads {over.modules} modules, and to load as many empty ones takes "
        f"{_spread(empty.milliseconds)} ms."
    )


# -- everybody


def _ratios(results: "Results") -> str:
    raw = _label(results, RAW)

    def cell(each: Contender, row: Row, concurrency: int) -> str:
        ratio = results.samples.ratio(each.label, (row.title, concurrency), raw)
        return "" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} - {ratio.high:.2f})"

    return (
        "## Everybody, as a multiple of raw dictionaries\n\n"
        "Client CPU; the median, and the quartiles in brackets. An empty field: the package has no "
        f"such operation.\n\n{_everybody(results, cell)}"
    )


def _microseconds(results: "Results") -> str:
    def cell(each: Contender, row: Row, concurrency: int) -> str:
        figures = results.samples.figures(each.label, (row.title, concurrency))
        return "" if figures is None else _number(figures.median)

    return f"## The same in microseconds\n\n{_everybody(results, cell)}"


def _everybody(results: "Results", cell: Callable[[Contender, Row, int], str]) -> str:
    rows = [
        [titled(row, concurrency), *[cell(each, row, concurrency) for each in results.contenders]]
        for row, concurrency in turns()
    ]
    return _table(["work", *[each.label for each in results.contenders]], rows)


def _resources(results: "Results") -> str:
    labels = [each.label for each in results.contenders]
    lines = [
        ["import, ms", *[_spread(results.imports[label].milliseconds) for label in labels]],
        [
            f"memory at the peak of a find_all of {results.memory_documents:,} documents, MB",
            *[f"{results.memory[label][0]:.0f}" for label in labels],
        ],
        ["of it for the find_all, MB", *[f"{results.memory[label][1]:.0f}" for label in labels]],
    ]
    for row in ROWS:
        counts = [results.commands[label].get(row.title) for label in labels]
        cells = ["" if each is None else f"{each:g}" for each in counts]
        lines.append([f"commands: {row.title.split(', a ')[0]}", *cells])
    return (
        "## Imports, memory, commands\n\n"
        "Commands are for one call as the server counted them; of calls with many documents, for "
        f"three.\n\n{_table(['', *labels], lines)}"
    )


# -- growth and threads


def _growth(results: "Results") -> str:
    lines = []
    for label, found in results.growth.items():
        for row in dict.fromkeys(each.row for each in found):
            sizes = [each for each in found if each.row == row]
            first = sizes[0].microseconds
            lines.append(
                [f"{label}: {row}"]
                + [
                    f"{each.microseconds:.2f} µs ({each.microseconds / first:.2f}), "
                    f"{each.megabytes:.0f} MB"
                    for each in sizes
                ]
            )
    sizes = dict.fromkeys(each.documents for each in next(iter(results.growth.values())))
    return (
        "## Growth\n\n"
        "CPU for one document, its ratio to the smallest size, and the memory that the work took at its "
        "peak (in a fresh process). Aims: within a tenth; a cursor's memory is flat.\n\n"
        + _table(["", *[f"{size:,} documents" for size in sizes]], lines)
    )


def _one_thread(results: "Results") -> str:
    samples: Samples = results.one_thread
    labels = list(results.growth)
    rows = []
    for row, concurrency in turns([row for row in ROWS if row.together]):
        cells = []
        for label in labels:
            one = label + ONE_THREAD
            ratio = samples.ratio(one, (row.title, concurrency), label)
            cells.append("" if ratio is None else f"{ratio.median:.2f} ({_quartiles(ratio)})")
        rows.append([titled(row, concurrency), *cells])
    return (
        "## One thread for the driver\n\n"
        "CPU with `TOKIO_WORKER_THREADS=1` in the environment, as a part of the CPU without.\n\n"
        + _table(["", *labels], rows)
    )


def _quartiles(figures: Figures) -> str:
    return f"{figures.low:.2f} - {figures.high:.2f}"


def _spread(figures: Figures) -> str:
    return f"{figures.median:.0f} ({figures.low:.0f} - {figures.high:.0f})"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
