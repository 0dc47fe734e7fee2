"""Reads that resolve references."""

# pyright: reportIncompatibleMethodOverride=false
# pyright takes any new keyword beside **options for an incompatible override; these have defaults,
# so whoever calls by core's signatures gets what core promises. mypy checks the overrides.

from collections.abc import Mapping
from typing import Any, Self, Unpack, cast, overload, override

import msgspec

import mongospec_core as core
from mongospec_core import Cursor
from mongospec_core.extension import (
    Filter,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    FindOneOptions,
    FindOptions,
    OnInvalid,
    Projection,
    Update,
    by_id,
    plan_of,
)
from mongospec_refs.resolve import RefReading, reading_of


class FindOperations(core.MongoDocument, abstract=True):
    """``find``, ``find_one``, ``find_by_id`` and ``find_all``, with ``resolve_refs`` and ``ref_depth``."""

    @overload
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Cursor[Self]: ...
    @overload
    @classmethod
    def find[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Cursor[S]: ...
    @overload
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Cursor[dict[str, Any]]: ...
    @override
    @classmethod
    def find(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Cursor[Any]:
        """A cursor over the documents that match.

        Sends nothing yet; reading sends one ``find``, a ``getMore`` for each further batch, and for
        each batch one ``find`` for each referenced class and level of references. In a batch, one
        ``_id`` is one object.

        :param filter: a query; None: all documents. ``__pre_find__`` scopes it.
        :param projection: a Struct that has some of the fields (they are read as that Struct), or
            a projection document (they are read as plain dicts).
        :param on_invalid: what to do with stored documents that do not fit the class: ``"raise"``,
            ``"skip"``, or a function that is given the failure and the raw document. A referenced
            document that does not fit stays unresolved, unless it is ``"raise"``.
        :param resolve_refs: with False, references stay unresolved: ``await reference.fetch()``.
        :param ref_depth: how many levels of references are resolved; None: all.
        :param skip_hooks: leave ``__pre_find__`` out.
        :param options: the driver's, for example ``sort``, ``skip``, ``limit``, ``hint``.
        :raises NotBoundError: the class is not bound.
        :raises OptionError: an option that ``find`` does not take.

        .. code-block:: python

            async for user in User.find({"age": {"$gte": 18}}, sort=[("age", -1)]):
                print(user.name)
        """
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return cls._find(filter, reading, skip_hooks, options)

    @overload
    @classmethod
    async def find_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Self | None: ...
    @overload
    @classmethod
    async def find_one[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> S | None: ...
    @overload
    @classmethod
    async def find_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> dict[str, Any] | None: ...
    @override
    @classmethod
    async def find_one(
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
        """The first document that matches, or None.

        Sends one ``find``, and one for each referenced class and level. Parameters as in :meth:`find`.

        :raises DocumentValidationError: the stored document does not fit the class.

        .. code-block:: python

            alice = await User.find_one({"email": "alice@example.com"})
        """
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._find_one("find_one", filter, reading, skip_hooks, options)

    @overload
    @classmethod
    async def find_by_id(
        cls,
        id: Any,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Self | None: ...
    @overload
    @classmethod
    async def find_by_id[S: msgspec.Struct](
        cls,
        id: Any,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> S | None: ...
    @overload
    @classmethod
    async def find_by_id(
        cls,
        id: Any,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> dict[str, Any] | None: ...
    @override
    @classmethod
    async def find_by_id(
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
        """The document with this ``_id``, or None.

        Sends one ``find``, and one for each referenced class and level. Parameters as in :meth:`find`.

        :param id: an id, or what can be converted to the class's id type: ``"65f0…"``.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            alice = await User.find_by_id("65f0c0ffee65f0c0ffee0001")
        """
        wanted = by_id(plan_of(cls), id)
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._find_one("find_by_id", wanted, reading, skip_hooks, options)

    @overload
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: None = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> list[Self]: ...
    @overload
    @classmethod
    async def find_all[S: msgspec.Struct](
        cls,
        filter: Filter | None = None,
        *,
        projection: type[S],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> list[S]: ...
    @overload
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: Mapping[str, Any],
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> list[dict[str, Any]]: ...
    @override
    @classmethod
    async def find_all(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        skip_hooks: bool = False,
        **options: Unpack[FindOptions],
    ) -> Any:
        """All documents that match, as a list: the fastest read of many.

        Sends one ``find`` (and a ``getMore`` for each further batch), and one for each referenced
        class and level: 1,000 posts with author, reviewer and tags take 3. In the whole list, one
        ``_id`` is one object. Parameters as in :meth:`find`.

        .. code-block:: python

            adults = await User.find_all({"age": {"$gte": 18}}, limit=100)
        """
        reading = reading_of(projection, on_invalid, resolve_refs, ref_depth)
        return await cls._find_all(filter, reading, skip_hooks, options)


class FindAndModifyOperations(core.MongoDocument, abstract=True):
    """``find_one_and_update``, ``_replace`` and ``_delete``, with ``resolve_refs`` and ``ref_depth``."""

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
    ) -> Self | None:
        """Change one document and give it. Sends one ``findAndModify``, and a
        ``find`` for each referenced class and level.

        :param return_updated: the document as it is afterwards; with False, as it was before.
        :returns: the document; None where none matched (or, before an upsert, there was none).

        .. code-block:: python

            job = await Job.find_one_and_update(
                {"state": "waiting"}, {"$set": {"state": "running"}}, sort="created_at"
            )
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth)
        return cast(
            "Self | None",
            await cls._find_one_and_update(
                filter, update, return_updated, reading, skip_hooks, options
            ),
        )

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
    ) -> Self | None:
        """Put a document in the place of one that matches. Sends one ``findAndModify``, and a
        ``find`` for each referenced class and level.

        Fields that the class does not declare are gone afterwards; ``save()`` keeps them.

        :param replacement: a document of this class; its ``_id`` must be None or the old one. Its
            ``__pre_save__`` runs.
        :param return_updated: the new document; with False, the one that was replaced.

        .. code-block:: python

            old = await User.find_one_and_replace({"email": "a@x"}, new, return_updated=False)
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth)
        return cast(
            "Self | None",
            await cls._find_one_and_replace(
                filter,
                replacement,
                return_updated,
                reading,
                skip_hooks,
                validate_on_write,
                options,
            ),
        )

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
    ) -> Self | None:
        """Delete one document and give it. Sends one ``findAndModify``, and a
        ``find`` for each referenced class and level.

        .. code-block:: python

            job = await Job.find_one_and_delete({"state": "done"}, sort="finished_at")
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth)
        return cast(
            "Self | None", await cls._find_one_and_delete(filter, reading, skip_hooks, options)
        )
