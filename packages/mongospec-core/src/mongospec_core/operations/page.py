"""Keyset pages: each begins where the one before it ended, by the values of its sort."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import base64
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import inf, isnan, nan
from typing import Any, ClassVar, NamedTuple, Self, Unpack, overload
from zlib import crc32

import msgspec
from bson import DBRef
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.elements import element_value, join_elements, split_elements
from mongospec_core.codec.json import ForPydantic
from mongospec_core.errors import EncodingError, OptionError, PageTokenError, shown
from mongospec_core.limits import MAX_DOCUMENT_BYTES
from mongospec_core.model.read import OnInvalid
from mongospec_core.operations.filters import Filter, encode_filter, or_all
from mongospec_core.operations.find import FindOperations
from mongospec_core.operations.options import PageKeywords, PageOptions, Sort, begin, sort_document
from mongospec_core.operations.projection import Projection
from mongospec_core.operations.query_checks import check_sort
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
        question = _question(cls, or_all(filter), order, options)
        place = None if after is None else _read_token(name, after, question, order)
        backwards = place is not None and place.backwards
        towards = {field: -way if backwards else way for field, way in order.items()}
        call.options = {**call.options, "sort": towards}
        wanted = query if place is None else _beyond(name, query, towards, place)
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
                return _token(question, _Place(taken[-last][1], not last, False))
            assert place is not None
            return _token(question, _Place(place.values, not last, True))

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
        if _kind(value) is None:
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


# -- the order of values of all types, as a filter

_KINDS: Sequence[tuple[int, ...]] = (
    (-1,),  # MinKey
    (4,),  # only empty lists; others are sorted, and found, by their elements
    (6, 10),  # undefined, null and missing fields
    (1, 16, 18, 19),  # numbers, NaN first
    (2, 14),  # text
    (3,),  # documents
    (5,),  # binary data
    (7,),  # ObjectId
    (8,),  # booleans
    (9,),  # dates
    (17,),  # timestamps
    (11,),  # regular expressions
    (12,),  # DBPointer
    (13,),  # code
    (15,),  # code with a scope
    (127,),  # MaxKey
)
"""MongoDB's order of types, by ``$type`` numbers: ``$gt`` and ``$lt`` compare within one type."""
_NULL, _NUMBER, _DOCUMENT = 2, 3, 5
_KIND = {number & 255: place for place, numbers in enumerate(_KINDS) for number in numbers}
_SINGLE = frozenset({_KIND[255], _NULL, _KIND[127]})  # types with a single value
_NOT_COMPARED = frozenset(_KIND[number] for number in (4, 11, 12, 13, 15))


def _kind(value: Any) -> int | None:
    """Return the position of a value's type in the order; None if a page cannot begin at it."""
    kind = _KIND[encode({"": value})[4]]
    operators = kind == _DOCUMENT and _has_operators(value)
    return None if kind in _NOT_COMPARED or operators else kind


def _has_operators(value: Any) -> bool:
    """Return whether a key at any depth begins with $, as in a DBRef, stored as {"$ref": ...}."""
    if isinstance(value, list | dict):
        items: Any = value.values() if isinstance(value, dict) else value
        keys: Any = value if isinstance(value, dict) else ()
        return any(key.startswith("$") for key in keys) or any(map(_has_operators, items))
    return isinstance(value, DBRef)


class _Place(NamedTuple):
    """The position where a page begins: beyond these values, or at them."""

    values: list[Any]
    backwards: bool
    inclusive: bool


def _beyond(name: str, query: bytes, order: Mapping[str, int], place: _Place) -> bytes:
    """Return the filter for the documents that match *query* and come after *place* in *order*.

    All values are operands of ``$eq``, ``$gt`` and ``$lt``, which take them literally: a token's
    values are only compared, and can never be a query.

    :raises PageTokenError: they are too large or too deep for one.
    """
    branches: list[dict[str, Any]] = []
    same: dict[str, Any] = {}
    for (field, way), value in zip(order.items(), place.values, strict=True):
        branches += [{**same, field: each} for each in _greater(value, way > 0)]
        same = {**same, field: {"$eq": value}}
    if place.inclusive:
        branches.append(same)
    field, way = next(iter(order.items()))
    # It follows from the branches, and lets a single index scan begin at the position.
    bound = {field: {"$not": {"$lt" if way > 0 else "$gt": place.values[0]}}}
    beyond = {"$and": [RawBSONDocument(query), bound, {"$or": branches or [{"$nor": [{}]}]}]}
    try:
        data = encode(beyond)
    except EncodingError as error:
        raise PageTokenError(f"{name}: the values of after= do not fit into a query") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise PageTokenError(f"{name}: the values of after= do not fit into a query")
    return data


def _greater(value: Any, up: bool) -> list[dict[str, Any]]:
    """Return conditions on a field, one of which holds for each value that comes after *value*."""
    kind = _kind(value)
    assert kind is not None
    found: list[dict[str, Any]] = []
    if kind == _NUMBER and isnan(value):
        if up:
            found.append({"$gte": -inf})  # all numbers but NaN, which only equals NaN
    elif kind not in _SINGLE:
        found.append({"$gt" if up else "$lt": value})
        if kind == _NUMBER and not up:
            found.append({"$eq": nan})
    others = _KINDS[kind + 1 :] if up else _KINDS[:kind]
    if _KINDS[_NULL] in others:
        found.append({"$eq": None})  # a missing field has no type
    if others:
        found.append({"$type": [number for numbers in others for number in numbers]})
    return found


# -- tokens: a checksum, the query that they belong to, the direction, and the values as BSON


def _question(
    cls: type, filter: Filter, order: Mapping[str, int], options: Mapping[str, Any]
) -> bytes:
    """Return a hash of what must be the same for all pages, as eight bytes."""
    parts = [cls.__name__, filter, *order.items(), options.get("collation"), options.get("let")]
    return blake2b(encode({"": parts}), digest_size=8).digest()


def _token(question: bytes, place: _Place) -> str:
    flags = bytes([place.backwards | place.inclusive << 1])
    data = question + flags + encode({str(n): each for n, each in enumerate(place.values)})
    return base64.urlsafe_b64encode(crc32(data).to_bytes(4) + data).rstrip(b"=").decode()


def _read_token(name: str, token: Any, question: bytes, order: Mapping[str, int]) -> _Place:
    damaged = PageTokenError(
        f"{name}: after={shown(token)} is damaged; pass the next or the previous of a page unchanged"
    )
    if not isinstance(token, str):
        raise damaged
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        if len(data) < 13 or crc32(data[4:]) != int.from_bytes(data[:4]):
            raise damaged
        if data[4:12] != question:
            raise PageTokenError(
                f"{name}: after= belongs to a page of another query: class, filter, sort, collation "
                f"and let must be those of the page that it comes from"
            )
        values = list(decode(data[13:]).values())
        if len(values) != len(order) or any(_kind(each) is None for each in values):
            raise damaged
    except PageTokenError:
        raise
    except (ValueError, BSONError, RecursionError):  # a ValueError: it is not base64
        raise damaged from None
    return _Place(values, bool(data[12] & 1), bool(data[12] & 2))
