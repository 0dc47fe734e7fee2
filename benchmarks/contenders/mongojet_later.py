"""mongojet with plain dictionaries, and a loop of 10 µs that does nothing before each single operation."""

import time
from typing import Any

from benchmarks.contenders import mongojet_raw
from benchmarks.data import Raw

_SECONDS = 10e-6


def _turns() -> int:
    """How often the loop turns in 10 µs, when nothing disturbs it."""
    fastest = min(_seconds(10_000) for _ in range(20))
    return round(10_000 * _SECONDS / fastest)


def _seconds(turns: int) -> float:
    start = time.perf_counter()
    for _ in range(turns):
        pass
    return time.perf_counter() - start


class Contender(mongojet_raw.Contender):
    def __init__(self) -> None:
        self._turns = _turns()

    def _wait(self) -> None:
        for _ in range(self._turns):
            pass

    def find_one(self, identity: Any) -> Any:
        self._wait()
        return super().find_one(identity)

    def insert_one(self, document: Raw) -> Any:
        self._wait()
        return super().insert_one(document)

    def update_one(self, identity: Any, values: Raw) -> Any:
        self._wait()
        return super().update_one(identity, values)

    def save(self, document: Raw, name: str, age: int) -> Any:
        self._wait()
        return super().save(document, name, age)
