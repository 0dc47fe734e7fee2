"""Reads of a document that must be there, with their references resolved."""

# pyright: reportIncompatibleMethodOverride=false
# As in mongospec_refs.find.

from collections.abc import Mapping
from typing import Any, Self, Unpack, overload, override

import msgspec

import mongospec_core as core
from mongospec_core.extension import (
    Filter,
    FindOneOptions,
    OnInvalid,
    Projection,
    by_id,
    plan_of,
)
from mongospec_refs.resolve import RefReading, fetch, reading_of
from mongospec_refs.unresolved import is_resolved


class GetOperations(core.MongoDocument, abstract=True):
    """``get_one``, ``get_by_id`` and ``reload``, with ``resolve_refs`` and ``ref_depth``."""

    @overload
    @classmethod
    async def get_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Self: ...
    @overload
    @classmethod
    async def get_one[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> S: ...
    @overload
    @classmethod
    async def get_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> dict[str, Any]: ...
    @override
    @classmethod
    async def get_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """The first document that matches, which must be there.

        Sends one ``find``, and one for each referenced class and level. Parameters as in :meth:`find`.
        A document that ``on_invalid`` leaves out counts as not there.

        :raises DocumentNotFoundError: none matches; it has the class and the filter.
        :raises DocumentValidationError: the stored document does not fit the class.

        .. code-block:: python

            alice = await User.get_one({"email": "alice@example.com"})
        """
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._get_one("get_one", filter, reading, skip_hooks, options)

    @overload
    @classmethod
    async def get_by_id(
        cls,
        id: Any,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Self: ...
    @overload
    @classmethod
    async def get_by_id[S: msgspec.Struct](
        cls,
        id: Any,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> S: ...
    @overload
    @classmethod
    async def get_by_id(
        cls,
        id: Any,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> dict[str, Any]: ...
    @override
    @classmethod
    async def get_by_id(
        cls,
        id: Any,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """The document with this ``_id``, which must be there.

        Sends one ``find``, and one for each referenced class and level.

        :param id: an id, or what can be converted to the class's id type: ``"65f0…"``.
        :raises DocumentNotFoundError: there is no such document.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            alice = await User.get_by_id("65f0c0ffee65f0c0ffee0001")
        """
        wanted = by_id(plan_of(cls), id)
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._get_one("get_by_id", wanted, reading, skip_hooks, options)

    @override
    async def reload(
        self,
        *,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        **options: Unpack[FindOneOptions],
    ) -> Self:
        """Read this document again, in place: what was changed in it and not saved is gone.

        Sends one ``find`` by its ``_id``, and one for each referenced class and level; no hook scopes
        it. Its references are read anew as well: other objects than before, except those to itself. An
        unresolved reference is read as by :meth:`fetch`. If a save of this object ends meanwhile, it
        is read once more, so that the object is not older than what it knows.

        :param resolve_refs: with False, its references are unresolved afterwards.
        :param ref_depth: how many levels of references are resolved; None: all.
        :returns: the document itself, which has no changes now.
        :raises MissingIdError: it has no ``_id``; nothing was sent.
        :raises DocumentNotFoundError: it is gone; the object stays as it was.
        :raises DocumentValidationError: the stored document does not fit; the object stays as it was.

        .. code-block:: python

            await post.reload()
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth, guest=self)
        if is_resolved(self):
            await self._reload(reading, options)
        else:
            document: Self = await fetch(self, reading, options)
            return document
        return self
