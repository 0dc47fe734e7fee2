"""Keyset pages: each begins where the one before it ended, by the values of its sort."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self, Unpack, overload

import msgspec
from bson.errors import BSONError

from mongospec_core.codec.elements import element_value, join_elements, split_elements
from mongospec_core.codec.json import ForPydantic
from mongospec_core.errors import OptionError, shown
from mongospec_core.model.read import OnInvalid
from mongospec_core.operations.filters import Filter, encode_filter, or_all
from mongospec_core.operations.find import FindOperations
from mongospec_core.operations.options import PageKeywords, PageOptions, Sort, begin, sort_document
from mongospec_core.operations.page_position import Position, beyond, can_begin_page
from mongospec_core.operations.page_token import question_of, read_token, token_of
from mongospec_core.operations.path_checks import check_sort
from mongospec_core.operations.projection import Projection
from mongospec_core.server.driver import OPTIONS
from mongospec_core.server.driver_cursor import split_documents
from mongospec_core.server.operation import Operation


class Page[T](msgspec.Struct):
    """A page of documents, as returned by ``page()``; msgspec, Litestar and FastAPI can write it.

    ``items`` are its documents. ``next`` and ``previous`` are the ``after=`` of the pages around it,
    as text that may be used in URLs; None at the first or last page. ``total`` is the number of all
    documents that match, if it was requested.
    """

    __get_pydantic_core_schema__: ClassVar[Any] = ForPydantic.__get_pydantic_core_schema__
    __holds_whole_documents__: ClassVar[bool] = True  # they are not written as ids in it

    items: list[T]
    next: str | None = None
    previous: str | None = None
    total: int | None = None


class PageOperations(FindOperations, abstract=True):
    """``page``."""

    @overload
    @classmethod
    async def page(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        **options: Unpack[PageKeywords],
    ) -> Page[Self]: ...
    @overload
    @classmethod
    async def page[S: msgspec.Struct](
        cls, filter: Filter | None = None, *, projection: type[S], **options: Unpack[PageKeywords]
    ) -> Page[S]: ...
    @overload
    @classmethod
    async def page(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        **options: Unpack[PageKeywords],
    ) -> Page[dict[str, Any]]: ...
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
        skip_hooks: bool = False,
        **options: Unpack[PageOptions],
    ) -> Page[Any]:
        """Return a page of the documents that match, and the tokens of the next and previous page.

        Sends one ``find``. A page begins after the sort values of the last document of the previous
        page, not at a number: if documents are inserted or deleted meanwhile, no other document
        appears twice or is left out, and the last page is as fast as the first if an index has the
        sort's fields and ``_id``. A document whose own sort values change may move between pages.

        :param filter: a query; None: all documents. ``__pre_find__`` scopes it. It must be the same for
            all pages, as must the sort.
        :param sort: pymongo's forms, each field by 1 or -1; ``_id`` is added as the last, in the
            direction of the field before it. None and missing fields are sorted as MongoDB sorts them.
        :param size: the maximum number of documents.
        :param after: the ``next`` or ``previous`` of another page; None: the first page.
        :param total: count all that match as well, by one ``aggregate``.
        :param projection: as in :meth:`find`; it need not have the sort's fields.
        :param on_invalid: as in :meth:`find`. Documents that are left out are missing in their page.
        :param skip_hooks: leave ``__pre_find__`` out.
        :raises PageTokenError: ``after`` is damaged, or belongs to another query; nothing was sent.
        :raises OptionError: a document has a list, or another value that cannot be compared, in a field
            of the sort.

        .. code-block:: python

            page = await Product.page({"stock": {"$gt": 0}}, sort=[("price", -1)], size=20)
            more = await Product.page({"stock": {"$gt": 0}}, sort=[("price", -1)], after=page.next)
        """
        read = cls.__read__.of(options, projection, on_invalid)
        name = f"{cls.__name__}.page"
        if type(size) is not int or size < 1:
            raise OptionError(f"{name}: size={shown(size)} is not a whole number of at least 1")
        order = _order(name, sort)
        sent = _projection(name, read.fields(cls), order)
        binding, call = begin(
            cls,
            "page",
            "page",
            options,
            "read",
            projection=sent.document,
            limit=size + 1,  # one more, to know whether there is a next page
            batch_size=size + 2,
        )
        if binding.paths is not None:
            check_sort(binding.paths, order)
        if projection is not None:
            read.check(binding)
        query = await encode_filter(binding, or_all(filter), skip_hooks=skip_hooks)
        question = question_of(cls, or_all(filter), order, options)
        place = None if after is None else read_token(name, after, question, order)
        backwards = place is not None and place.backwards
        towards = {field: -way if backwards else way for field, way in order.items()}
        call.options = {**call.options, "sort": towards}
        wanted = query if place is None else beyond(name, query, towards, place)
        parts = split_documents(await call.send("find_many", wanted))
        more = len(parts) > size
        del parts[size:]
        if backwards:
            parts.reverse()
        taken = [_take(name, part, order, sent) for part in parts]
        documents = [document for document, _ in taken]
        page = Page(items=await read.reader(binding).load(documents, call))
        if total:
            page.total = await _count(call, query)

        def token(last: bool) -> str:
            """Return the token after the last, or before the first; without documents, back from *after*."""
            if taken:
                return token_of(question, Position(taken[-last][1], not last, False))
            assert place is not None
            return token_of(question, Position(place.values, not last, True))

        if more or backwards:
            page.next = token(last=True)
        if more if backwards else place is not None:
            page.previous = token(last=False)
        return page


async def _count(call: Operation, query: bytes) -> int:
    known = OPTIONS["count_documents"] - {"limit"}
    options = {name: value for name, value in call.options.items() if name in known}
    return int(await call.lookup("count_documents", **options).send("count_documents", query))


# -- the sort, and the values of a document in it


def _order(name: str, sort: Sort | None) -> dict[str, int]:
    """Return field to direction, ending with ``_id``, which makes every position unique."""
    order: dict[str, int] = {}
    for field, way in ({} if sort is None else sort_document(sort)).items():
        if type(way) is not int or way not in {1, -1}:
            raise OptionError(f"{name}: sort={shown(sort)}: the direction of a field is 1 or -1")
        order[field] = way
        if field == "_id":
            return order
    return {**order, "_id": [1, *order.values()][-1]}


_KEY = "__sort_values"
"""The field of a reply with the sort's values, which a projection need not have."""


