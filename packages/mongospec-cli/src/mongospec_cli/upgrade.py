"""Write back what ``__upgrade__`` makes of old documents."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from bson.raw_bson import RawBSONDocument

from mongospec_cli.batches import (
    Position,
    ReadProgress,
    audited_types,
    count,
    last_position,
    read_batches,
)
from mongospec_cli.old_documents import changed_fields, decode_batch, is_stable, upgrade_batch
from mongospec_core import InvalidDocument, MongoDocument, MongospecError
from mongospec_core.extension import (
    Binding,
    BulkState,
    Operation,
    Statement,
    binding_of,
    encode,
    split_documents,
)

_ATTEMPTS = 5
"""How often a document is tried that others write at the same time."""
_EXAMPLES = 5
_MOST_BYTES = 16_000_000
"""What a statement may have."""
UNSTABLE = (
    "__upgrade__ changes its own result again, so that every run would change it once more; "
    "it must leave new documents as they are"
)
LARGE = "it is too large to be compared as a whole: read it and save it"
BUSY = "it was written by others each time; run it again"


class NotUpgraded(msgspec.Struct, kw_only=True):
    """Documents that were left as they are, for one reason.

    :param owner: the class's name.
    :param reason: why.
    :param count: how many documents.
    :param examples: the ``_id`` of a few.
    """

    owner: str
    reason: str
    count: int = 0
    examples: list[Any] = []


class UpgradedCollection(msgspec.Struct, kw_only=True):
    """What was done in one collection.

    :param owner: the class's name.
    :param collection: the collection's name.
    :param documents: how many documents were read.
    :param old: how many of them ``__upgrade__`` changes.
    :param written: how many of these were written.
    """

    owner: str
    collection: str
    documents: int = 0
    old: int = 0
    written: int = 0


class Upgrade(msgspec.Struct, kw_only=True):
    """What was done in a database.

    :param database: the database's name.
    :param dry_run: whether nothing was written.
    :param collections: of each class that has an ``__upgrade__``.
    :param left: documents that were left as they are.
    :param finished: whether all was read; otherwise it was broken off, or it failed.
    :param after: the last document that is done if it was broken off, as ``--after`` and
        :meth:`Position.parse` take it.
    """

    database: str
    dry_run: bool = False
    collections: list[UpgradedCollection] = []
    left: list[NotUpgraded] = []
    finished: bool = False
    after: str | None = None

    @property
    def complete(self) -> bool:
        """Whether a further run finds nothing to do."""
        return not self.left and not (self.dry_run and any(each.old for each in self.collections))


async def upgrade(
    document_types: Iterable[type[MongoDocument]],
    *,
    dry_run: bool = False,
    after: Position | None = None,
    rate: float | None = None,
    into: Upgrade | None = None,
    on_progress: Callable[[ReadProgress], object] | None = None,
) -> Upgrade:
    """Write back what ``__upgrade__`` makes of the stored documents of bound classes.

    Documents are read in batches of 1,000 by ``_id``. A write sets and removes the top-level fields that
    ``__upgrade__`` changed, if the stored document is still the one that was read; otherwise it is read
    again. So no newer write is lost, several may run at once, and a run may be broken off and repeated.
    A document is left as it is if it could not be read afterwards, or if ``__upgrade__`` would change its
    own result again. Hooks for writes are not called.

    :param document_types: bound classes; those without an ``__upgrade__`` are left out.
    :param dry_run: write nothing, only count.
    :param after: go on after this document; the classes before its own are left out.
    :param rate: read no more documents a second than this.
    :param into: add to this result, which is complete up to the last progress if this is cancelled.
    :param on_progress: called after each batch.
    :returns: what was done, and what was left.
    :raises NotBoundError: a class is not bound.
    :raises CommandError: *after* names no class.
    :raises OperationError: a read or a write failed; what was written before stays.

    .. code-block:: python

        async with connect(uri, document_types=[User], indexes="skip", validators="skip"):
            done = await upgrade([User])
            print([each.written for each in done.collections])
    """
    done = into or Upgrade(database="")
    done.dry_run, done.finished = dry_run, False
    for cls in audited_types(document_types, after):
        binding = binding_of(cls)
        done.database = binding.target.database.name
        if binding.plan.upgrade is None:
            continue
        upgrader = _Upgrader(cls, done)
        total = await count(binding, None)
        start = after if after is not None and after.owner == cls.__name__ else None
        batches = read_batches(cls, "upgrade", after=start, rate=rate)
        async with aclosing(batches):
            async for parts in batches:
                await upgrader.upgrade(parts)
                position = last_position(cls, parts)
                done.after = None if position is None else str(position)
                if on_progress is not None:
                    on_progress(
                        ReadProgress(
                            owner=cls.__name__,
                            documents=upgrader.done.documents,
                            total=total,
                            position=position,
                        )
                    )
    done.finished, done.after = True, None
    return done


class _Old(msgspec.Struct, frozen=True):
    """An old document: its ``_id``, its BSON, and the fields that change, with their new values."""

    id: Any
    part: bytes
    fields: list[str]
    now: dict[str, Any]


class _Upgrader:
    """Upgrades the documents of one class."""

    def __init__(self, cls: type[MongoDocument], result: Upgrade) -> None:
        self.cls = cls
        self.binding: Binding = binding_of(cls)
        target = self.binding.target
        self.done = UpgradedCollection(owner=cls.__name__, collection=target.name)
        result.collections.append(self.done)
        self._result = result
        self._left = {each.reason: each for each in result.left if each.owner == cls.__name__}
        self._failures: list[InvalidDocument] = []
        options = {"resolve_refs": False} if "resolve_refs" in cls.__read__.parameters else {}
        self._read = cls.__read__(None, self._note, **options)

    def _note(self, failure: InvalidDocument, raw: Mapping[str, Any]) -> None:
        self._failures.append(failure)

    async def upgrade(self, parts: Sequence[bytes]) -> None:
        old = await self._old(parts)
        self.done.old += len(old)
        if not self._result.dry_run:
            for _ in range(_ATTEMPTS):
                if not old or not (changed := await self._write(old)):
                    break
                old = await self._old(await self._stored(changed))
            else:
                for each in old:
                    self._leave(each.id, BUSY)
        self.done.documents += len(parts)

    async def _old(self, parts: Sequence[bytes]) -> list[_Old]:
        """The documents that ``__upgrade__`` changes, of those that can be read then."""
        found: list[_Old] = []
        doubtful: list[bytes] = []
        raws = decode_batch(parts, self.binding.target.codec)
        for part, raw, now in zip(
            parts, raws, upgrade_batch(self.binding, parts, raws), strict=True
        ):
            if raw is None or now is None:
                doubtful.append(part)
                continue
            try:
                fields = changed_fields(part, raw, now)
            except MongospecError as error:
                self._leave(raw.get("_id"), str(error))
                continue
            if fields and (reason := self._obstacle(fields, now)):
                self._leave(raw.get("_id"), reason)
            elif fields:
                found.append(_Old(raw.get("_id"), part, fields, now))
        if await self._unfit(doubtful + [each.part for each in found]):
            for part in doubtful:
                self._leave_unfit(await self._unfit([part]))
            unfit = [await self._unfit([each.part]) for each in found]
            for each in unfit:
                self._leave_unfit(each)
            found = [each for each, failures in zip(found, unfit, strict=True) if not failures]
        return found

    def _obstacle(self, fields: Sequence[str], now: Mapping[str, Any]) -> str | None:
        """Why what ``__upgrade__`` made cannot be written; None if it can."""
        if "_id" in fields:
            return "__upgrade__ changes the _id, which MongoDB cannot change"
        return None if is_stable(self.binding, now) else UNSTABLE

    async def _unfit(self, parts: list[bytes]) -> list[InvalidDocument]:
        """The documents that a read refuses."""
        self._failures = []
        if parts:
            await self._read.reader(self.binding).load(parts, None)
        return self._failures

    def _leave_unfit(self, failures: Iterable[InvalidDocument]) -> None:
        for each in failures:
            self._leave(each.id, f"{each.path}: {each.reason}" if each.path else each.reason)

    def _leave(self, id: Any, reason: str) -> None:
        left = self._left.get(reason)
        if left is None:
            left = self._left[reason] = NotUpgraded(owner=self.cls.__name__, reason=reason)
            self._result.left.append(left)
        left.count += 1
        if len(left.examples) < _EXAMPLES:
            left.examples.append(id)

    # -- writing

    async def _write(self, old: Sequence[_Old]) -> list[Any]:
        """Write documents, each if it is still as it was read.

        :returns: nothing if all were written; otherwise the ``_id`` of each that may not be.
        """
        statements = [Statement("update", _update(each), each.id) for each in old]
        for each in statements:
            if len(each.data) > _MOST_BYTES:
                self._leave(each.source, LARGE)
        state = BulkState([each for each in statements if len(each.data) <= _MOST_BYTES])
        call = Operation(self.binding.target, f"{self.cls.__name__}: upgrade", {}, write=True)
        try:
            # A write that is sent twice finds the document changed.
            await state.send(call, ordered=False, repeatable=True)
        finally:
            self.done.written += state.modified
        if state.error is not None:
            raise state.error
        for failure in state.failures.values():
            self._leave(failure.document, failure.message)
        if state.matched == len(state.statements):
            return []
        failed = state.failures.keys()
        return [each for n, each in enumerate(state.sources) if n not in failed]

    async def _stored(self, ids: Sequence[Any]) -> list[bytes]:
        """Read documents again."""
        options = {"batch_size": len(ids) + 1, "read_preference": {"mode": "primary"}}
        name = f"{self.cls.__name__}: upgrade"
        call = Operation(self.binding.target, name, options, write=False)
        query = encode(self.binding.scoped({"_id": {"$in": list(ids)}}))
        return split_documents(await call.send("find_many", query))


def _update(old: _Old) -> bytes:
    """The update of one document that is still what was read.

    The whole document is compared: ``__upgrade__`` may have computed a field from one that it left.
    ``{"field": value}`` would not do: it finds lists that hold the value, and ``None`` what is missing.
    """
    same = {"$eq": ["$$ROOT", {"$literal": RawBSONDocument(old.part)}]}
    update: dict[str, Any] = old.now
    if not any(name.startswith("$") or "." in name for name in old.fields):
        update = {}
        if written := {name: old.now[name] for name in old.fields if name in old.now}:
            update["$set"] = written
        if removed := {name: "" for name in old.fields if name not in old.now}:
            update["$unset"] = removed
    return encode({"q": {"_id": {"$eq": old.id}, "$expr": same}, "u": update, "multi": False})
