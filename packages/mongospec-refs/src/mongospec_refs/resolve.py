"""Resolve references level by level, with one query for each class.

The documents of a level are read with one ``find`` per class and filled in place; their references
are the next level. Every ``find`` returns all its documents in one batch.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from bson import ObjectId

from mongospec_core import DocumentValidationError, InvalidDocument, InvalidIdError
from mongospec_core.extension import (
    OnInvalid,
    Operation,
    binding_of,
    check_id,
    encode,
    shown,
    split_documents,
    to_raw,
)
from mongospec_refs.graph import READS, inherited_options, references_in
from mongospec_refs.identity_map import Wanted, key_of
from mongospec_refs.reader import ReferenceReader
from mongospec_refs.unresolved import class_of

_PRIMARY = {"mode": "primary"}
_MOST_BYTES = 8 * 1024 * 1024
"""A query with more ids is split; the server accepts 16 MB."""


async def resolve(
    root: ReferenceReader[Any], documents: Sequence[Any], call: Operation, depth: int | None
) -> None:
    """Read the documents that *documents* refer to, level by level.

    :param root: the reader of *documents*.
    :param call: their read: its session, its time and its read preference count.
    :param depth: how many levels; None: all.
    :raises DocumentValidationError: a referenced document does not fit its class.
    """
    references = root.references
    level = 0
    while level != depth and (wanted := references.take_open()):
        level += 1
        unfit = _InvalidReferences(root.on_invalid)
        await _fill(root, wanted, call, unfit, {})
        possibly_stale = {cls: left for cls, left in wanted.items() if left and _may_lag(call, cls)}
        if possibly_stale:
            await _fill(root, possibly_stale, call, unfit, {"read_preference": _PRIMARY})
        if unfit.found and root.on_invalid == "raise":
            references.put_in_place(documents)
            raise unfit.error(documents)
        references.unresolved += [document for document, _ in unfit.found]
        references.missing += [each for left in wanted.values() for each in left.values()]


def _may_lag(call: Operation, cls: type[Any]) -> bool:
    """Return whether the read may have used a secondary: only the primary knows what is missing."""
    if call.transaction is not None:
        return False
    collection = binding_of(cls).target.collection
    preference = call.options.get("read_preference") or collection.read_preference
    return preference is not None and str(preference["mode"]).lower() != "primary"


async def _fill(
    root: ReferenceReader[Any],
    wanted: Wanted,
    call: Operation,
    unfit: "_InvalidReferences",
    options: Mapping[str, Any],
) -> None:
    """Read *wanted*; documents that are found are filled and removed from it."""
    queries = [
        (cls, query, count)
        for cls, documents in wanted.items()
        if documents
        for query, count in _queries(cls, _ids(cls, documents.values()))
    ]
    batches = await _gathered(
        [
            partial(
                _ask,
                call,
                cls,
                query,
                {**inherited_options(READS, call), **options, "batch_size": count + 1},
            )
            for cls, query, count in queries
        ],
        one_by_one=call.session is not None or call.transaction is not None,
    )
    for (cls, _, _), batch in zip(queries, batches, strict=True):
        binding = binding_of(cls)
        reader = ReferenceReader(
            binding.plan,
            binding.target.codec,
            root.references,
            on_invalid=unfit.noting(wanted[cls]),
            target=root.target,
        )
        root.references.fill(wanted, cls, reader.decode(split_documents(batch)))


def _ids(cls: type[Any], documents: Iterable[Any]) -> list[Any]:
    """Return the ids to query, without those that MongoDB would read as operators."""
    ids = [each._id for each in documents]
    if all(type(each) is ObjectId for each in ids):
        return ids
    return [raw for raw in map(to_raw, ids) if may_exist(cls, raw)]


def may_exist(cls: type[Any], raw: Any) -> bool:
    """Return whether a raw value can be the ``_id`` of a document of a class."""
    try:
        check_id(cls, raw)
    except InvalidIdError:
        return False
    return True


def _queries(cls: type[Any], ids: list[Any]) -> Iterable[tuple[bytes, int]]:
    if not ids:
        return
    query = encode(binding_of(cls).scoped({"_id": {"$in": ids}}))
    if len(query) <= _MOST_BYTES or len(ids) == 1:
        yield query, len(ids)
    else:
        half = len(ids) // 2
        yield from _queries(cls, ids[:half])
        yield from _queries(cls, ids[half:])


async def _ask(call: Operation, cls: type[Any], query: bytes, options: Mapping[str, Any]) -> bytes:
    target = binding_of(cls).target
    further = call.for_target(target, f"{call.operation}: {cls.__name__}", options, write=False)
    batch: bytes = await further.send("find_many", query)
    return batch


async def _gathered(
    questions: Sequence[Callable[[], Coroutine[Any, Any, bytes]]], *, one_by_one: bool
) -> list[bytes]:
    """Return the results in order; in a session one at a time, otherwise concurrently."""
    if one_by_one or len(questions) == 1:
        return [await each() for each in questions]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each()) for each in questions]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [each.result() for each in tasks]


class _InvalidReferences:
    """Referenced documents that do not fit their class."""

    def __init__(self, on_invalid: OnInvalid) -> None:
        self.found: list[tuple[Any, InvalidDocument]] = []
        self._on_invalid = on_invalid

    def noting(
        self, wanted: dict[Hashable, Any]
    ) -> Callable[[InvalidDocument, Mapping[str, Any]], None]:
        """Return the ``on_invalid`` of a reader of one class."""

        def note(failure: InvalidDocument, raw: Mapping[str, Any]) -> None:
            document = wanted.pop(key_of(raw.get("_id")), None)
            if document is not None:
                self.found.append((document, failure))
                if callable(self._on_invalid):
                    self._on_invalid(failure, raw)

        return note

    def error(self, roots: Sequence[Any]) -> DocumentValidationError:
        """Return one error for all, each with its path from the root."""
        paths = _paths_from_roots(roots, {id(document) for document, _ in self.found})
        failures: list[InvalidDocument] = []
        for document, failure in self.found:
            root, path = paths[id(document)]
            failures.append(
                InvalidDocument(
                    getattr(root, "_id", None),
                    f"{path}.{failure.path}" if failure.path else path,
                    f"{failure.reason}, in the {type(document).__name__} of _id={shown(failure.id)}",
                )
            )
        return DocumentValidationError(
            class_of(roots[0]),
            failures,
            "stored like this; correct it, teach its class by __upgrade__, or read with "
            'on_invalid="skip", which leaves the reference unresolved',
        )


def _paths_from_roots(roots: Sequence[Any], wanted: set[int]) -> dict[int, tuple[Any, str]]:
    """Return the root and the shortest path of each wanted document."""
    paths: dict[int, tuple[Any, str]] = {}
    seen = {id(each) for each in roots}
    todo = [(root, root, "") for root in roots]
    for root, holder, above in todo:  # grows as it goes: level by level
        for reference in references_in(holder):
            document = reference.document
            if id(document) in seen:
                continue
            seen.add(id(document))
            path = f"{above}.{reference.path}" if above else reference.path
            if id(document) in wanted:
                paths[id(document)] = (root, path)
            else:
                todo.append((root, document, path))
    return paths
