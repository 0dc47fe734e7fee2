# pyright: reportIncompatibleMethodOverride=false
# pyright takes any new keyword beside **options for an incompatible override; these have defaults,
# so whoever calls by core's signatures gets what core promises. mypy checks the overrides.
"""Finding and changing a document in one step; what is given has its references resolved."""

from typing import Self, Unpack, cast, override

import mongospec_core as core
from mongospec_core.extension import (
    Filter,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    Update,
)
from mongospec_refs.reading import RefReading


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
