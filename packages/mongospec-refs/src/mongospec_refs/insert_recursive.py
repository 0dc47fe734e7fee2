"""``insert_recursive()`` and its result."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Unpack, cast

import msgspec

from mongospec_core import timeout
from mongospec_core.extension import (
    DELETED,
    Binding,
    DeleteOptions,
    Ids,
    InsertMany,
    Operation,
    begin,
    binding_of,
    encode_document,
    is_new,
    no_timeout,
    run_pre_save,
    set_snapshot,
    shown,
    snapshot_of,
    to_raw_documents,
)
from mongospec_refs.errors import RecursiveInsertError, RecursiveRollbackError
from mongospec_refs.graph import WRITES, inherited_options, reachable_documents, references_of
from mongospec_refs.rollback import PATIENCE, Created, delete, shielded
from mongospec_refs.unresolved import class_of


class RecursiveInsertResult[D]:
    """The documents that ``insert_recursive()`` created.

    ``document`` is the root; ``created_documents`` lists all that were inserted, in that order:
    referenced documents before those that refer to them.

    .. code-block:: python

        result = await Post(title="Hello", author=User(name="Alice")).insert_recursive()
        [type(each).__name__ for each in result.created_documents]  # ['User', 'Post']
        await result.rollback()  # 2
    """

    def __init__(self, document: D) -> None:
        self.document = document
        self.created_documents: list[Any] = []
        self._left: list[Created] = []

    def __repr__(self) -> str:
        names = ", ".join(type(each).__name__ for each in self.created_documents)
        return f"RecursiveInsertResult(created_documents=[{names}])"

    async def rollback(self, **options: Unpack[DeleteOptions]) -> int:
        """Delete the created documents in reverse order, with one ``delete`` command per class.

        The documents are new again, and an ``_id`` that mongospec generated is removed, so that the
        graph can be inserted again. A cancellation does not interrupt it. Called again, it deletes
        the documents that it could not delete before; else it sends nothing and returns 0.

        :param options: the driver's, for example ``session`` or ``timeout``.
        :returns: how many documents were deleted.
        :raises RecursiveRollbackError: some could not be deleted.

        .. code-block:: python

            result = await post.insert_recursive()
            await result.rollback()
        """

        async def work() -> int:
            undone = await delete(
                self._left,
                lambda cls: begin(cls, "rollback", "delete_many", options, "write")[1],
                trust=True,
            )
            self._left = undone.left
            if undone.failures:
                whole = len(undone.left) + undone.deleted
                end = f"{len(undone.left)} of {whole} documents were not deleted, rollback() may be called again"
                raise RecursiveRollbackError(
                    f"{end if undone.left else 'all was deleted'}: {undone.failures[0].error}",
                    failures=undone.failures,
                    deleted_count=undone.deleted,
                ) from undone.failures[0].error
            return undone.deleted

        return await shielded(work())


async def insert_recursive[D](
    root: D, validate_on_write: bool | None, options: Mapping[str, Any]
) -> RecursiveInsertResult[D]:
    """Insert *root* and every new document that can be reached from it."""
    _, call = begin(class_of(root), "insert_recursive", "insert_one", options, "write")
    documents = await _new_after_hooks(root)
    result = RecursiveInsertResult(root)
    fresh = {id(each) for each in documents if each._id is None}
    with Ids(documents) as ids:
        batches = [
            _batch(cls, group, validate_on_write) for cls, group in _by_height(root, documents)
        ]
        ids.sent = True
        await _Insertion(call, ids, fresh, result, options).run(batches)
    return result


async def _new_after_hooks(root: Any) -> list[Any]:
    """Return the new documents of the graph after their hooks, which may add further ones."""
    done: set[int] = set()
    while True:
        new = [each for each in reachable_documents([root]) if each is root or is_new(each)]
        waiting = [each for each in new if id(each) not in done]
        if not waiting:
            for each in new:
                if snapshot_of(each) is DELETED:
                    set_snapshot(each, None)  # it is to be stored again
            return new
        for document in waiting:
            done.add(id(document))
            if "__pre_save__" in binding_of(class_of(document)).hooks:
                await run_pre_save(document)


def _by_height(root: Any, documents: Sequence[Any]) -> list[tuple[type[Any], list[Any]]]:
    """Return documents by class, those without references to other new ones first, then those above.

    In a cycle the first one refers to documents that come after it.
    """
    new = {id(each) for each in documents}
    height: dict[int, int] = {}
    levels: dict[tuple[int, type[Any]], list[Any]] = {}
    for document in reachable_documents([root]):
        below = [height[id(each)] for each in references_of(document) if id(each) in height]
        height[id(document)] = max(below, default=-1) + (id(document) in new)
        if id(document) in new:
            key = height[id(document)], class_of(document)
            levels.setdefault(key, []).append(document)
    first = sorted(levels.items(), key=lambda level: level[0][0])  # stable: classes as met
    return [(cls, group) for (_, cls), group in first]


class _Batch(msgspec.Struct, frozen=True):
    """The documents of one class and height, ready to be sent."""

    binding: Binding
    documents: list[Any]
    raws: list[dict[str, Any]]
    encoded: list[bytes]


def _batch(cls: type[Any], documents: list[Any], validate_on_write: bool | None) -> _Batch:
    binding = binding_of(cls)
    cls._before_write(documents)
    raws = to_raw_documents(binding.plan, documents, validate=validate_on_write)
    return _Batch(binding, documents, raws, [encode_document(binding.plan, raw) for raw in raws])


class _Insertion:
    """Sends the batches, and rolls back if one fails."""

    def __init__(
        self,
        call: Operation,
        ids: Ids,
        fresh: set[int],
        result: RecursiveInsertResult[Any],
        options: Mapping[str, Any],
    ) -> None:
        self._call = call
        self._ids = ids
        self._fresh = fresh
        self._result = result
        self._sent = inherited_options(WRITES, call)
        self._kept = {name: options[name] for name in ("session",) if name in options}

    async def run(self, batches: Sequence[_Batch]) -> None:
        for number, batch in enumerate(batches):
            try:
                await self._send(batch)
            except BaseException as error:  # noqa: BLE001 - _fail raises it, or its own
                for later in batches[number + 1 :]:
                    for document in later.documents:
                        self._ids.take_back(document)
                await self._fail(error)

    async def _send(self, batch: _Batch) -> None:
        name = f"{self._call.operation}: {batch.binding.plan.cls.__name__}"
        call = self._call.for_target(batch.binding.target, name, self._sent, write=True)
        insert = InsertMany(call, self._ids, batch.documents, batch.encoded, True)
        try:
            await insert.run()
        finally:
            for place, (document, raw) in enumerate(zip(batch.documents, batch.raws, strict=True)):
                outcome = insert.outcome(place)
                if outcome == "not_applied":
                    continue
                fresh = id(document) in self._fresh
                self._result._left.append(Created(document, raw, fresh, outcome == "applied"))
                if outcome == "applied":
                    self._result.created_documents.append(document)

    async def _fail(self, error: BaseException) -> NoReturn:
        """Roll back, and raise."""
        result = self._result
        rollback_error: Exception | None = None

        async def undo() -> None:
            nonlocal rollback_error
            with (
                no_timeout(),
                timeout(PATIENCE),
            ):  # its own time, even if that of a block has passed
                undone = await delete(result._left, self._undoing, trust=False)
            result._left = undone.left
            rollback_error = undone.failures[0].error if undone.failures else None

        if self._call.transaction is not None:
            result._left = []  # the transaction rolls back, ids and snapshots included
        elif result._left:
            try:
                await shielded(undo())
            except asyncio.CancelledError as cancelled:
                error = cancelled
        unknown = [each.document for each in result._left]
        end = "nothing was kept"
        if unknown:
            end = f"{len(unknown)} documents may be in the database"
        if not isinstance(error, Exception):
            if self._call.transaction is None:  # else that of its end
                cast("Any", error).outcome = "unknown" if unknown else "not_applied"
            if unknown:
                names = ", ".join(
                    f"{type(each).__name__} {shown(each._id)}" for each in unknown[:10]
                )
                error.add_note(f"{self._call.operation}: {end}: {names}")
            raise error
        if unknown:
            end += ", see .unknown"
        raise RecursiveInsertError(
            f"{self._call.operation}: {error}; {end}",
            result=result,
            unknown=unknown,
            rollback_error=rollback_error,
        ) from error

    def _undoing(self, cls: type[Any]) -> Operation:
        return begin(cls, "insert_recursive: rollback", "delete_many", self._kept, "write")[1]