class _Sent(NamedTuple):
    """The projection that is sent, with the sort's values, and which of its fields to remove."""

    document: dict[str, Any] | None
    has_key: bool = False
    without: tuple[str, ...] = ()


def _projection(name: str, asked: dict[str, Any] | None, order: Mapping[str, int]) -> _Sent:
    if asked is None:
        return _Sent(None)
    chosen = [each for field, each in asked.items() if field != "_id"]
    if any(_includes(each) for each in chosen) or (not chosen and _includes(asked.get("_id", 0))):
        return _Sent(
            {**asked, _KEY: [f"${field.partition('.')[0]}" for field in order]},
            has_key=True,
            without=(_KEY,),
        )
    # The projection excludes fields; all but the _id are excluded here as well.
    left = {field: each for field, each in asked.items() if field != "_id"}
    for field in order:
        for path in left:
            if f"{field}.".startswith(f"{path}.") or path.startswith(f"{field}."):
                raise OptionError(
                    f"{name}: the projection leaves out {path!r}, which the sort needs; "
                    f"list the fields to read instead"
                )
    return _Sent(left or None, without=("_id",) if "_id" in asked and not asked["_id"] else ())


def _includes(value: Any) -> bool:
    """Return whether a field of a projection is included: all others are then left out."""
    if isinstance(value, Mapping):
        return not value.keys() & {"$slice", "$meta"}
    return bool(value)


def _take(name: str, part: bytes, order: Mapping[str, int], sent: _Sent) -> tuple[bytes, list[Any]]:
    """Return a document as projected, and its values in the sort."""
    tops = [field.partition(".")[0] for field in order]
    try:
        elements = split_elements(part)
        if sent.has_key:
            found = element_value(elements[_KEY])
        else:
            found = [element_value(elements[top]) if top in elements else None for top in tops]
    except (BSONError, LookupError, ValueError) as error:
        raise OptionError(f"{name}: a value of the sort cannot be read: {error}") from error
    values = [_inside(value, field) for value, field in zip(found, order, strict=True)]
    for field, value in zip(order, values, strict=True):
        if not can_begin_page(value):
            raise OptionError(
                f"{name}: the document of _id={shown(values[-1])} has {shown(value)} in {field!r}: pages "
                f"cannot be sorted by lists, nor by values that MongoDB does not compare"
            )
    for field in sent.without:
        elements.pop(field, None)
    return join_elements(elements.values()) if sent.without else part, values


def _inside(value: Any, path: str) -> Any:
    """Return the value at a path, from the value of its first name; stop at a list on the way."""
    for name in path.split(".")[1:]:
        if isinstance(value, list):
            break
        value = value.get(name) if isinstance(value, dict) else None
    return value
