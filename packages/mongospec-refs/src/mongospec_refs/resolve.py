"""Resolve references level by level, with one query for each class.

The documents of a level are read with one ``find`` per class and filled in place; their references
are the next level. Every ``find`` returns all its documents in one batch.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, override

from bson import ObjectId
from bson.codec_options import CodecOptions

from mongospec_core import DocumentValidationError, InvalidDocument, InvalidIdError, OptionError
from mongospec_core.extension import (
    DECIMAL_CODEC_OPTIONS,
    Binding,
    DocumentBase,
    OnInvalid,
    Operation,
    Plan,
    Projection,
    Read,
    Reader,
    begin,
    binding_of,
    check_id,
    decode,
    encode,
    id_filter,
    reading_plan,
    refuse_elsewhere,
    set_snapshot,
    settle_read,
    shown,
    snapshot_of,
    split_documents,
    to_raw,
    with_fields,
)
from mongospec_refs.errors import MissingReferenceError
from mongospec_refs.graph import (
    READS,
    inherited_options,
    reference_fields,
    references_in,
    refuse_projection_into_references,
)
from mongospec_refs.identity_map import IdentityMap, Wanted, key_of
from mongospec_refs.unresolved import (
    class_of,
    fill,
    is_resolved,
    real_class,
    set_class,
    unresolved_class,
)

_PRIMARY = {"mode": "primary"}
_MOST_BYTES = 8 * 1024 * 1024
"""A query with more ids is split; the server accepts 16 MB."""


class ReferenceReader[T](Reader[T]):
    """A reader that collects the references of a whole read.

    :ivar joined: whether references may be whole documents, as ``$lookup`` returns them.
    """

    __slots__ = ("joined", "references", "target")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        references: IdentityMap,
        *,
        on_invalid: OnInvalid = "raise",
        target: Any = None,
    ) -> None:
        super().__init__(plan, codec, on_invalid=on_invalid)
        self.references = references
        self.target = target
        self.joined = False

    def read_joined(self, plan: Plan[Any], raw: Mapping[str, Any]) -> Any:
        """Return the document that replaces a reference; one object for one ``_id``.

        :raises DocumentValidationError: it does not fit its class.
        """
        reader = ReferenceReader(reading_plan(plan.cls), DECIMAL_CODEC_OPTIONS, self.references)
        reader.joined = True
        (document,) = reader.decode([encode(raw)])
        return self.references.adopt(document, plan.cls)

    def decode(self, parts: list[bytes]) -> list[T]:
        """Decode as every reader; meanwhile an unresolved target is of its exact class."""
        target = self.target
        if self.joined:  # by a pipeline, which has no target
            documents = super().decode(parts)
            _remember_ids(self.plan, documents)
            return documents
        if target is None or is_resolved(target):
            return super().decode(parts)
        own = class_of(target)
        set_class(target, real_class(target))
        try:
            return super().decode(parts)
        finally:
            set_class(target, own)


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


class ReferenceRead(Read):
    """A read whose references are resolved, *depth* levels deep.

    :param target: a document outside of the read that references to its ``_id`` are to be.
    :param resolve_refs: with False, references stay unresolved.
    :param ref_depth: how many levels of references are resolved; None: all.
    """

    __slots__ = ("_target", "depth")
    parameters = frozenset({"resolve_refs", "ref_depth"})

    def __init__(
        self,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        *,
        target: Any = None,
        pipeline: bool = False,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
    ) -> None:
        super().__init__(projection, on_invalid, pipeline=pipeline)
        self._target = target
        if type(resolve_refs) is not bool:
            raise OptionError(f"resolve_refs={shown(resolve_refs)}: use True or False")
        if ref_depth is not None and (type(ref_depth) is not int or ref_depth < 0):
            raise OptionError(f"ref_depth={shown(ref_depth)}: a number of levels, or None for all")
        self.depth = ref_depth if resolve_refs else 0

    @override
    def check(self, binding: Binding) -> None:
        if isinstance(self.projection, type):
            # A class is hashable, but mypy does not know it for this metaclass.
            each: Any
            for each in binding.plan.members or (binding.plan.cls,):
                refuse_projection_into_references(each, self.projection)
        super().check(binding)

    @override
    def struct_reader(self, binding: Binding, plan: Plan[Any], codec: Any) -> Reader[Any]:
        """Return the reader of a document class, or of a smaller Struct with references in it."""
        if not plan.decoders:
            return Reader(plan, codec, on_invalid=self.on_invalid)
        reader = RootReader(
            plan,
            DECIMAL_CODEC_OPTIONS if self.pipeline else codec,
            depth=self.depth,
            on_invalid=self.on_invalid,
            whole=self.projection is None,
            target=self._target,
        )
        reader.joined = self.pipeline
        return reader


class RootReader[T](ReferenceReader[T]):
    """Reads the documents of a query, and then those that they refer to.

    :param whole: the roots are whole documents: references to one of them are this very object.
    :param target: a document outside of the read that references to its ``_id`` are to be.
    """

    __slots__ = ("_depth", "_whole")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        *,
        depth: int | None = 0,
        on_invalid: OnInvalid = "raise",
        whole: bool = True,
        target: Any = None,
    ) -> None:
        super().__init__(plan, codec, IdentityMap(), on_invalid=on_invalid, target=target)
        self._depth = depth
        self._whole = whole and target is None
        if target is not None:
            self.references.add(target, plan.cls)

    async def load(self, parts: list[bytes], call: Operation | None) -> list[T]:
        """Return the documents of one batch, with the documents that they refer to."""
        documents = self.decode(parts)
        references = self.references
        if references.open and self._depth != 0 and call is not None:
            if self._whole:
                references.adopt_roots(documents)
            await resolve(self, documents, call, self._depth)
        references.put_in_place(documents)
        references.finish()
        if call is not None:
            settle_read(call, [*documents, *references.documents()])
        return documents


class JsonReader(RootReader[Any]):
    """Reads JSON, in which a reference may be a whole document."""

    __slots__ = ()
    reads_json = True


def _remember_ids(plan: Plan[Any], documents: Iterable[Any]) -> None:
    """Set the snapshots of documents with joined ones, which are stored as ids."""
    for document in documents:
        form = snapshot_of(document) if isinstance(document, DocumentBase) else None
        if isinstance(form, bytes):
            own = plan if plan.members is None else plan.members[class_of(document)]
            places = {name: own.encode_names.index(name) for name in reference_fields(own.cls)}
            ids = {
                name: own.encode_field(place, getattr(document, own.fields[place].name))
                for name, place in places.items()
            }
            set_snapshot(document, with_fields(form, ids))


async def fetch(reference: Any, read: ReferenceRead, options: Mapping[str, Any]) -> Any:
    """Read the document of an unresolved reference into it.

    :returns: the reference; if its document is of a subclass, that document.
    """
    cls = real_class(reference)
    binding, call = begin(cls, "fetch", "find_one", options, "read")
    refuse_elsewhere(cls, [reference])
    wanted = binding.scoped(id_filter(cls, to_raw(reference._id)))
    found = await call.send("find_one", encode(wanted))
    if found is None:
        if not is_resolved(reference):
            set_class(reference, unresolved_class(cls, missing=True))
        raise MissingReferenceError(
            f"{cls.__name__} of _id={shown(reference._id)} is not in the collection "
            f"{binding.target.name!r}",
            reference,
        )
    plan, codec = binding.plan, binding.target.codec
    exact = plan.tag is None or decode(found).get(plan.tag[0]) == plan.tag[1]
    target = reference if exact else None
    reader = RootReader(plan, codec, depth=read.depth, target=target)
    (document,) = await reader.load([found], call)
    if class_of(document) is not cls:
        return document
    if not is_resolved(reference):  # another task may have resolved it meanwhile
        fill(reference, document)
    return reference
