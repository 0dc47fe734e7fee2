"""Pages of documents, with their references resolved."""

# pyright: reportIncompatibleMethodOverride=false
# As in mongospec_refs.find.

from collections.abc import Mapping
from typing import Any, Self, Unpack, overload, override

import msgspec

import mongospec_core as core
from mongospec_core import Page
from mongospec_core.extension import Filter, OnInvalid, PageOptions, Projection, Sort
from mongospec_refs.resolve import reading_of


class PageOperations(core.MongoDocument, abstract=True):
    """``page``, with ``resolve_refs`` and ``ref_depth``."""

    @overload
    @classmethod
    async def page(
        cls,
        filter: Filter | None = None,
        *,
        sort: Sort | None = None,
        size: int = 20,
        after: str | None = None,
        total: bool = False,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[PageOptions],
    ) -> Page[Self]: ...
    @overload
    @classmethod
    async def page[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        sort: Sort | None = None,
        size: int = 20,
        after: str | None = None,
        total: bool = False,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[PageOptions],
    ) -> Page[S]: ...
    @overload
    @classmethod
    async def page(
        cls,
        filter: Filter | None = None,
        *,
        sort: Sort | None = None,
        size: int = 20,
        after: str | None = None,
        total: bool = False,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[PageOptions],
    ) -> Page[dict[str, Any]]: ...
    @override
    @classmethod
    async def page(
        cls,
        filter: Filter | None = None,
        *,
        sort: Sort | None = None,
        size: int = 20,
        after: str | None = None,
        total: bool = False,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[PageOptions],
    ) -> Page[Any]:
        """A page of the documents that match, and what to say for the next and the previous one.

        Sends one ``find``, and one for each referenced class and level. A page begins at the sort's
        values of the document at which the last one ended, not at a number: documents that are inserted
        or deleted meanwhile make none appear twice and none be left out, and the last page is as fast as
        the first if an index has the sort's fields and ``_id``. A document whose own sort values change
        may move from page to page.

        :param filter: a query; None: all documents. ``__pre_find__`` scopes it. It must be the same for
            all pages, as must the sort.
        :param sort: pymongo's forms, each field by 1 or -1; ``_id`` is added as the last, in the
            direction of the field before it. None and missing fields stand where MongoDB sorts them.
        :param size: how many documents at most.
        :param after: the ``next`` or ``previous`` of another page; None: the first page.
        :param total: count all that match as well, by one ``aggregate``.
        :param projection: as in :meth:`find`; it need not have the sort's fields.
        :param on_invalid: as in :meth:`find`. Documents that are left out are missing in their page.
        :param resolve_refs: with False, references stay unresolved: ``await reference.fetch()``.
        :param ref_depth: how many levels of references are resolved; None: all.
        :param skip_hooks: leave ``__pre_find__`` out.
        :raises PageTokenError: ``after`` is damaged, or belongs to another query; nothing was sent.
        :raises OptionError: a document has a list, or another value that cannot be compared, in a field
            of the sort.

        .. code-block:: python

            page = await Product.page({"stock": {"$gt": 0}}, sort=[("price", -1)], size=20)
            more = await Product.page({"stock": {"$gt": 0}}, sort=[("price", -1)], after=page.next)
        """
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._page(filter, sort, size, after, total, reading, skip_hooks, options)
