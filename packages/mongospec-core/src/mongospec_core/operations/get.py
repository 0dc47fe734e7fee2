"""Read a document that must exist."""

from collections.abc import Mapping
from typing import Any, Self, Unpack, overload

import msgspec
from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import encode_query
from mongospec_core.codec.plan import plan_of
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.errors import DocumentNotFoundError, shown
from mongospec_core.model.binding import refuse_elsewhere
from mongospec_core.model.ids import id_filter
from mongospec_core.model.read import OnInvalid, settle_read
from mongospec_core.model.snapshot import set_snapshot, snapshot_of
from mongospec_core.operations.filters import Filter, by_id, or_all
from mongospec_core.operations.find import FindOperations, read_one
from mongospec_core.operations.options import FindOneKeywords, FindOneOptions, begin
from mongospec_core.operations.projection import Projection
from mongospec_core.operations.save import refuse_without_id


class GetOperations(FindOperations, abstract=True):
    """``get_one``, ``get_by_id``, ``reload``."""

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
    @classmethod
    async def get_one(
        cls,
        filter: Filter | None = None,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """Return the first document that matches, which must exist. Sends one ``find``.

        Parameters as in :meth:`find`. A document that ``on_invalid`` leaves out counts as missing.

        :raises DocumentNotFoundError: none matches; it has the class and the filter.
        :raises DocumentValidationError: the stored document does not fit the class.

        .. code-block:: python

            alice = await User.get_one({"email": "alice@example.com"})
        """
        read = cls.__read__.of(options, projection, on_invalid)
        found = await read_one(cls, "get_one", filter, read, skip_hooks, options)
        return _existing(cls, "get_one", or_all(filter), found)

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
    @classmethod
    async def get_by_id(
        cls,
        id: Any,
        *,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        skip_hooks: bool = False,
        **options: Unpack[FindOneOptions],
    ) -> Any:
        """Return the document with this ``_id``, which must exist. Sends one ``find``.

        :param id: an id, or what can be converted to the class's id type: ``"65f0…"``.
        :raises DocumentNotFoundError: no document has this ``_id``.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            alice = await User.get_by_id(str(alice.id))
        """
        wanted = by_id(plan_of(cls), id)
        read = cls.__read__.of(options, projection, on_invalid)
        found = await read_one(cls, "get_by_id", wanted, read, skip_hooks, options)
        return _existing(cls, "get_by_id", wanted, found)

    async def reload(self, **options: Unpack[FindOneOptions]) -> Self:
        """Read this document again, in place; changes that were not saved are lost.

        Sends one ``find`` by its ``_id``; no hook scopes it. If a save of this object ends meanwhile,
        it is read once more, so that the object is not older than that save.

        :returns: the document itself, without changes.
        :raises MissingIdError: it has no ``_id``; nothing was sent.
        :raises DocumentNotFoundError: it is gone; the object stays as it was.
        :raises DocumentValidationError: the stored document does not fit; the object stays as it was.

        .. code-block:: python

            await alice.reload()
        """
        refuse_without_id(self)
        cls = type(self)
        read = cls.__read__(target=self, **cls.__read__.own(options))
        binding, call = begin(cls, "reload", "find_one", options, "read")
        refuse_elsewhere(cls, [self])
        wanted = id_filter(cls, to_raw(self._id))
        while True:
            before = snapshot_of(self)
            found = await call.send("find_one", encode_query(wanted))
            stored = await read.first(binding, call, found)
            if stored is None:
                raise DocumentNotFoundError(
                    f"{cls.__name__} with _id={shown(wanted['_id'])} is not in the collection "
                    f"{binding.target.name!r}: it was not read again",
                    cls,
                    wanted,
                )
            if snapshot_of(self) is before:
                break
        for name in cls.__struct_fields__:
            force_setattr(self, name, getattr(stored, name))
        set_snapshot(self, snapshot_of(stored))
        settle_read(call, [self])
        return self


def _existing(cls: type[GetOperations], operation: str, filter: Filter, found: Any) -> Any:
    if found is None:
        raise DocumentNotFoundError(
            f"{cls.__name__}.{operation}: no document matches {shown(filter)}", cls, filter
        )
    return found
