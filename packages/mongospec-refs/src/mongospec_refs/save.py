"""Saves that cascade: ``save`` and ``save_many`` write the references that changed as well."""

# pyright: reportIncompatibleMethodOverride=false
# pyright takes any new keyword beside **options for an incompatible override; these have defaults,
# so whoever calls by core's signatures gets what core promises. mypy checks the overrides.

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, Unpack, override

import mongospec_core as core
from mongospec_core import BulkResult, BulkWriteError, MongospecError, WriteFailure
from mongospec_core.extension import (
    BulkOptions,
    Operation,
    SaveOptions,
    begin,
    binding_of,
    document_list,
    encode_document,
    is_new,
    refuse_without_id,
    run_pre_save,
    save_changes,
    save_document,
    should_validate,
    to_raw_documents,
    update_for,
)
from mongospec_refs.errors import CascadeSaveError
from mongospec_refs.graph import WRITES, inherited_options, reachable_documents
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
        **options: Unpack[SaveOptions],
    ) -> Self:
        """Store what changed in this document, and in the documents that it leads to.

        Of each loaded document that changed, its ``__pre_save__`` runs and the changed top-level
        fields are sent: one ``update`` command for each collection, referenced documents first, this
        one last and only if they were saved. A document that nobody changed costs no write, and other
        writers' changes to other fields survive. Unresolved references, and documents built by hand
        with an ``_id``, are never written. All is checked before the first command; it is not atomic
        across collections, ``transaction()`` is.

        :param upsert: insert this document where it is not there.
        :param save_refs: with False, only this document is saved.
        :param validate_on_write: check the documents first; default: what their classes say (True).
        :returns: the document itself.
        :raises UnsavedReferenceError: a reference has no ``_id``; nothing was sent.
        :raises CascadeSaveError: a referenced document was not saved; it says what was.
        :raises DocumentNotFoundError: no stored document has this ``_id`` any more.
        :raises UnresolvedReferenceError: this is an unresolved reference itself.

        .. code-block:: python

            post.author.name = "Updated"
            await post.save()  # saves post and author
        """
        if not save_refs:
            await core.MongoDocument.save(
                self, upsert=upsert, validate_on_write=validate_on_write, **options
            )
            return self
        cls = type(self)
        binding, call = begin(cls, "save", "update_one", options, "write", upsert=upsert or None)
        if not upsert:
            refuse_without_id(self)
        cascade = Cascade(call, [self], validate_on_write)
        await cascade.prepare()
        await cascade.send()
        validate = should_validate(cls, validate_on_write)
        try:
            await save_document(binding, call, self, upsert=upsert, validate=validate)
        except BaseException as error:
            cascade.note_on(error)
            raise
        return self

    @override
    @classmethod
    async def save_many(
        cls,
        documents: Iterable[Self],
        *,
        save_refs: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkResult:
        """:meth:`save` for many documents: one ``update`` command for each collection.

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
        if not save_refs:
            return await super().save_many(given, validate_on_write=validate_on_write, **options)
        binding, call = begin(cls, "save_many", "bulk", options, "write")
        for document in given:
            refuse_without_id(document)
        cascade = Cascade(call, given, validate_on_write)
        await cascade.prepare()
        await cascade.send()
        raws = to_raw_documents(
            binding.plan, given, validate=should_validate(cls, validate_on_write)
        )
        try:
            return await save_changes(binding, call, given, raws)
        except BaseException as error:
            cascade.note_on(error)
            raise


class Cascade:
    """The changed documents behind the roots of one save.

    :param call: the save of the roots: its session and its time count for all.
    """

    def __init__(
        self, call: Operation, roots: Sequence[Any], validate_on_write: bool | None
    ) -> None:
        self._call = call
        self._roots = roots
        self._validate_on_write = validate_on_write
        self._batches: list[tuple[type[Any], list[Any], list[dict[str, Any]]]] = []
        self._written: list[Any] = []

    async def prepare(self) -> None:
        """Run all hooks, then judge and check everything that would be sent; send nothing."""
        by_class: dict[type[Any], list[Any]] = {}
        for document in await self._changed_after_hooks():
            by_class.setdefault(class_of(document), []).append(document)
        self._batches = [
            (cls, documents, self._checked(cls, documents)) for cls, documents in by_class.items()
        ]
        classes: dict[type[Any], None] = dict.fromkeys(map(class_of, self._roots))
        for cls in classes:
            roots = [root for root in self._roots if type(root) is cls]
            cls._before_write(roots)
            if self._batches:  # otherwise the save itself is soon enough
                self._checked(cls, roots)

    async def _changed_after_hooks(self) -> list[Any]:
        """What changed, once every hook ran: the roots' always, then those of what changed."""
        await _run_hooks(self._roots)
        done: set[int] = set()
        while True:
            changed = self._changed()
            fresh = [each for each in changed if id(each) not in done]
            done.update(map(id, fresh))
            if not await _run_hooks(fresh):
                return changed

    def _changed(self) -> list[Any]:
        roots = {id(root) for root in self._roots}
        return [
            each
            for each in reachable_documents(self._roots)
            if id(each) not in roots and _changed(each)
        ]

    def _checked(self, cls: type[Any], documents: Sequence[Any]) -> list[dict[str, Any]]:
        """Raw documents that nothing is left to object to once the first is sent."""
        binding, validate = binding_of(cls), should_validate(cls, self._validate_on_write)
        raws = to_raw_documents(binding.plan, documents, validate=validate)
        for document, raw in zip(documents, raws, strict=True):
            update_for(binding, document, raw)
            encode_document(binding.plan, raw)
        return raws

    async def send(self) -> None:
        """Send the changes of the references: one ``update`` command for each collection.

        :raises CascadeSaveError: one was not saved.
        """
        options = inherited_options(WRITES, self._call)
        for number, (cls, documents, raws) in enumerate(self._batches):
            try:
                await self._send(cls, documents, raws, options)
            except MongospecError as error:
                later = [each for _, left, _ in self._batches[number + 1 :] for each in left]
                raise self._error(error, documents, later) from error
            self._written += documents

    async def _send(
        self,
        cls: type[Any],
        documents: Sequence[Any],
        raws: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
    ) -> None:
        binding = binding_of(cls)
        name = f"{self._call.operation}: {cls.__name__}"
        call = self._call.on(binding.target, name, options, write=True)
        await save_changes(binding, call, documents, raws, ordered=True)

    def _error(
        self, error: MongospecError, documents: Sequence[Any], later: Sequence[Any]
    ) -> CascadeSaveError:
        if isinstance(error, BulkWriteError):
            unknown = error.unknown
            skipped = [each.document for each in error.failures if _not_attempted(each)]
            failures = [each for each in error.failures if not _not_attempted(each)]
            stopped = {id(each) for each in (*unknown, *skipped, *(f.document for f in failures))}
            written = [each for each in documents if id(each) not in stopped]
        else:
            failures, unknown, written, skipped = [], [], [], list(documents)
        return CascadeSaveError(
            f"{self._call.operation}: a reference was not saved, so the rest was not sent: {error}",
            written=[*self._written, *written],
            failures=failures,
            unknown=unknown,
            unsent=[*skipped, *later, *self._roots],
        )

    def note_on(self, error: BaseException) -> None:
        """Say on the root's own error what was written before it."""
        if self._written:
            names = ", ".join(f"{type(each).__name__} {each._id!r}" for each in self._written[:10])
            error.add_note(f"References that were saved before it: {names}")


async def _run_hooks(documents: Sequence[Any]) -> bool:
    """Whether there were any."""
    hooked = [each for each in documents if "__pre_save__" in binding_of(class_of(each)).hooks]
    for document in hooked:
        await run_pre_save(document)
    return bool(hooked)


def _not_attempted(failure: WriteFailure) -> bool:
    return failure.message.startswith("not attempted")


def _changed(document: Any) -> bool:
    """Whether a document would be sent: a new one is not ours to write."""
    if is_new(document):
        return False
    binding = binding_of(class_of(document))
    binding.plan.cls._before_write([document])
    (raw,) = to_raw_documents(binding.plan, [document], validate=False)
    return update_for(binding, document, raw) is not None
