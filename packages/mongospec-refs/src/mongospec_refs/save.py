"""Saves that cascade: ``save`` and ``save_many`` also write the references that changed."""

# pyright: reportIncompatibleMethodOverride=false
# pyright reports any new keyword beside **options as an incompatible override; these have defaults,
# so calls by core's signatures work as core promises. mypy checks the overrides.

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Self, Unpack, cast, override

import mongospec_core as core
from mongospec_core import BulkResult, BulkWriteError, MongospecError, WriteFailure
from mongospec_core.extension import (
    Change,
    Ids,
    Operation,
    SaveManyOptions,
    WriteOptions,
    begin,
    binding_of,
    checked,
    document_list,
    is_new,
    outcome_of,
    prepare,
    prepare_changed,
    refuse_without_id,
    run_pre_save,
    send,
    send_many,
    shown,
)
from mongospec_refs.errors import CascadeSaveError, cascade_error
from mongospec_refs.graph import (
    WRITES,
    any_has_references,
    has_references,
    inherited_options,
    reachable_documents,
)
from mongospec_refs.unresolved import class_of


class SaveOperations(core.MongoDocument, abstract=True):
    """``save`` and ``save_many``, with ``save_refs``."""

    @override
    async def save(
        self,
        *,
        upsert: bool = False,
        save_refs: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> Self:
        """Store what changed in this document, and in the documents that it refers to.

        For each loaded document that changed, ``__pre_save__`` runs and the changed top-level fields
        are sent: one ``update`` command for each collection, referenced documents first, this one last
        and only if they were saved. Unchanged documents are not written, and other writers' changes to
        other fields are kept. Unresolved references, and documents built by hand with an ``_id``, are
        never written. All is checked and encoded before the first command; it is not atomic across
        collections, ``transaction()`` is.

        :param upsert: insert this document if it does not exist.
        :param save_refs: with False, only this document is saved.
        :param validate_on_write: check the documents first; default: their classes' setting (True).
        :returns: the document itself.
        :raises UnsavedReferenceError: a reference has no ``_id``; nothing was sent.
        :raises CascadeSaveError: a referenced document was not saved; it lists those that were.
        :raises DocumentNotFoundError: no stored document has this ``_id`` any more.
        :raises UnresolvedReferenceError: this is an unresolved reference itself.

        .. code-block:: python

            post.author.name = "Updated"
            await post.save()  # saves post and author
        """
        cls = type(self)
        if not save_refs or not has_references(binding_of(cls).plan.cls):
            await core.MongoDocument.save(
                self, upsert=upsert, validate_on_write=validate_on_write, **options
            )
            return self
        _, call = begin(cls, "save", "update_one", options, "write", upsert=upsert or None)
        if not upsert:
            refuse_without_id(self)
        cascade = Cascade(call, [self], validate_on_write)
        await cascade.run_hooks()
        with Ids([self], upsert=True) as ids:  # assigned only if an upsert inserts a new document
            (change,) = cascade.prepare(upsert=upsert)
            await cascade.send()
            ids.sent = True
            with cascade.before_root():
                await send(call, change, ids)
        return self

    @override
    @classmethod
    async def save_many(
        cls,
        documents: Iterable[Self],
        *,
        save_refs: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[SaveManyOptions],
    ) -> BulkResult:
        """Save many documents as :meth:`save` does, with one ``update`` command for each collection.

        :param documents: documents of this class, all with an ``_id``.
        :param save_refs: with False, only these documents are saved.
        :returns: the counts of these documents, without the references.
        :raises CascadeSaveError: a referenced document was not saved; none of these was sent.
        :raises BulkWriteError: some of these were not saved, for example because they are gone.

        .. code-block:: python

            for post in posts:
                post.author.posts += 1
            await Post.save_many(posts)
        """
        given = document_list(cls, documents)
        if not save_refs or not any_has_references(binding_of(cls).plan):
            return await super().save_many(given, validate_on_write=validate_on_write, **options)
        _, call = begin(cls, "save_many", "bulk", options, "write")
        for document in given:
            refuse_without_id(document)
        cascade = Cascade(call, given, validate_on_write)
        await cascade.run_hooks()
        changes = cascade.prepare()
        await cascade.send()
        with cascade.before_root():
            return await send_many(call, changes)


class Cascade:
    """The changed documents that the roots of one save refer to.

    :param call: the save of the roots: its session and its timeout apply to all.
    """

    def __init__(
        self, call: Operation, roots: Sequence[Any], validate_on_write: bool | None
    ) -> None:
        self._call = call
        self._roots = roots
        self._validate_on_write = validate_on_write
        self._batches: list[tuple[type[Any], list[Change]]] = []
        self._written: list[Any] = []

    async def run_hooks(self) -> None:
        """Run the roots' hooks, then those of changed documents, and find out what to save."""
        await _run_hooks(self._roots)
        done: set[int] = set()
        while True:
            self._batches = self._find_changed()
            fresh = [
                each.document
                for _, batch in self._batches
                for each in batch
                if id(each.document) not in done
            ]
            done.update(map(id, fresh))
            if not await _run_hooks(fresh):  # no hook can have changed what was encoded
                return

    def prepare(self, *, upsert: bool = False) -> list[Change]:
        """Check all that will be sent; send nothing.

        :returns: the changes of the roots, in their order.
        """
        for cls, batch in self._batches:
            checked(binding_of(cls).plan, [each.raw for each in batch], self._validate_on_write)
        changes: list[Change] = []
        by_class = _by_class(self._roots)
        for cls, roots in by_class.items():  # those of one family
            cls._before_write(roots)
            changes += prepare(
                binding_of(cls).plan, roots, validate=self._validate_on_write, upsert=upsert
            )
        if len(by_class) > 1:
            by_root = {id(each.document): each for each in changes}
            return [by_root[id(each)] for each in self._roots]
        return changes

    def _find_changed(self) -> list[tuple[type[Any], list[Change]]]:
        """Return the changes of the loaded references by class, without new documents."""
        roots = {id(root) for root in self._roots}
        loaded = [
            each
            for each in reachable_documents(self._roots)
            if id(each) not in roots and not is_new(each)
        ]
        changed: dict[int, Change] = {}
        for cls, documents in _by_class(loaded).items():
            cls._before_write(documents)
            changes = prepare_changed(binding_of(cls).plan, documents)
            changed |= {id(each.document): each for each in changes}
        found: dict[type[Any], list[Change]] = {}
        for each in loaded:
            if id(each) in changed:
                found.setdefault(class_of(each), []).append(changed[id(each)])
        return list(found.items())

    async def send(self) -> None:
        """Send the changes of the references, with one ``update`` command for each collection.

        :raises CascadeSaveError: one was not saved.
        """
        options = inherited_options(WRITES, self._call)
        for number, (cls, changes) in enumerate(self._batches):
            documents = [each.document for each in changes]
            target = binding_of(cls).target
            name = f"{self._call.operation}: {cls.__name__}"
            try:
                await send_many(
                    self._call.for_target(target, name, options, write=True), changes, ordered=True
                )
            except MongospecError as error:
                later = [each.document for _, left in self._batches[number + 1 :] for each in left]
                raise self._error(error, documents, later) from error
            except BaseException as error:  # cancelled
                self._note_on(error, rest_unsent=True)
                raise
            self._written += documents

    def _error(
        self, error: MongospecError, documents: Sequence[Any], later: Sequence[Any]
    ) -> CascadeSaveError:
        if isinstance(error, BulkWriteError):
            unknown = error.unknown
            skipped = [each.document for each in error.failures if _not_attempted(each)]
            failures = [each for each in error.failures if not _not_attempted(each)]
            stopped = {id(each) for each in (*unknown, *skipped, *(f.document for f in failures))}
            written = [each for each in documents if id(each) not in stopped]
        elif error.outcome == "unknown":
            failures, unknown, written, skipped = [], list(documents), [], []
        else:
            failures, unknown, written, skipped = [], [], [], list(documents)
        return cascade_error(
            error,
            f"{self._call.operation}: a reference was not saved, so the rest was not sent",
            written=[*self._written, *written],
            failures=failures,
            unknown=unknown,
            unsent=[*skipped, *later, *self._roots],
        )

    @contextmanager
    def before_root(self) -> Generator[None]:
        """Add a note to an error of the roots' write about the references that were saved before."""
        try:
            yield
        except BaseException as error:
            self._note_on(error)
            raise

    def _note_on(self, error: BaseException, *, rest_unsent: bool = False) -> None:
        outcome = outcome_of(error)
        if (outcome == "not_applied" and self._written) or (outcome == "applied" and rest_unsent):
            cast("Any", error).outcome = "partial"
        if self._written:
            names = ", ".join(
                f"{type(each).__name__} {shown(each._id)}" for each in self._written[:10]
            )
            error.add_note(f"References that were saved before it: {names}")


def _by_class(documents: Iterable[Any]) -> dict[type[Any], list[Any]]:
    """Return documents by their class, classes in the order of their first document."""
    found: dict[type[Any], list[Any]] = {}
    for document in documents:
        found.setdefault(class_of(document), []).append(document)
    return found


async def _run_hooks(documents: Sequence[Any]) -> bool:
    """Run the documents' hooks; return whether there were any."""
    hooked = [each for each in documents if "__pre_save__" in binding_of(class_of(each)).hooks]
    for document in hooked:
        await run_pre_save(document)
    return bool(hooked)


def _not_attempted(failure: WriteFailure) -> bool:
    return failure.message.startswith("not attempted")
