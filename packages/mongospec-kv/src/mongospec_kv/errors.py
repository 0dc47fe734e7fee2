"""The errors of the key-value store; their roots are core's ``MongospecError``."""

from typing import Any, override

from mongospec_core import MongospecError
from mongospec_core.extension import shown


class KeyNotFoundError(MongospecError, KeyError):
    """``get()`` of a key that the store does not have; see ``store`` and ``key``."""

    def __init__(self, store: type, key: str) -> None:
        super().__init__(store, key)
        self.store = store
        self.key = key

    @override
    def __str__(self) -> str:  # KeyError's shows the representation of its argument
        return f"{self.store.__name__} has no key {shown(self.key)}"


class StoredValueError(MongospecError, ValueError):
    """A stored value is not of the type that it is read as.

    ``store`` and ``key`` identify it, ``path`` is the path in the value (empty: the value itself),
    ``reason`` what is wrong there.
    """

    def __init__(self, store: type, key: Any, path: str, reason: str) -> None:
        super().__init__(store, key, path, reason)
        self.store = store
        self.key = key
        self.path = path
        self.reason = reason

    @override
    def __str__(self) -> str:
        place = f" at {self.path}" if self.path else ""
        return (
            f"{self.store.__name__}: the value of the key {shown(self.key)} does not fit{place}: "
            f"{self.reason}; set() it again"
        )
