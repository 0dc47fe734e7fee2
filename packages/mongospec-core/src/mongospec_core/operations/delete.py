"""Delete documents."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

from mongospec_core.codec.codec_options import encode_query
from mongospec_core.codec.plan import plan_of
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import refuse_elsewhere
from mongospec_core.model.own_filter import own_filter
from mongospec_core.model.snapshot import DELETED, snapshot_of
from mongospec_core.model.version import refuse_stale, version_of
from mongospec_core.model.write import apply_outcome
from mongospec_core.operations.filters import Filter, by_id, encode_filter
from mongospec_core.operations.options import CheckedDeleteOptions, DeleteOptions, begin
from mongospec_core.operations.save import refuse_without_id
from mongospec_core.server.operation import outcome_of


class DeleteOperations(DocumentBase, abstract=True):
    """``delete``, ``delete_one``, ``delete_many``, ``delete_by_id``."""

    async def delete(self, **options: Unpack[DeleteOptions]) -> int:
        """Delete this document by its ``_id``. Sends one ``delete``; no hook runs.

        :returns: 1, or 0 if it was already gone. The object keeps its ``_id`` and counts as new.
        :raises MissingIdError: it has no ``_id``.
        :raises StaleDocumentError: the stored document has another version; it was not deleted.

        .. code-block:: python

            await alice.delete()
        """
        binding, call = begin(type(self), "delete", "delete_one", options, "write")
        refuse_without_id(self)
        refuse_elsewhere(type(self), [self])
        plan, id_ = binding.plan, to_raw(self._id)
        settle = partial(apply_outcome, call, self, before=snapshot_of(self), after=DELETED)
        expected = None if plan.version is None else version_of(plan, self)
        try:
            reply = await call.send("delete_one", encode_query(own_filter(plan, self, id_)))
        except BaseException as error:
            settle(outcome_of(error))
            raise
        if not reply["deleted_count"]:
            await refuse_stale(call, plan, self, id_, expected)
        settle("applied")
        return int(reply["deleted_count"])

    @classmethod
    async def delete_one(
        cls, filter: Filter, *, skip_hooks: bool = False, **options: Unpack[CheckedDeleteOptions]
    ) -> int:
        """Delete the first document that matches. Sends one ``delete``.

        :param filter: a query; ``__pre_find__`` scopes it.
        :param skip_hooks: leave the hook out.
        :returns: 1 or 0.

        .. code-block:: python

            await User.delete_one({"email": "alice@example.com"})
        """
        return await _delete(cls, "delete_one", "delete_one", filter, skip_hooks, options)

    @classmethod
    async def delete_many(
        cls, filter: Filter, *, skip_hooks: bool = False, **options: Unpack[CheckedDeleteOptions]
    ) -> int:
        """Delete all documents that match; ``{}`` matches all. Sends one ``delete``.

        :returns: how many were deleted.

        .. code-block:: python

            gone = await User.delete_many({"active": False})
        """
        return await _delete(cls, "delete_many", "delete_many", filter, skip_hooks, options)

    @classmethod
    async def delete_by_id(
        cls, id: Any, *, skip_hooks: bool = False, **options: Unpack[CheckedDeleteOptions]
    ) -> int:
        """Delete the document with this ``_id``. Sends one ``delete``.

        :param id: an id, or what can be converted to the class's id type.
        :returns: 1 or 0.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            await User.delete_by_id("65f0c0ffee65f0c0ffee0001")
        """
        wanted = by_id(plan_of(cls), id)
        return await _delete(cls, "delete_by_id", "delete_one", wanted, skip_hooks, options)


async def _delete(
    cls: type[DocumentBase],
    operation: str,
    verb: str,
    filter: Filter,
    skip_hooks: bool,
    options: Mapping[str, Any],
) -> int:
    binding, call = begin(cls, operation, verb, options, "write")
    query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
    reply = await call.send(verb, query)
    return int(reply["deleted_count"])
