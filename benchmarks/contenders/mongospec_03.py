"""mongospec 0.3.3, the small package that is replaced: the same classes, the same calls."""

from typing import Any

from benchmarks.contenders import mongospec_now


class Contender(mongospec_now.Contender):
    def insert_many_unchecked(self, documents: list[Any]) -> Any:
        return self.insert_many(documents)  # it never checks
