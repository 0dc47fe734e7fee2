"""What of the stored documents does not fit the classes."""

# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from mongospec_cli.batches import (
    Position,
    ReadProgress,
    audited_types,
    count,
    last_position,
    read_batches,
)
from mongospec_cli.bson_types import type_name
from mongospec_cli.errors import CommandError
from mongospec_cli.findings import (
    Audit,
    Audited,
    LaxValue,
    OldDocuments,
    UndeclaredField,
    Unreadable,
)
from mongospec_cli.groups import Groups, general, top
from mongospec_cli.lax_values import lax_values
from mongospec_cli.old_documents import changed_fields, decode_batch, is_stable, upgrade_batch
from mongospec_cli.reference_check import ReferenceCheck
from mongospec_cli.undeclared import declared_of
from mongospec_core import InvalidDocument, MongoDocument, MongospecError
from mongospec_core.extension import (
    Binding,
    Snapshot,
    binding_of,
    decode,
    encode_document,
    snapshot_of,
    to_raw_documents,
)
from mongospec_refs.graph import any_has_references


async def audit(
    document_types: Iterable[type[MongoDocument]],
    *,
    sample: int | None = None,
    after: Position | None = None,
    rate: float | None = None,
    into: Audit | None = None,
    on_progress: Callable[[ReadProgress], object] | None = None,
) -> Audit:
    """Read the stored documents of bound classes, and tell what does not fit; change nothing.

    They are read by the readers that finders use, in batches of 1,000 by ``_id``; a batch, the next one
    and what was found are all that is kept in memory. ``__pre_find__`` is not called: all documents
    count.

    :param document_types: bound classes.
    :param sample: read so many documents of each collection, which the server picks at random.
    :param after: go on after this document; the classes before its own are left out.
    :param rate: read no more documents a second than this.
    :param into: add to this result, which is complete up to the last progress if this is cancelled.
    :param on_progress: called after each batch.
    :returns: what was found; at most 500 groups of each kind and class, each with a few examples.
    :raises NotBoundError: a class is not bound.
    :raises CommandError: *sample* and *after* are given, or *after* names no class.
    :raises OperationError: a read failed.

    .. code-block:: python

        async with connect(uri, document_types=[User], indexes="skip", validators="skip"):
            print((await audit([User], sample=10_000)).fits)
    """
    if sample is not None and after is not None:
        raise CommandError("a sample has no order: use either --sample or --after")
    types = audited_types(document_types, after)
    found = into or Audit(database="")
    found.finished = False
    for cls in types:
        auditor = _Auditor(cls, found)
        total = await count(auditor.binding, sample)
        start = after if after is not None and after.owner == cls.__name__ else None
        batches = read_batches(cls, "audit", sample=sample, after=start, rate=rate)
        async with aclosing(batches):
            async for parts in batches:
                await auditor.examine(parts)
                position = last_position(cls, parts) if sample is None else None
                found.after = None if position is None else str(position)
                if on_progress is not None:
                    done = auditor.read.documents
                    on_progress(
                        ReadProgress(
                            owner=cls.__name__, documents=done, total=total, position=position
                        )
                    )
    found.finished, found.after = True, None
    return found


