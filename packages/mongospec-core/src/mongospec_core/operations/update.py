"""Update documents by operators or pipelines."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Self, Unpack

import msgspec
from bson.errors import BSONError

from mongospec_core.codec.elements import element_value, split_elements
from mongospec_core.codec.plan import plan_of
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.errors import MongospecError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.change import Replacement
from mongospec_core.model.read import salvaged
from mongospec_core.model.snapshot import DELETED, snapshot_of
from mongospec_core.model.version import refuse_stale, refuse_taken
from mongospec_core.model.write import (
    apply_outcome,
    check_class,
    encode_documents,
    run_hooks_and_checks,
)
from mongospec_core.operations.filters import Filter, by_id, encode_filter
from mongospec_core.operations.options import (
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    UpdateOptions,
    begin,
)
from mongospec_core.operations.projection import Read, ReadOperations
from mongospec_core.operations.updates import Update, encode_update
from mongospec_core.results import UpdateResult
from mongospec_core.server.operation import Operation, outcome_of


class UpdateOperations(ReadOperations, abstract=True):
    """``update_one``, ``update_many``, ``update_by_id`` and the ``find_one_and_*`` family."""

    @classmethod
    async def update_one(
        cls,
        filter: Filter,
        update: Update,
        *,
        upsert: bool = False,
        skip_hooks: bool = False,
        **options: Unpack[UpdateOptions],
    ) -> UpdateResult:
        """Update the first document that matches. Sends one ``update``.

        :param filter: a query; ``__pre_find__`` scopes it.
        :param update: operators or a pipeline; ``__pre_update__`` may add to a copy of it.
        :param upsert: insert a document from filter and update if none matches. Fields that neither
            of them names get the defaults of the class (``$setOnInsert``), unless
            ``on_insert=False``; ``__pre_save__`` does not run.
        :param skip_hooks: leave both hooks out.
        :returns: the number of changed documents, with ``matched_count`` and ``upserted_id``.
        :raises OptionError: the update has no operator (it would replace the document), or an
            invalid path or value.
        :raises DocumentValidationError: it would leave, or insert, a document that no read accepts.

        .. code-block:: python

            await User.update_one({"email": "a@x"}, {"$inc": {"visits": 1}})
        """
        return await _update(
            cls, "update_one", "update_one", filter, update, upsert, skip_hooks, options
        )

    @classmethod
    async def update_many(
        cls,
        filter: Filter,
        update: Update,
        *,
        upsert: bool = False,
        skip_hooks: bool = False,
        **options: Unpack[UpdateOptions],
    ) -> UpdateResult:
        """Update all documents that match. Sends one ``update``; parameters as in ``update_one``.

        .. code-block:: python

            changed = await User.update_many({"active": False}, {"$set": {"city": "Rome"}})
        """
        return await _update(
            cls, "update_many", "update_many", filter, update, upsert, skip_hooks, options
        )

    @classmethod
    async def update_by_id(
        cls,
        id: Any,
        update: Update,
        *,
        upsert: bool = False,
        skip_hooks: bool = False,
        **options: Unpack[UpdateOptions],
    ) -> UpdateResult:
        """Update the document with this ``_id``. Sends one ``update``.

        :param id: an id, or what can be converted to the class's id type.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            await User.update_by_id(alice.id, {"$set": {"name": "Alicia"}})
        """
        wanted = by_id(plan_of(cls), id)
        return await _update(
            cls, "update_by_id", "update_one", wanted, update, upsert, skip_hooks, options
        )

    @classmethod
    async def find_one_and_update(
        cls,
        filter: Filter,
        update: Update,
        *,
        return_updated: bool = True,
        skip_hooks: bool = False,
        **options: Unpack[FindOneAndUpdateOptions],
    ) -> Self | None:
        """Update one document and return it. Sends one ``findAndModify``.

        :param return_updated: return the updated document; with False, the one before the update.
        :returns: the document; None if none matched (or, with False, if an upsert inserted it).

        .. code-block:: python

            job = await Job.find_one_and_update(
                {"state": "waiting"}, {"$set": {"state": "running"}}, sort="created_at"
            )
        """
        read = cls.__read__.of(options)
        binding, call = begin(
            cls,
            "find_one_and_update",
            "find_one_and_update",
            options,
            "write",
            return_document="after" if return_updated else "before",
        )
        query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
        change = await encode_update(
            binding,
            update,
            options,
            skip_hooks=skip_hooks,
            query=query,
            upsert=options.get("upsert", False),
        )
        found = await call.send("find_one_and_update", query, change)
        document: Self | None = await _given(read, binding, call, found)
        return document

    @classmethod
    async def find_one_and_replace(
        cls,
        filter: Filter,
        replacement: Self,
        *,
        return_updated: bool = True,
        skip_hooks: bool = False,
        validate_on_write: bool | None = None,
        **options: Unpack[FindOneAndReplaceOptions],
    ) -> Self | None:
        """Replace one document that matches. Sends one ``findAndModify``.

        Fields that the class does not declare are removed; ``save()`` keeps them.

        :param replacement: a document of this class; its ``_id`` must be None or the old one. Its
            ``__pre_save__`` runs. It is a stored document afterwards, and has that ``_id`` (if an
            upsert inserts it, only with ``return_updated``).
        :param return_updated: return the new document; with False, the one that was replaced.
        :raises StaleDocumentError: the class has versions, and the stored document has another
            version than *replacement*.

        .. code-block:: python

            old = await User.find_one_and_replace({"email": "a@x"}, new, return_updated=False)
        """
        read = cls.__read__.of(options)
        binding, call = begin(
            cls,
            "find_one_and_replace",
            "find_one_and_replace",
            options,
            "write",
            return_document="after" if return_updated else "before",
        )
        check_class(cls, [replacement])
        await run_hooks_and_checks(binding, [replacement])
        (data,) = encode_documents(binding.plan, [replacement], validate=validate_on_write)
        query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
        replace = Replacement(binding.plan, replacement, data, query)
        settle = partial(replace.apply, call)
        try:
            found = await call.send("find_one_and_replace", replace.query, replace.data)
        except BaseException as error:  # an applied write may have found nothing
            refused = outcome_of(error) == "not_applied"
            settle("not_applied" if refused else "unknown", None)
            refuse_taken(replacement, replace.expected, error)
            raise
        if found is not None:
            try:
                stored_id = split_elements(found).get("_id")
                settle("applied", element_value(stored_id) if stored_id else None)
            except (BSONError, ValueError, msgspec.ValidationError):  # the read below says why
                settle("unknown", None)
        elif call.options.get("upsert"):
            settle("applied", None)
        elif replace.expected is not None:
            id_ = to_raw(replacement._id)
            await refuse_stale(call, binding.plan, replacement, id_, replace.expected)
        document: Self | None = await _given(read, binding, call, found)
        return document

    @classmethod
    async def find_one_and_delete(
        cls,
        filter: Filter,
        *,
        skip_hooks: bool = False,
        **options: Unpack[FindOneAndDeleteOptions],
    ) -> Self | None:
        """Delete one document and return it. Sends one ``findAndModify``.

        .. code-block:: python

            job = await Job.find_one_and_delete({"state": "done"}, sort="finished_at")
        """
        read = cls.__read__.of(options)
        binding, call = begin(cls, "find_one_and_delete", "find_one_and_delete", options, "write")
        query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
        found = await call.send("find_one_and_delete", query)
        document: Self | None = await _given(read, binding, call, found)
        if document is not None:
            before = snapshot_of(document)
            apply_outcome(call, document, "applied", before=before, after=DELETED)
        return document


async def _given(read: Read, binding: Binding, call: Operation, found: bytes | None) -> Any:
    """Return the document of a ``findAndModify``; if it cannot be read, the error has it."""
    try:
        return await read.first(binding, call, found)
    except MongospecError as error:
        error.outcome = "applied"
        error.given = salvaged(found) if found is not None else None
        error.add_note(
            f"{call.operation} was carried out before this; .given is what it returned: "
            f"{shown(error.given)}"
        )
        raise


async def _update(
    cls: type[DocumentBase],
    operation: str,
    verb: str,
    filter: Filter,
    update: Update,
    upsert: bool,
    skip_hooks: bool,
    options: Mapping[str, Any],
) -> UpdateResult:
    binding, call = begin(cls, operation, verb, options, "write", upsert=upsert or None)
    query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
    change = await encode_update(
        binding, update, options, skip_hooks=skip_hooks, query=query, upsert=upsert
    )
    reply = await call.send(verb, query, change)
    return UpdateResult(reply["matched_count"], reply["modified_count"], reply["upserted_id"])
