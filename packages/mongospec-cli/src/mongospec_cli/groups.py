"""Groups of findings that are alike, each with a count and a few examples."""

import re
from collections.abc import Callable
from typing import Any

EXAMPLES = 5
"""How many examples a group keeps."""
_GROUPS = 500
"""How many groups of one kind are kept apart; what comes after that is counted by its top-level field."""


class Groups:
    """Groups of one kind, of which there are not too many.

    :param found: the list that they are added to: Structs with ``count`` and ``examples``.
    """

    def __init__(self, found: list[Any]) -> None:
        self._found = found
        self._by_key: dict[tuple[Any, ...], Any] = {}

    def add(
        self,
        key: tuple[Any, ...],
        otherwise: tuple[Any, ...],
        make: Callable[..., Any],
        example: Any,
    ) -> Any:
        """Count one more in the group of *key*; in that of *otherwise* if there are too many.

        :param make: makes a group of its key.
        """
        group = self._by_key.get(key)
        if group is None:
            if len(self._by_key) >= _GROUPS:
                key = otherwise
                group = self._by_key.get(key)
            if group is None:
                group = self._by_key[key] = make(*key)
                self._found.append(group)
        group.count += 1
        if len(group.examples) < EXAMPLES and example not in group.examples[-1:]:
            group.examples.append(example)
        return group


def general(path: str) -> str:
    """Return a path without the numbers of a list's elements."""
    return re.sub(r"\[\d+\]|\[\.\.\.\]", "[]", path)


def top(path: str) -> str:
    """Return the field at the top of a path."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]
