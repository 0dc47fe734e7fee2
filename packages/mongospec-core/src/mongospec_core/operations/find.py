"""Find documents."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Self, Unpack, overload

import msgspec

from mongospec_core.codec.codec_options import named
from mongospec_core.codec.plan import plan_of
from mongospec_core.model.hooks import deep_copy
from mongospec_core.model.read import OnInvalid
from mongospec_core.operations.cursor import Cursor, Query
from mongospec_core.operations.filters import Filter, by_id, encode_filter, or_all
from mongospec_core.operations.options import (
    FindKeywords,
    FindOneKeywords,
    FindOneOptions,
    FindOptions,
    begin,
)
from mongospec_core.operations.projection import Projection, Read, ReadOperations
from mongospec_core.server.driver_cursor import split_documents


class FindOperations(ReadOperations, abstract=True):
    """``find``, ``find_one``, ``find_by_id``, ``find_all``."""

    @overload
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        **options: Unpack[FindKeywords],
    ) -> Cursor[Self]: ...
    @overload
    @classmethod
    def find[S: msgspec.Struct](
        cls, filter: Filter | None = None, *, projection: type[S], **options: Unpack[FindKeywords]
    ) -> Cursor[S]: ...
    @overload
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        **options: Unpack[FindKeywords],
    ) -> Cursor[dict[str, Any]]: ...
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Cursor[Any]:
        """Return a cursor over the documents that match.

        Sends nothing yet; reading sends one ``find``, and a ``getMore`` for each further batch.

        :param filter: a query; None: all documents. ``__pre_find__`` scopes it.
        :param projection: a Struct that has some of the fields (they are read as that Struct), or
            a projection document (they are read as plain dicts).
        :param on_invalid: what to do with stored documents that do not fit the class: ``"raise"``,
            ``"skip"``, or a function that gets the failure and the raw document.
        :param skip_hooks: leave ``__pre_find__`` out.
        :param options: the driver's, for example ``sort``, ``skip``, ``limit``, ``hint``.
        :raises NotBoundError: the class is not bound.
        :raises OptionError: ``find`` does not take an option.

        .. code-block:: python

            async for user in User.find({"age": {"$gte": 18}}, sort=[("age", -1)]):
                print(user.name)
        """
        read = cls.__read__.of(options, projection, on_invalid)
        binding, call = begin(cls, "find", "find", options, "read", projection=read.fields(cls))
        if projection is not None:
            read.check(binding)
        asked = or_all(named(cls.__name__, "a filter", deep_copy, filter))
        query = partial(encode_filter, binding, asked, skip_hooks=skip_hooks)
        find = Query[Any](call, "find", query, partial(read.reader, binding))
        return Cursor(find, options.get("batch_size"))

    @overload
    @classmethod
    async def find_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        **options: Unpack[FindOneKeywords],
    ) -> Self | None: ...
    @overload
    @classmethod
    async def find_one[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        projection: type[S],
        **options: Unpack[FindOneKeywords],
    ) -> S | None: ...
    @overload
    @classmethod
    async def find_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        **options: Unpack[FindOneKeywords],
    ) -> dict[str, Any] | None: ...
    @classmethod
    async def find_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """Return the first document that matches, or None. Sends one ``find``.

        Parameters as in :meth:`find`.

        :raises DocumentValidationError: the stored document does not fit the class.

        .. code-block:: python

            alice = await User.find_one({"email": "alice@example.com"})
        """
        read = cls.__read__.of(options, projection, on_invalid)
        return await read_one(cls, "find_one", filter, read, skip_hooks, options)

    @overload
    @classmethod
    async def find_by_id(
        cls, id: Any, *, projection: None = None, **options: Unpack[FindOneKeywords]
    ) -> Self | None: ...
    @overload
    @classmethod
    async def find_by_id[S: msgspec.Struct](
        cls, id: Any, *, projection: type[S], **options: Unpack[FindOneKeywords]
    ) -> S | None: ...
    @overload
    @classmethod
    async def find_by_id(
        cls, id: Any, *, projection: Mapping[str, Any], **options: Unpack[FindOneKeywords]
    ) -> dict[str, Any] | None: ...
    @classmethod
    async def find_by_id(
        cls,
        id: Any,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """Return the document with this ``_id``, or None. Sends one ``find``.

        :param id: an id, or what can be converted to the class's id type: ``"65f0…"``.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            alice = await User.find_by_id("65f0c0ffee65f0c0ffee0001")
        """
        wanted = by_id(plan_of(cls), id)
        read = cls.__read__.of(options, projection, on_invalid)
        return await read_one(cls, "find_by_id", wanted, read, skip_hooks, options)

    @overload
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        **options: Unpack[FindKeywords],
    ) -> list[Self]: ...
    @overload
    @classmethod
    async def find_all[S: msgspec.Struct](
        cls, filter: Filter | None = None, *, projection: type[S], **options: Unpack[FindKeywords]
    ) -> list[S]: ...
    @overload
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        **options: Unpack[FindKeywords],
    ) -> list[dict[str, Any]]: ...
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Any:
        """Return all documents that match, as a list: the fastest read of many.

        Sends one ``find`` (and a ``getMore`` for each further batch), converts all at once.
        Parameters as in :meth:`find`.

        .. code-block:: python

            adults = await User.find_all({"age": {"$gte": 18}}, limit=100)
        """
        read = cls.__read__.of(options, projection, on_invalid)
        binding, call = begin(
            cls, "find_all", "find_many", options, "read", projection=read.fields(cls)
        )
        if projection is not None:
            read.check(binding)
        query = await encode_filter(binding, or_all(filter), skip_hooks=skip_hooks)
        batch = await call.send("find_many", query)
        return await read.reader(binding).load(split_documents(batch), call)


async def read_one(
    cls: type[FindOperations],
    operation: str,
    filter: Filter | None,
    read: Read,
    skip_hooks: bool,
    options: Mapping[str, Any],
) -> Any:
    """Return the first document that matches, or None."""
    binding, call = begin(cls, operation, "find_one", options, "read", projection=read.fields(cls))
    if read.projection is not None:
        read.check(binding)
    query = await encode_filter(binding, or_all(filter), skip_hooks=skip_hooks)
    found = await call.send("find_one", query)
    if found is None:
        return None
    documents = await read.reader(binding).load([found], call)
    return documents[0] if documents else None
