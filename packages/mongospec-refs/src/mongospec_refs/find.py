"""Reads that resolve references: core's, with two more keywords."""

# mypy: disable-error-code="no-overload-impl"
# pyright: reportNoOverloadImplementation=false, reportReturnType=false
# What is overloaded here is core's, which reads by ``__read__``.

# pyright: reportIncompatibleMethodOverride=false
# pyright reports any new keyword beside **options as an incompatible override; these have defaults,
# so calls by core's signatures work as core promises. mypy checks the overrides.

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack, overload, override

import msgspec

import mongospec_core as core
from mongospec_core import Cursor, Page
from mongospec_core.extension import (
    Filter,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    FindOneOptions,
    Read,
    Update,
)
from mongospec_core.extension import FindKeywords as CoreFindKeywords
from mongospec_core.extension import FindOneKeywords as CoreFindOneKeywords
from mongospec_core.extension import PageKeywords as CorePageKeywords
from mongospec_refs.read import ReferenceRead


class ReferenceKeywords(TypedDict, total=False):
    """The keywords of all reads of documents, besides core's."""

    resolve_refs: bool
    ref_depth: int | None


class FindKeywords(CoreFindKeywords, ReferenceKeywords, total=False):
    """The keywords of ``find`` and ``find_all``."""


class FindOneKeywords(CoreFindOneKeywords, ReferenceKeywords, total=False):
    """The keywords of ``find_one`` and similar reads."""


class PageKeywords(CorePageKeywords, ReferenceKeywords, total=False):
    """The keywords of ``page``."""


class FindOperations(core.MongoDocument, abstract=True):
    """Core's reads, which also take ``resolve_refs`` and ``ref_depth``; core's code runs them."""

    __read__: ClassVar[type[Read]] = ReferenceRead

    if TYPE_CHECKING:

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
            cls,
            filter: Filter | None = None,
            *,
            projection: type[S],
            **options: Unpack[FindKeywords],
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
            cls,
            filter: Filter | None = None,
            *,
            projection: type[S],
            **options: Unpack[FindKeywords],
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
        @overload
        @classmethod
        async def get_one(
            cls,
            filter: Filter | None = None,
            *,
            projection: None = None,
            **options: Unpack[FindOneKeywords],
        ) -> Self: ...
        @overload
        @classmethod
        async def get_one[S: msgspec.Struct](
            cls,
            filter: Filter | None = None,
            *,
            projection: type[S],
            **options: Unpack[FindOneKeywords],
        ) -> S: ...
        @overload
        @classmethod
        async def get_one(
            cls,
            filter: Filter | None = None,
            *,
            projection: Mapping[str, Any],
            **options: Unpack[FindOneKeywords],
        ) -> dict[str, Any]: ...
        @overload
        @classmethod
        async def get_by_id(
            cls, id: Any, *, projection: None = None, **options: Unpack[FindOneKeywords]
        ) -> Self: ...
        @overload
        @classmethod
        async def get_by_id[S: msgspec.Struct](
            cls, id: Any, *, projection: type[S], **options: Unpack[FindOneKeywords]
        ) -> S: ...
        @overload
        @classmethod
        async def get_by_id(
            cls, id: Any, *, projection: Mapping[str, Any], **options: Unpack[FindOneKeywords]
        ) -> dict[str, Any]: ...
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
            cls,
            filter: Filter | None = None,
            *,
            projection: type[S],
            **options: Unpack[PageKeywords],
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
        @override
        @classmethod
        async def find_one_and_update(
            cls,
            filter: Filter,
            update: Update,
            *,
            return_updated: bool = True,
            resolve_refs: bool = True,
            ref_depth: int | None = None,
            skip_hooks: bool = False,
            **options: Unpack[FindOneAndUpdateOptions],
        ) -> Self | None: ...

        @override
        @classmethod
        async def find_one_and_replace(
            cls,
            filter: Filter,
            replacement: Self,
            *,
            return_updated: bool = True,
            resolve_refs: bool = True,
            ref_depth: int | None = None,
            skip_hooks: bool = False,
            validate_on_write: bool | None = None,
            **options: Unpack[FindOneAndReplaceOptions],
        ) -> Self | None: ...

        @override
        @classmethod
        async def find_one_and_delete(
            cls,
            filter: Filter,
            *,
            resolve_refs: bool = True,
            ref_depth: int | None = None,
            skip_hooks: bool = False,
            **options: Unpack[FindOneAndDeleteOptions],
        ) -> Self | None: ...

        @override
        async def reload(
            self,
            *,
            resolve_refs: bool = True,
            ref_depth: int | None = None,
            **options: Unpack[FindOneOptions],
        ) -> Self:
            """Read this document again, in place; changes that were not saved are lost.

            Sends one ``find`` by its ``_id``, and one for each referenced class and level; no hook
            scopes it. Its references are read again, too, as new objects, except those to itself. An
            unresolved reference is read as by :meth:`fetch`. If a save of this object ends meanwhile,
            it is read once more, so that the object is not older than that save.

            :param resolve_refs: with False, its references are unresolved afterwards.
            :param ref_depth: how many levels of references are resolved; None: all.
            :returns: the document itself, without changes.
            :raises MissingIdError: it has no ``_id``; nothing was sent.
            :raises DocumentNotFoundError: it is gone; the object stays as it was.
            :raises DocumentValidationError: the stored document does not fit; the object stays as it was.

            .. code-block:: python

                await post.reload()
            """
