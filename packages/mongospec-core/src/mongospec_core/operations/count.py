"""Count documents, or check whether there are any."""

from collections.abc import Mapping
from typing import Any, Unpack

from mongospec_core.errors import OptionError
from mongospec_core.model.base import DocumentBase
from mongospec_core.operations.filters import Filter, encode_filter, or_all
from mongospec_core.operations.options import (
    CountOptions,
    EstimatedCountOptions,
    FindOneOptions,
    begin,
)


class CountOperations(DocumentBase, abstract=True):
    """``count``, ``count_documents``, ``estimated_document_count``, ``exists``."""

    @classmethod
    async def count(
        cls,
        filter: Filter | None = None,
        *,
        skip_hooks: bool = False,
        **options: Unpack[CountOptions],
    ) -> int:
        """Return how many documents match, exactly. Sends one ``aggregate``.

        :param filter: a query; None: all. ``__pre_find__`` scopes it.
        :param skip_hooks: leave the hook out.

        .. code-block:: python

            adults = await User.count({"age": {"$gte": 18}})
        """
        return await _count(cls, "count", filter, skip_hooks, options)

    @classmethod
    async def count_documents(
        cls,
        filter: Filter | None = None,
        *,
        skip_hooks: bool = False,
        **options: Unpack[CountOptions],
    ) -> int:
        """Return the same as :meth:`count`, by the driver's name.

        .. code-block:: python

            total = await User.count_documents({})
        """
        return await _count(cls, "count_documents", filter, skip_hooks, options)

    @classmethod
    async def estimated_document_count(cls, **options: Unpack[EstimatedCountOptions]) -> int:
        """Return how many documents the collection has by its metadata: fast, not exact. Sends ``count``.

        No hook can scope it.

        :raises OptionError: with a ``session``, which the driver does not support here; or if other
            classes of the family have documents in the collection.

        .. code-block:: python

            about = await User.estimated_document_count()
        """
        if options.get("session") is not None:
            raise OptionError(
                f"{cls.__name__}.estimated_document_count does not take session=: it reads the "
                f"collection's metadata; use count()"
            )
        binding, call = begin(
            cls, "estimated_document_count", "estimated_document_count", options, "read"
        )
        if binding.scope is not None:
            raise OptionError(
                f"{cls.__name__}.estimated_document_count would count the whole collection "
                f"{binding.target.name!r}, which has documents of other classes; use count()"
            )
        return int(await call.send("estimated_document_count"))

    @classmethod
    async def exists(
        cls, filter: Filter, *, skip_hooks: bool = False, **options: Unpack[FindOneOptions]
    ) -> bool:
        """Return whether any document matches. Sends one ``find`` that reads one ``_id``.

        .. code-block:: python

            taken = await User.exists({"email": "alice@example.com"})
        """
        only_id: dict[str, Any] = {"_id": 1}
        binding, call = begin(cls, "exists", "find_one", options, "read", projection=only_id)
        query = await encode_filter(binding, filter, skip_hooks=skip_hooks)
        return await call.send("find_one", query) is not None


async def _count(
    cls: type[DocumentBase],
    operation: str,
    filter: Filter | None,
    skip_hooks: bool,
    options: Mapping[str, Any],
) -> int:
    binding, call = begin(cls, operation, "count_documents", options, "read")
    query = await encode_filter(binding, or_all(filter), skip_hooks=skip_hooks)
    return int(await call.send("count_documents", query))
