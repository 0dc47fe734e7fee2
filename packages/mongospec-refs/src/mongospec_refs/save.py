# pyright: reportIncompatibleMethodOverride=false
# pyright takes any new keyword beside **options for an incompatible override; these have defaults,
# so whoever calls by core's signatures gets what core promises. mypy checks the overrides.
"""Saves that cascade: ``save`` and ``save_many`` write the references that changed as well."""

from collections.abc import Iterable
from typing import Self, Unpack, override

import mongospec_core as core
from mongospec_core import BulkResult
from mongospec_core.extension import (
    BulkOptions,
    SaveOptions,
    begin,
    listed,
    refuse_without_id,
    save_changes,
    save_document,
    to_stored,
    validates,
)
from mongospec_refs.cascade import Cascade


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
        validate = validates(cls, validate_on_write)
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
        given = listed(cls, documents)
        if not save_refs:
            return await super().save_many(given, validate_on_write=validate_on_write, **options)
        binding, call = begin(cls, "save_many", "bulk", options, "write")
        for document in given:
            refuse_without_id(document)
        cascade = Cascade(call, given, validate_on_write)
        await cascade.prepare()
        await cascade.send()
        raws = to_stored(binding.plan, given, validate=validates(cls, validate_on_write))
        try:
            return await save_changes(binding, call, given, raws)
        except BaseException as error:
            cascade.note_on(error)
            raise
