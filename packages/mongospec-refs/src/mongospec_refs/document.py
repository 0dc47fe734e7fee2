"""The document class: core's, with fields that may be typed as document classes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, Unpack, cast, dataclass_transform, override

import msgspec
from msgspec.structs import force_setattr

import mongospec_core as core
from mongospec_core import DefinitionError
from mongospec_core.extension import (
    ANYWHERE,
    DECIMAL_CODEC_OPTIONS,
    Decoder,
    FindOneOptions,
    StoredAs,
    WriteOptions,
    as_id,
    attributes_of,
    binding_of,
    check_id,
    document_list,
    encode,
    named,
    place_of,
    plan_of,
    reading_plan,
    register_builtin,
    set_place,
    set_snapshot,
    snapshot_of,
    to_raw,
)
from mongospec_refs.equality import equal
from mongospec_refs.fetch import fetch
from mongospec_refs.find import FindOperations
from mongospec_refs.graph import ambiguous_in, has_references, targets_of
from mongospec_refs.identity_map import IdDecoder
from mongospec_refs.insert_recursive import RecursiveInsertResult, insert_recursive
from mongospec_refs.read import JsonReader, ReferenceRead, RootReader
from mongospec_refs.save import SaveOperations
from mongospec_refs.unresolved import is_resolved, placeholder, unresolved
from mongospec_refs.validation import id_of, stored_as, validate_references


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class MongoDocument(  # pyright: ignore[reportIncompatibleMethodOverride]  see mongospec_refs.find
    FindOperations,
    SaveOperations,
    abstract=True,
):
    """A document whose fields may be typed as document classes: these are references.

    A reference is stored as the plain ``_id`` of its document and read back as the document, in any
    container: ``User``, ``User | None``, ``list[User]``, ``tuple``, ``dict[str, User]``, sets of
    frozen documents, nested Structs, recursive and generic ones.

    - A read sends one ``find`` for each referenced class and level of references, for any number of
      documents, and returns one object for one ``_id``.
    - A reference that was not read, or whose document is missing, is still an instance of its class
      and has its ``_id``; its other fields raise, and ``await reference.fetch()`` reads them. Saving
      the document that holds it keeps the id.
    - Every read of documents takes ``resolve_refs=False``, which leaves references unresolved, and
      ``ref_depth=``, how many levels of them are resolved (None: all).
    - ``save()`` also saves the referenced documents that changed: only their changed fields.

    .. code-block:: python

        class Post(MongoDocument):
            title: str
            author: User
            reviewer: User | None = None
            tags: list[Tag] = []
    """

    # -- references

    @classmethod
    def ref(cls, id: Any) -> Self:
        """Return an unresolved reference to the document with this ``_id``. Sends nothing.

        :param id: an id, or what can be converted to the class's id type.
        :raises InvalidIdError: it cannot be an id of this class.

        .. code-block:: python

            await Post(title="Hello", author=User.ref("65f0c0ffee65f0c0ffee0001")).insert()
        """
        given = as_id(plan_of(cls), id)
        check_id(cls, to_raw(given))
        # It belongs to any database that it is used in.
        reference: Self = unresolved(cls, given, place=ANYWHERE)
        return reference

    async def fetch(
        self,
        *,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        **options: Unpack[FindOneOptions],
    ) -> Self:
        """Read the document of an unresolved or missing reference, in place.

        Sends one ``find``, and those for its own references. If the document was already read,
        nothing is sent, and changes in it are not lost.

        :param resolve_refs: whether its own references are resolved.
        :param ref_depth: how many levels of them; None: all.
        :returns: the same object, which is now resolved. If the field is annotated with a family's class
            and the document is of a subclass, that document: assign it, ``post.pet = await
            post.pet.fetch()``.
        :raises MissingReferenceError: the document does not exist.

        .. code-block:: python

            post = await Post.find_one({...}, resolve_refs=False)
            await post.author.fetch()
            print(post.author.name)
        """
        read = ReferenceRead(resolve_refs=resolve_refs, ref_depth=ref_depth)
        if not is_resolved(self):
            document: Self = await fetch(self, read, options)
            return document
        return self

    async def insert_recursive(
        self, *, validate_on_write: bool | None = None, **options: Unpack[WriteOptions]
    ) -> RecursiveInsertResult[Self]:
        """Insert this document and every new document that it refers to, or none of them.

        All hooks run and all documents are checked before the first is sent; then one ``insert`` is
        sent for each class and level, referenced documents before those that refer to them. Cycles of
        new documents work. A document counts as new until it is read, inserted or saved, even with its
        own ``_id``; a reference to an existing one is read or created by :meth:`ref`.

        If it fails, the inserted documents are deleted again, even when cancelled. Inside
        ``transaction()`` nothing is deleted: the transaction rolls back.

        :param validate_on_write: check the documents first; default: their classes' setting (True).
        :raises RecursiveInsertError: a document was not inserted; ``__cause__`` says why.
        :raises DocumentValidationError: a field does not fit; nothing was sent.

        .. code-block:: python

            result = await Post(
                title="Hello", author=alice, tags=[Tag(label="python"), Tag(label="async")]
            ).insert_recursive()
            [type(each).__name__ for each in result.created_documents]  # ['Tag', 'Tag', 'Post']
            await result.rollback()
        """
        return await insert_recursive(self, validate_on_write, options)

    @classmethod
    async def insert_one_recursive(
        cls,
        document: Self,
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> RecursiveInsertResult[Self]:
        """Insert one document by :meth:`insert_recursive`, named like the driver's methods.

        .. code-block:: python

            result = await Post.insert_one_recursive(Post(title="Hello", author=User(name="Alice")))
        """
        document_list(cls, [document])
        return await insert_recursive(document, validate_on_write, options)

    # -- core's extension points

    @override
    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """Return an instance from raw data; its references are unresolved.

        :param data: a raw document, by stored names, with ids as references; it is not changed.
        :raises DocumentValidationError: the data does not fit the class.

        .. code-block:: python

            Post.load({"_id": ObjectId(), "title": "Hello", "author": alice.id})
        """
        return cls._load(data)

    @override
    @classmethod
    def _load(cls, data: Mapping[str, Any], *, upgrade: bool = True) -> Self:
        reader = RootReader(reading_plan(cls), DECIMAL_CODEC_OPTIONS)
        if not upgrade:
            reader.upgrade = None
        stored = named(cls.__name__, "data", encode, data)
        (document,) = _read(reader, lambda reader: reader.decode([stored]))
        set_snapshot(document, None)  # the data may not come from the database
        return cast("Self", document)

    @override
    @classmethod
    def _read_values(cls, read: Callable[[Any], list[Any]]) -> list[Any]:
        return _read(RootReader(plan_of(cls), DECIMAL_CODEC_OPTIONS), read, cls)

    @override
    @classmethod
    def _read_json(cls, read: Callable[[Any], list[Any]]) -> list[Any]:
        return _read(JsonReader(plan_of(cls), DECIMAL_CODEC_OPTIONS), read)

    @override
    @classmethod
    def __bson_decoder__(cls) -> Decoder:
        return IdDecoder(cls)

    @classmethod
    def __bson_stored_as__(cls) -> StoredAs:
        return stored_as(cls)

    @override
    @classmethod
    def _before_bind(cls, bound: Collection[type]) -> None:
        super()._before_bind(bound)
        if (ambiguous := ambiguous_in(cls)) is not None:
            field, target, other = ambiguous
            raise DefinitionError(
                f"{cls.__name__}.{field}: a stored {other.__name__} may be the id of a "
                f"{target.__name__} or a plain {other.__name__}; use one field for each"
            )
        for target, field in targets_of(cls).items():
            if target.__abstract__:
                raise DefinitionError(
                    f"{cls.__name__}.{field} refers to {target.__name__}, which is abstract and has "
                    f"no collection; annotate a concrete subclass"
                )
            if target not in bound:
                raise DefinitionError(
                    f"{cls.__name__}.{field} refers to {target.__name__}, which is not bound: "
                    f"add it to document_types"
                )

    @override
    @classmethod
    def _before_write(cls, documents: Sequence[Any]) -> None:
        super()._before_write(documents)
        validate_references(cls, documents)

    # -- equality, copies

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, core.MongoDocument) or type(other) is not type(self):
            return NotImplemented
        if not has_references(type(self)):
            return super().__eq__(other)
        return self is other or (self.__struct_config__.eq and equal(self, other))

    __hash__ = core.MongoDocument.__hash__

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        # The state comes after the object, so that a cycle ends at the object.
        fields = tuple(getattr(self, name) for name in self.__struct_fields__)
        return (
            placeholder,
            (type(self), self._id),
            (fields, snapshot_of(self), attributes_of(self), place_of(self)),
            None,
            None,
            _restore,
        )


def _read(
    reader: RootReader[Any], read: Callable[[Any], list[Any]], cls: type[Any] | None = None
) -> list[Any]:
    """Read data with references, which stay unresolved.

    :param cls: the class whose database they belong to; None: data from elsewhere.
    """
    place = ANYWHERE if cls is None else binding_of(cls).target.place
    try:
        return read(reader)
    finally:
        reader.references.finish()
        for each in reader.references.documents():
            set_place(each, place)


def _restore(document: Any, state: tuple[Any, ...]) -> None:
    fields, form, attributes, place = state
    for name, value in zip(document.__struct_fields__, fields, strict=True):
        force_setattr(document, name, value)
    set_snapshot(document, form)
    set_place(document, place)
    if attributes is not None:
        vars(document).update(attributes)  # pyright: ignore[reportUnknownMemberType]


register_builtin(MongoDocument, id_of)
