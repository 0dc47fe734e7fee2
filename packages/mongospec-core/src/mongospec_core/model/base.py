"""The base of documents: id, binding, hooks, raw data. Operations are defined elsewhere."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, dataclass_transform

import mongojet
import msgspec
from bson import ObjectId
from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, encode, named
from mongospec_core.codec.datetimes import truncate
from mongospec_core.codec.json import ForPydantic
from mongospec_core.codec.plan import plan_of
from mongospec_core.codec.raw_values import register_builtin, to_raw
from mongospec_core.codec.types import Decoder
from mongospec_core.errors import DefinitionError, EncodingError, MissingIdError
from mongospec_core.model.binding import binding_of, reading_plan, refuse_elsewhere
from mongospec_core.model.family import collection_name_of, members_of
from mongospec_core.model.hooks import DONE, AwaitableDict
from mongospec_core.model.ids import check_id
from mongospec_core.model.metaclass import DocumentMeta
from mongospec_core.model.read import Reader
from mongospec_core.model.snapshot import (
    SnapshotSlot,
    copy_snapshot,
    place_of,
    set_place,
    set_snapshot,
    snapshot_of,
)
from mongospec_core.server import place as places
from mongospec_core.server.place import Place


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class DocumentBase(SnapshotSlot, msgspec.Struct, metaclass=DocumentMeta, abstract=True):
    """The base of every document class, without operations."""

    __collection_name__: ClassVar[str | None] = None
    """The collection's name; None: the name of the class, or of the first of its tagged bases."""
    __indexes__: ClassVar[Sequence[Any]] = ()
    """mongojet's or pymongo's IndexModel, or plain dicts; merged over the bases at ``init()``."""
    __shard_key__: ClassVar[Sequence[str]] = ()
    """The stored names of the fields that the collection is sharded by."""
    __collection_options__: ClassVar[Mapping[str, Any]] = {}
    """Options of ``create`` for the collection: time series, capped, collation, clustered."""
    __validator__: ClassVar[Literal["error", "warn"] | None] = None
    __version_field__: ClassVar[str | None] = None
    __validate_on_write__: ClassVar[bool] = True
    __check_queries__: ClassVar[bool] = True
    __abstract__: ClassVar[bool] = True

    if TYPE_CHECKING:
        # Any, because checkers would refuse another type in a subclass; annotate yours there.
        _id: Any = None

        def __init_subclass__(
            cls,
            *,
            mixin: bool = False,
            abstract: bool = False,
            validate_on_write: bool | None = None,
            check_queries: bool | None = None,
            version_field: str | None = None,
            validator: Literal["error", "warn"] | None = None,
            frozen: bool = False,
            kw_only: bool = True,
            eq: bool = True,
            order: bool = False,
            rename: Any = None,
            tag: Any = None,
            tag_field: str | None = None,
            omit_defaults: bool = False,
            forbid_unknown_fields: bool = False,
            repr_omit_defaults: bool = False,
            weakref: bool = False,
            dict: bool = False,
            gc: bool = True,
            cache_hash: bool = False,
        ) -> None: ...

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any], /) -> dict[str, Any]:
            """Convert a raw document of an older shape to the current one before it is read; return it.

            It does not exist at run time, so that reads cost nothing if no class defines it.
            """
            ...

    else:
        _id: ObjectId | None = None

    @property
    def id(self) -> Any:
        """The document's ``_id``; None while it has none. Read-only."""
        return self._id

    # -- binding

    @classmethod
    def get_collection(cls) -> mongojet.Collection:
        """Return the driver's collection, for operations that mongospec does not offer.

        :raises NotBoundError: the class is not bound.

        .. code-block:: python

            await User.get_collection().drop()
        """
        return binding_of(cls).target.collection

    @classmethod
    def get_collection_name(cls) -> str:
        """Return the name of the class's collection, whether or not it is bound."""
        return collection_name_of(cls)

    # -- plain data

    def dump(self) -> dict[str, Any]:
        """Return the document as it would be stored: raw data by stored names, references as ids.

        Values keep the types that BSON has (``datetime``, ``UUID``, ``Decimal``, ``ObjectId``).
        ``_id`` is left out while it is None. Nothing is sent.

        :raises EncodingError: a value cannot be stored in its field.

        .. code-block:: python

            User(name="Alice").dump()  # {"name": "Alice", ...}
        """
        name, plan = type(self).__name__, plan_of(type(self))
        try:
            raw: dict[str, Any] = {
                field: truncate(value, f"{name}.{field}")
                for field, value in plan.encode(self).items()
            }
            encode(raw)
        except EncodingError as error:
            if (found := plan.unencodable(self)) is None:
                raise
            raise EncodingError(f"{name}.{found[0]}: {found[1]}") from error
        if raw.get("_id", 0) is None:
            del raw["_id"]
        return raw

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """Return an instance from raw data, decoded as a read would decode it.

        :param data: a raw document, by stored names; it is not changed.
        :raises DocumentValidationError: the data does not fit the class.

        .. code-block:: python

            User.load({"_id": ObjectId(), "name": "Alice", "email": "alice@example.com"})
        """
        return cls._load(data)

    @classmethod
    def _load(cls, data: Mapping[str, Any], *, upgrade: bool = True) -> Self:
        """Implement :meth:`load`; without *upgrade* the data already has the current shape."""
        reader = Reader(reading_plan(cls), DECIMAL_CODEC_OPTIONS)
        if not upgrade:
            reader.upgrade = None
        (document,) = reader.decode([named(cls.__name__, "data", encode, data)])
        set_snapshot(document, None)  # the data may not come from the database
        return cast("Self", document)

    # pydantic calls it: document classes may be used in its models and in FastAPI's handlers
    __get_pydantic_core_schema__: ClassVar[Any] = ForPydantic.__get_pydantic_core_schema__

    @classmethod
    def _read_json(cls, read: Callable[[Any], list[Any]]) -> list[Any]:
        """Call *read* with a reader; override it if documents can be read from their ids."""
        return read(None)

    @classmethod
    def _members(cls) -> list[type]:
        """Return the classes of the family whose documents pydantic accepts for this class."""
        return members_of(cls)

    # -- hooks; Any lets both a plain and an async override pass the type checkers

    def __pre_save__(self) -> Any:
        """Called before the document is inserted or saved; change its fields here."""
        return DONE

    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> Any:
        """Called with a copy of an update before it is sent; return the one to send."""
        return AwaitableDict(update)

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> Any:
        """Called with a copy of a caller's filter before it is sent; return the one to send."""
        return AwaitableDict(filter)

    @classmethod
    def _before_bind(cls, bound: Collection[type]) -> None:
        """Extension point: ``init()`` calls it with all classes to be bound; raise to refuse."""

    @classmethod
    def _before_write(cls, documents: Sequence[Any]) -> None:
        """Extension point: validate documents before they are written.

        Every write of whole documents calls it: after the hooks, before ids are assigned.
        """
        if places.used:
            refuse_elsewhere(cls, documents)

    # -- a field typed as a document class

    @classmethod
    def __bson_decoder__(cls) -> Decoder:
        """Extension point: return the decoder of a field of this type; core has no such fields."""
        raise DefinitionError(
            f"a field typed as the document class {cls.__name__} is a reference; "
            f"install mongospec-refs and use its MongoDocument (or mongospec's), "
            f"or make {cls.__name__} a plain msgspec.Struct to embed it"
        )

    # -- identity and copies; every copy has the snapshot

    def __hash__(self) -> int:
        """Return the hash of the ``_id``.

        :raises TypeError: there is no ``_id`` yet, so the hash would change.
        """
        if self._id is None:
            raise TypeError(f"unhashable: a {type(self).__name__} without _id")
        return hash(self._id)

    def __copy__(self) -> Self:
        return _copied(self)

    def __replace__(self, /, **changes: Any) -> Self:
        twin = msgspec.structs.replace(self, **changes)
        _take_attributes(twin, attributes_of(self))
        if twin._id == self._id:  # with another _id it is another document, not stored yet
            copy_snapshot(twin, self)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = _copied(self)
        memo[id(self)] = twin  # before its fields, which may refer back to it
        for name in self.__struct_fields__:
            force_setattr(twin, name, copy.deepcopy(getattr(self, name), memo))
        _take_attributes(twin, copy.deepcopy(attributes_of(self), memo))
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return (
            _rebuilt,
            (type(self), fields, snapshot_of(self), place_of(self)),
            attributes_of(self),
        )


