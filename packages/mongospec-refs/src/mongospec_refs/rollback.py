"""Delete documents that were inserted, or may have been."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from mongospec_core import MongospecError, OperationError, ServerUnavailableError
from mongospec_core.extension import (
    Operation,
    encode,
    id_filter,
    outcome_of,
    refuse_elsewhere,
    set_snapshot,
    snapshot_of,
)
from mongospec_refs.errors import RollbackFailure
from mongospec_refs.unresolved import class_of


class Created(msgspec.Struct, frozen=True):
    """One document, its raw form, and whether its ``_id`` was generated here."""

    document: Any
    raw: dict[str, Any]
    fresh: bool
    certain: bool = True

    def filter(self) -> dict[str, Any]:
        """Return a filter that finds only this document.

        If it is unknown whether a document with an id of the caller's was inserted by us, it may have
        existed before: only a document that equals what was sent is ours.
        """
        if self.certain or self.fresh:
            return id_filter(class_of(self.document), self.raw["_id"])
        return {name: {"$eq": value} for name, value in self.raw.items()}


class RollbackReport(msgspec.Struct, frozen=True):
    """The result of a rollback."""

    deleted: int
    left: list[Created]
    failures: list[RollbackFailure]


async def delete(
    created: Iterable[Created], call_of: Callable[[type[Any]], Operation], *, trust: bool
) -> RollbackReport:
    """Delete documents, the last class first, with one ``delete`` command per class.

    Deleted documents are new again. It continues if one class fails, and stops if the server cannot
    be reached.

    :param trust: count documents whose insert got no reply as deleted, too; without it, the insert
        may still arrive, and the document stays *left*.
    """
    by_class: dict[type[Any], list[Created]] = {}
    for each in reversed(list(created)):
        by_class.setdefault(class_of(each.document), []).append(each)
    count, left, failures = 0, list[Created](), list[RollbackFailure]()
    unreachable: MongospecError | None = None
    for cls, group in by_class.items():
        call: Operation | None = None
        try:
            if unreachable is not None:
                raise unreachable
            refuse_elsewhere(cls, [each.document for each in group])
            call = call_of(cls)
            reply = await call.send("delete_many", _query(group))
        except MongospecError as error:
            deleted = None if call is None else _note(group, call, error)
            if deleted is None:
                left += group
            count += deleted or 0
            if isinstance(error, ServerUnavailableError | TimeoutError):
                unreachable = error
            failures.append(RollbackFailure(cls, [each.document for each in group], error))
        else:
            count += int(reply["deleted_count"])
            for each in group:
                if each.certain or trust:
                    _forget(each, call)
                else:
                    left.append(each)
    return RollbackReport(count, left[::-1], failures)


def _note(group: Sequence[Created], call: Operation, error: MongospecError) -> int | None:
    """Note what an error says of documents; how many were deleted, if only the write concern failed."""
    outcome = outcome_of(error)
    if outcome == "applied":
        for each in group:
            _forget(each, call)
        details = error.details if isinstance(error, OperationError) else None
        return int((details or {}).get("n", len(group)))
    if outcome != "not_applied":
        for each in group:
            _doubt(each, call)
    return None


def _query(group: Iterable[Created]) -> bytes:
    filters = [each.filter() for each in group]
    by_id = [each["_id"] for each in filters if not isinstance(each["_id"], dict)]
    others = [each for each in filters if isinstance(each["_id"], dict)]
    if not others:
        return encode({"_id": {"$in": by_id}})
    return encode({"$or": [{"_id": {"$in": by_id}}, *others]})


def _forget(created: Created, call: Operation) -> None:
    """Mark the document as new again; if the transaction that deleted it aborts, restore it."""
    document = created.document
    id_, form = document._id, snapshot_of(document)

    def restore() -> None:
        force_setattr(document, "_id", id_)
        set_snapshot(document, form)

    set_snapshot(document, None)
    if created.fresh:
        force_setattr(document, "_id", None)
    call.on_abort(restore)


def _doubt(created: Created, call: Operation) -> None:
    """Mark the document as possibly gone, so not as stored; it keeps its ``_id``."""
    document, form = created.document, snapshot_of(created.document)
    set_snapshot(document, None)
    call.on_abort(lambda: set_snapshot(document, form))


PATIENCE = 1.0
"""Seconds for the rollback, and for a cancelled caller to wait if the server hangs."""


async def shielded[T](work: Coroutine[Any, Any, T]) -> T:
    """Return the result of *work*; a cancellation of the caller takes effect once it is done.

    :raises asyncio.CancelledError: the caller was cancelled; the work is done, or still running
        after the time for it. Its ``outcome`` says which.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        if task.done() and task.cancelled():
            raise
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while not task.done() and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError:
                continue  # a further cancellation is treated the same
        told: Any = cancelled
        if not task.done():
            told.outcome = "unknown"
            task.add_done_callback(_retrieve)
            raise
        error = task.exception()
        told.outcome = "applied" if error is None else outcome_of(error)
        raise cancelled from error


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task that is not awaited any more, or asyncio warns of it."""
    if not task.cancelled():
        task.exception()
