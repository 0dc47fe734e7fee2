"""Observers of commands, and the logger ``mongospec.operations``."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from mongospec_core.errors import OperationError, OptionError, shown

type Observer = Callable[[dict[str, Any]], AbstractContextManager[Any]]

_log = logging.getLogger("mongospec.operations")

_COMMANDS = {
    "find_one": "find",
    "find_many": "find",
    "find_one_and_update": "findAndModify",
    "find_one_and_replace": "findAndModify",
    "find_one_and_delete": "findAndModify",
    "insert_one": "insert",
    "insert_many": "insert",
    "update_one": "update",
    "replace_one": "update",
    "update_many": "update",
    "delete_one": "delete",
    "delete_many": "delete",
    "count_documents": "aggregate",
    "estimated_document_count": "count",
}
"""The commands that the driver's verbs send, if their names differ."""


class Instrumentation:
    """An observer installed by :func:`instrument`. It is removed at the end of a ``with``."""

    def __init__(self, observer: Observer | None, slow: float | None) -> None:
        self.observer = observer
        self.slow = slow

    def remove(self) -> None:
        """Stop observing. Idempotent."""
        global _installed  # noqa: PLW0603 - one tuple, read once by each operation
        _installed = tuple(each for each in _installed if each is not self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


_installed: tuple[Instrumentation, ...] = ()


def instrument(observer: Observer | None = None, *, slow: float | None = None) -> Instrumentation:
    """Observe every command that this process sends, until the end of the ``with``.

    *observer* is called with the attributes of each command and returns a context manager, which is
    entered before the command is sent and exited when it has ended. The attributes have
    OpenTelemetry's names and never contain a value of a document, a filter or an update::

        db.system.name           "mongodb"
        db.namespace             the database
        db.collection.name       the collection
        db.operation.name        the command: "find", "getMore", "insert", "commitTransaction"
        db.operation.batch.size  documents of an insert_many, statements of a bulk write
        mongospec.operation      the method: "User.find_one"

    After an error, these are added to the same dict before the context manager exits::

        error.type               the error's class
        db.response.status_code  the server's code, if there is one
        mongospec.outcome        of a write: "not_applied", "applied", "partial", "unknown"

    The context manager does not get the error itself, whose text can contain values, and cannot
    suppress it; an error of its own is logged and has no other effect. A command that the driver
    retries by itself is seen once. Further batches of ``find_all`` are fetched one by one.

    The logger ``mongospec.operations`` logs the same, at level DEBUG.

    :param observer: called as ``observer(attributes)``.
    :param slow: seconds after which a command is logged as a warning.
    :returns: a context manager; ``remove()`` ends it without a ``with``.

    .. code-block:: python

        @contextmanager
        def spans(attributes):
            with tracer.start_as_current_span(attributes["db.operation.name"]) as span:
                yield
                span.set_attributes(attributes)


        with instrument(spans, slow=0.5):
            await User.find_one({"email": "alice@example.com"})
    """
    global _installed  # noqa: PLW0603
    if observer is not None and not callable(observer):
        raise OptionError(f"instrument(): observer={shown(observer)} is not a function")
    if slow is not None and (
        type(slow) is bool or not isinstance(slow, int | float)  # pyright: ignore[reportUnnecessaryIsInstance]
    ):
        raise OptionError(f"instrument(): slow={shown(slow)} is not a number of seconds")
    made = Instrumentation(observer, slow)
    _installed = (*_installed, made)
    return made


def is_observed() -> bool:
    """Return whether commands are observed: the only cost of an operation if they are not.

    Measured, that is 0.1 microseconds; an observed command takes 4 more, and the observer's time.
    """
    return bool(_installed) or _log.isEnabledFor(logging.DEBUG)


@contextmanager
def observed(
    database: str, collection: str | None, verb: str, operation: str, size: int | None = None
) -> Generator[None]:
    """Report one command, which is sent in the block, to the observers and the log."""
    attributes: dict[str, Any] = {
        "db.system.name": "mongodb",
        "db.namespace": database,
        "db.operation.name": _COMMANDS.get(verb, verb),
        "mongospec.operation": operation,
    }
    if collection is not None:
        attributes["db.collection.name"] = collection
    if size is not None:
        attributes["db.operation.batch.size"] = size
    installed = _installed
    entered = [
        manager
        for each in installed
        if each.observer is not None and (manager := _enter(each.observer, attributes)) is not None
    ]
    started = time.perf_counter()
    try:
        yield
    except BaseException as error:
        attributes |= _error_attributes(error)
        raise
    finally:
        _write_log(installed, attributes, time.perf_counter() - started)
        for manager in reversed(entered):
            _leave(manager)


def _enter(observer: Observer, attributes: dict[str, Any]) -> AbstractContextManager[Any] | None:
    try:
        manager = observer(attributes)
        manager.__enter__()
    except Exception:  # noqa: BLE001 - an observer must not affect an operation
        _log.exception("the observer %s failed", shown(observer))
        return None
    return manager


def _leave(manager: AbstractContextManager[Any]) -> None:
    try:
        manager.__exit__(None, None, None)
    except Exception:  # noqa: BLE001 - an observer must not affect an operation
        _log.exception("an observer failed at the end of a command")


def _error_attributes(error: BaseException) -> dict[str, Any]:
    attributes: dict[str, Any] = {"error.type": type(error).__name__}
    if isinstance(error, OperationError) and error.code is not None:
        attributes["db.response.status_code"] = str(error.code)
    if (outcome := getattr(error, "outcome", None)) is not None:
        attributes["mongospec.outcome"] = outcome
    return attributes


def _write_log(
    installed: tuple[Instrumentation, ...], attributes: dict[str, Any], seconds: float
) -> None:
    slow = any(each.slow is not None and seconds >= each.slow for each in installed)
    level = logging.WARNING if slow else logging.DEBUG
    if not _log.isEnabledFor(level):
        return
    error = attributes.get("error.type")
    _log.log(
        level,
        "%s%s %s.%s (%s): %.1f ms%s",
        "slow: " if slow else "",
        attributes["db.operation.name"],
        attributes["db.namespace"],
        attributes.get("db.collection.name", ""),
        attributes["mongospec.operation"],
        seconds * 1000,
        "" if error is None else f", {error}",
        extra={"attributes": dict(attributes)},
    )