_shallow: Callable[[Any], Any] = getattr(msgspec.Struct, "__copy__")  # noqa: B009 - not in the stubs


def _copied[D: DocumentBase](document: D) -> D:
    twin: D = _shallow(document)
    copy_snapshot(twin, document)
    _take_attributes(twin, attributes_of(document))
    return twin


def attributes_of(document: DocumentBase) -> dict[str, Any] | None:
    """Return the attributes beside the fields, in a class with ``dict=True``; else None."""
    return getattr(document, "__dict__", None) or None


def _take_attributes(twin: DocumentBase, attributes: dict[str, Any] | None) -> None:
    if attributes:
        vars(twin).update(attributes)


def _rebuilt(
    cls: type[DocumentBase], fields: dict[str, Any], form: Any, where: Place | None = None
) -> DocumentBase:
    document = cls(**fields)
    set_snapshot(document, form)
    set_place(document, where)
    return document


def reference_id(document: DocumentBase) -> Any:
    """Return what replaces a document in a filter, an update or a field: its ``_id``.

    :raises MissingIdError: it has no ``_id`` yet.
    :raises InvalidIdError: MongoDB would read it as operators.
    """
    if document._id is None:
        raise MissingIdError(
            f"{type(document).__name__} has no _id to stand for it; insert it first"
        )
    return check_id(type(document), to_raw(document._id))


register_builtin(DocumentBase, reference_id)
