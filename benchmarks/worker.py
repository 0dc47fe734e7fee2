"""The process that does one contender's work: told what by lines of JSON, it answers with figures.

python -m benchmarks.worker CONTENDER PORT        a contender's module; the server's port, or "ready"
"""

import asyncio
import gc
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import bytecodes
from benchmarks.data import Raw
from benchmarks.rows import BY_TITLE, CHECKED, ROWS, Given, Row
from benchmarks.server import control

_STATUS = Path("/proc/self/status")


class Worker:
    def __init__(self, contender: Any, port: int) -> None:
        self._contender = contender
        self._port = port

    async def close(self) -> None:
        await self._contender.close()

    async def started(self) -> dict[str, Any]:
        """Answer: by then the contender is connected."""
        return {}

    async def check(self) -> dict[str, Any]:
        """Do every row once: what was right, with the commands for each call, and what was not."""
        commands: dict[str, float] = {}
        wrong: dict[str, str] = {}
        for row in ROWS:
            method = getattr(self._contender, row.method, None)
            if method is None:
                continue
            try:
                given = await self._given(row, CHECKED)
                control(self._port, keep=True)
                results = [await method(*each) for each in given]
                told = control(self._port)
                row.check(self._contender, given, results, told["writes"])
            except Exception as error:  # noqa: BLE001 - it belongs into the report
                wrong[row.title] = f"{type(error).__name__}: {error}"[:2_000]
            else:
                commands[row.title] = sum(told["counts"].values()) / len(given)
        return {"commands": commands, "wrong": wrong}

    async def turn(
        self, row: str, *, count: int, calls: int = 1, concurrency: int = 1
    ) -> dict[str, float]:
        """What one operation, or document, takes of this process: a :class:`benchmarks.measure.Sample`.

        Its threads count, waiting for the server does not. The garbage is collected before; in the
        turn the collector runs as it does in an application.

        :param count: how many operations, or documents in each call.
        :param calls: how many calls of those that handle many documents.
        """
        work = BY_TITLE[row]
        if work.batch:
            given = [each for _ in range(calls) for each in await self._given(work, count)]
        else:
            given = await self._given(work, count)
        method = getattr(self._contender, work.method)
        parts = [given[start::concurrency] for start in range(concurrency)]
        operations = len(given) * (count if work.batch else 1)
        gc.collect()
        start = _taken()
        if concurrency == 1:
            await _run(method, given)
        else:
            await asyncio.gather(*[_run(method, part) for part in parts])
        taken = _taken()
        return {name: (taken[name] - start[name]) / operations for name in taken}

    async def memory(self, row: str, *, count: int) -> dict[str, float]:
        """Megabytes of this process before a call, and at its peak."""
        work = BY_TITLE[row]
        method = getattr(self._contender, work.method)
        await _run(method, await self._given(work, CHECKED))
        given = await self._given(work, count)
        gc.collect()
        before = _megabytes("VmRSS")
        _begin_a_new_peak()
        await _run(method, given)
        return {"before": before, "peak": _megabytes("VmHWM")}

    async def _given(self, row: Row, count: int) -> Given:
        control(self._port, sizes=dict.fromkeys(row.sizes, count))
        return await row.given(self._contender, count)


class ReadyWorker(Worker):
    """The same on a driver that answers with ready bytes."""

    async def bytecodes(self, row: str) -> dict[str, int]:
        """What one operation executes, or the part of one document."""
        work = BY_TITLE[row]
        method = getattr(self._contender, work.method)
        documents = 100
        given = await self._given(work, documents)
        if work.batch:
            warm, measured = await self._given(work, documents), given[0]
        else:
            warm, measured = given[:2], given[2]
        await _run(method, warm)  # what is done once has been done
        counted = await bytecodes.count(method(*measured))
        return {"count": round(counted / documents) if work.batch else counted}

    async def _given(self, row: Row, count: int) -> Given:
        for name in row.sizes:
            self.core.get_collection(name).size(count)
        return await row.given(self._contender, count)


async def _run(method: Any, given: Given) -> None:
    for each in given:
        await method(*each)


def _taken() -> dict[str, float]:
    """What this process has taken since it was started."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": time.process_time() * 1e6,
        "event_loop": time.thread_time() * 1e6,
        "switches": usage.ru_nvcsw,
    }


def _begin_a_new_peak() -> None:
    if _STATUS.exists():
        _STATUS.with_name("clear_refs").write_text("5", encoding="ascii")


def _megabytes(name: str) -> float:
    """The process's memory as Linux knows it; elsewhere the most that it has had."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _contender(module: str) -> Any:
    path = module if "." in module else f"benchmarks.contenders.{module}"
    return importlib.import_module(path).Contender()


async def ready(module: str) -> ReadyWorker:
    """A contender that stands on mongojet, on a driver that answers with ready bytes."""
    from benchmarks.ready import database  # noqa: PLC0415 - other contenders have no mongojet

    contender = _contender(module)
    db, core = database()
    await contender.bind(db)
    worker = ReadyWorker(contender, 0)
    worker.core = core
    return worker


async def over_the_wire(module: str, port: int) -> Worker:
    contender = _contender(module)
    await contender.open(f"mongodb://127.0.0.1:{port}")
    return Worker(contender, port)


def main(module: str, port: str) -> None:
    with asyncio.Runner() as runner:
        opened = ready(module) if port == "ready" else over_the_wire(module, int(port))
        worker = runner.run(opened)
        answers, sys.stdout = sys.stdout, sys.stderr  # nobody else prints an answer
        for line in sys.stdin:
            request: Raw = json.loads(line)
            answer = runner.run(getattr(worker, request.pop("do"))(**request))
            print(json.dumps(answer), file=answers, flush=True)
        runner.run(worker.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
