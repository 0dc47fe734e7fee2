"""Compare mongospec with the driver below it, or with everybody: ``make bench``, ``make bench-peers``.

python -m benchmarks.run [--peers] [--quick] [--rounds N] [--output FOLDER]
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import (
    FULL,
    GROWING,
    ONE_THREAD,
    OURS,
    QUICK,
    RAW,
    ROOT,
    Contender,
    Growth,
    Imports,
    Samples,
    check,
    empty_imports,
    growth,
    imports,
    measure,
    peak_megabytes,
    workers,
)
from benchmarks.peers import PEERS, contenders
from benchmarks.rows import ROWS
from benchmarks.server import running

SITTINGS = 3
"""How often all processes are started anew: the lay-out of a process's memory is luck."""
_BEFORE = ("asyncio", "mongojet", "msgspec")


@dataclasses.dataclass
class Results:
    """All that one run has measured, and how."""

    contenders: list[Contender]
    rounds: int
    quick: bool
    commands: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    samples: Samples = dataclasses.field(default_factory=Samples)
    ready: Samples = dataclasses.field(default_factory=Samples)
    bytecodes: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    one_thread: Samples = dataclasses.field(default_factory=Samples)
    growth: dict[str, list[Growth]] = dataclasses.field(default_factory=dict)
    memory: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    memory_documents: int = 0
    imports: dict[str, Imports] = dataclasses.field(default_factory=dict)
    over_driver: Imports | None = None
    empty: Imports | None = None
    seconds: float = 0.0


def run(who: list[Contender], *, rounds: int, quick: bool, say: Callable[[str], None]) -> Results:
    results = Results(who, rounds, quick)
    size = QUICK if quick else FULL
    start = time.monotonic()
    on_driver = [
        each for each in who if PEERS[each.module]["imports"][:2] == ["asyncio", "mongojet"]
    ]
    raw_and_ours = [each for each in who if each.module in (RAW, OURS)]
    with running() as port:
        sittings = min(SITTINGS, rounds)
        for sitting in range(sittings):
            say(f"sitting {sitting + 1} of {sittings}")
            with workers(who, port) as all_workers:
                results.commands = check(all_workers)
                part = rounds // sittings + (sitting < rounds % sittings)
                measure(all_workers, results.commands, size, part, results.samples)
        say("one thread of the driver's")
        singly = [
            each._replace(
                label=each.label + ONE_THREAD, environment=(("TOKIO_WORKER_THREADS", "1"),)
            )
            for each in raw_and_ours
        ]
        with workers([*raw_and_ours, *singly], port) as all_workers:
            commands = check(all_workers)
            rows = [row for row in ROWS if row.together]
            measure(all_workers, commands, size, rounds, results.one_thread, rows)
        say("growth")
        sizes = (100, 1_000) if quick else (1_000, 10_000, 100_000)
        for each in raw_and_ours:
            results.growth[each.label] = growth(
                each, port, sizes, 1 if quick else 5, GROWING[:1] if quick else GROWING
            )
        results.memory_documents = sizes[-2] if not quick else sizes[-1]
        for each in who:
            results.memory[each.label] = peak_megabytes(
                each, port, "find_all, a document", results.memory_documents
            )
    say("ready bytes")
    with workers(on_driver, "ready") as all_workers:
        measure(all_workers, results.commands, size, rounds, results.ready)
        for worker in all_workers:
            label = worker.contender.label
            results.bytecodes[label] = {
                title: worker.ask("bytecodes", row=title)["count"]
                for title in results.commands[label]
            }
    say("imports")
    for each in who:
        results.imports[each.label] = imports(each.python, PEERS[each.module]["imports"], rounds)
    ours = next(each for each in who if each.module == OURS)
    results.over_driver = imports(ours.python, ["mongospec"], rounds, _BEFORE)
    results.empty = empty_imports(ours.python, results.over_driver.modules, rounds)
    results.seconds = time.monotonic() - start
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="compare mongospec with others")
    parser.add_argument("--peers", action="store_true", help="with everybody in peers.toml")
    parser.add_argument("--rounds", type=int, help="turns of each (default: 15; --quick: 1)")
    parser.add_argument("--quick", action="store_true", help="see in a minute that it runs")
    parser.add_argument("--output", type=Path, help="the folder of RESULTS.md and of the plot")
    options: Any = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 15)
    if options.peers:
        who = contenders()
    else:
        who = [Contender(each, PEERS[each]["label"]) for each in (RAW, OURS)]
    results = run(who, rounds=rounds, quick=options.quick, say=lambda text: print(f"... {text}"))
    print(text := report.to_markdown(results))
    folder = options.output
    if folder is None and options.peers:
        folder = ROOT / "build" / "benchmarks" if options.quick else Path(__file__).parent
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "RESULTS.md").write_text(text + "\n", "utf-8")
        (folder / "results.svg").write_text(report.plot(results), "utf-8")
        print(f"... written to {folder}")


if __name__ == "__main__":
    main()