class _Auditor:
    """Examines the documents of one class."""

    def __init__(self, cls: type[MongoDocument], found: Audit) -> None:
        self.cls = cls
        self.binding: Binding = binding_of(cls)
        target = self.binding.target
        found.database = target.database.name
        self.read = Audited(owner=cls.__name__, collection=target.name)
        found.read.append(self.read)
        self._unreadable = Groups(found.unreadable)
        self._old = Groups(found.old)
        self._lax = Groups(found.lax)
        self._undeclared = Groups(found.undeclared)
        options = {"resolve_refs": False} if "resolve_refs" in cls.__read__.parameters else {}
        self._read = cls.__read__(None, self._note_unreadable, **options)
        refers = any_has_references(self.binding.plan)
        self._references = ReferenceCheck(cls, found.dangling) if refers else None
        self._declared = declared_of(self.binding)
        self._root = None if self.binding.paths is None else self.binding.paths.root

    async def examine(self, parts: Sequence[bytes]) -> None:
        documents = await self._read.reader(self.binding).load(list(parts), None)
        for document in documents:
            self._examine(document)
        if len(documents) < len(parts):
            read = {_as_stored(snapshot_of(each)) for each in documents}
            self._examine_unreadable([each for each in parts if each not in read])
        if self._references is not None:
            await self._references.follow(documents)
        self.read.documents += len(parts)

    def _examine(self, document: Any) -> None:
        """Compare a stored document with what would be written in its place."""
        codec = self.binding.target.codec
        snapshot = snapshot_of(document)
        assert isinstance(snapshot, bytes)
        changed: list[str] = []
        if (part := _as_stored(snapshot)) is not snapshot:
            changed = self._note_old(part, decode(part, codec), decode(snapshot, codec))
        written = self._written(document)
        if written == snapshot:
            return
        raw = decode(snapshot, codec)
        self._declared.walk(raw, "", partial(self._note_undeclared, raw.get("_id")))
        if written is not None:
            for each in lax_values(snapshot, written, self._root, changed):
                self._note_lax(raw.get("_id"), *each)

    def _examine_unreadable(self, parts: Sequence[bytes]) -> None:
        """Look at what is old or undeclared in documents that a read refuses."""
        raws = decode_batch(parts, self.binding.target.codec)
        upgraded = upgrade_batch(self.binding, parts, raws)
        for part, raw, now in zip(parts, raws, upgraded, strict=True):
            if raw is not None and now is not None:
                self._note_old(part, raw, now)
                self._declared.walk(now, "", partial(self._note_undeclared, raw.get("_id")))

    def _written(self, document: Any) -> bytes | None:
        """Return the BSON that would be written; None if a ``__post_init__`` made what BSON cannot hold."""
        plan = self.binding.plan
        try:
            (raw,) = to_raw_documents(plan, [document], validate=False)
            return encode_document(plan, raw)
        except MongospecError:
            return None

    # -- groups

    def _note_unreadable(self, failure: InvalidDocument, raw: Mapping[str, Any]) -> None:
        path = general(failure.path)
        self._unreadable.add(
            (path, failure.reason),
            (top(path), "other reasons"),
            lambda path, reason: Unreadable(owner=self.cls.__name__, path=path, reason=reason),
            failure.id,
        )

    def _note_old(self, part: bytes, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        """Note the fields that ``__upgrade__`` changed, and return them."""
        try:
            fields = changed_fields(part, before, after)
        except MongospecError:  # it made what BSON cannot hold, and a read refuses
            return []
        if fields:
            stable = is_stable(self.binding, after)
            self._old.add(
                (tuple(fields), stable),
                (("other fields",), stable),
                lambda fields, stable: OldDocuments(
                    owner=self.cls.__name__, fields=list(fields), stable=stable
                ),
                before.get("_id"),
            )
        return fields

    def _note_lax(self, id: Any, path: str, stored: str, written: str) -> None:
        self._lax.add(
            (path, stored, written),
            (top(path), "other types", "others"),
            lambda path, stored, written: LaxValue(
                owner=self.cls.__name__, path=path, stored=stored, written=written
            ),
            id,
        )

    def _note_undeclared(self, id: Any, path: str, value: Any) -> None:
        group = self._undeclared.add(
            (path,),
            (top(path),),
            lambda path: UndeclaredField(owner=self.cls.__name__, path=path),
            id,
        )
        name = type_name(value)
        group.types[name] = group.types.get(name, 0) + 1


def _as_stored(snapshot: Any) -> bytes:
    """Return the BSON of a document as it is stored, before ``__upgrade__``."""
    original = snapshot.original if isinstance(snapshot, Snapshot) else None
    return snapshot if original is None else original
