# pyright: reportIncompatibleMethodOverride=false
# pyright takes any new keyword beside **options for an incompatible override; these have defaults,
# so whoever calls by core's signatures gets what core promises. mypy checks the overrides.
"""The document class: core's, whose fields may be typed as document classes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self, Unpack, cast, dataclass_transform, overload, override

import msgspec
from msgspec.structs import force_setattr

import mongospec_core as core
from mongospec_core import BulkResult, Cursor, DefinitionError
from mongospec_core.extension import (
    DECIMAL,
    BulkOptions,
    Decoder,
    Filter,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    FindOneOptions,
    FindOptions,
    InsertOptions,
    OnInvalid,
    Projection,
    SaveOptions,
    Update,
    as_id,
    begin,
    by_id,
    encode,
    plan_of,
    refuse_others,
    refuse_without_id,
    register_builtin,
    save_changes,
    save_document,
    set_stored_form,
    stored_form,
    to_stored,
    validates,
)
from mongospec_refs.cascade import Cascade
from mongospec_refs.decoding import IdDecoder
from mongospec_refs.equality import equal
from mongospec_refs.fetching import fetch
from mongospec_refs.hollow import blank, hollow, is_resolved
from mongospec_refs.judging import id_of, judge
from mongospec_refs.reading import RefReading, RootReader
from mongospec_refs.recursive import insert_recursive
from mongospec_refs.result import RecursiveInsertResult
from mongospec_refs.shapes import has_references, targets_of


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class MongoDocument(core.MongoDocument, abstract=True):
    """A document whose fields may be typed as document classes: these are references.

    A reference is stored as the plain ``_id`` of its document and read back as the document, whatever
    it stands in: ``User``, ``User | None``, ``list[User]``, ``tuple``, ``dict[str, User]``, sets of
    frozen documents, nested Structs, recursive and generic ones.

    - A read asks with one ``find`` for each referenced class and level of references, however many
      documents it brings, and gives one object for one ``_id``.
    - A reference that was not read, or whose document is missing, is still an instance of its class
      and has its ``_id``; its other fields raise, and ``await reference.fetch()`` reads them. Saving
      what holds it keeps the id.
    - ``save()`` saves the referenced documents that changed, too: their changed fields, and nothing
      else.

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
        """An unresolved reference to the document with this ``_id``. Sends nothing.

        :param id: an id, or what can be converted to the class's id type.
        :raises InvalidIdError: it cannot be an id of this class.

        .. code-block:: python

            await Post(title="Hello", author=User.ref("65f0c0ffee65f0c0ffee0001")).insert()
        """
        reference: Self = hollow(cls, as_id(plan_of(cls), id))
        return reference

    async def fetch(
        self,
        *,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
        **options: Unpack[FindOneOptions],
    ) -> Self:
        """Read the document of an unresolved or missing reference, in place, for all who hold it.

        Sends one ``find``, and those for its own references. A document that was read already stays
        as it is, and nothing is sent: what was changed in it is not lost.

        :param resolve_refs: whether its own references are resolved.
        :param ref_depth: how many levels of them; None: all.
        :returns: the same object, which is resolved now.
        :raises MissingReferenceError: there is no such document.

        .. code-block:: python

            post = await Post.find_one({...}, resolve_refs=False)
            await post.author.fetch()
            print(post.author.name)
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth)
        if not is_resolved(self):
            await fetch(self, reading, options)
        return self

    async def insert_recursive(
        self, *, validate_on_write: bool | None = None, **options: Unpack[InsertOptions]
    ) -> RecursiveInsertResult[Self]:
        """Insert this document and every new document that it leads to, or none of them.

        All hooks run and all documents are checked before the first is sent; then one ``insert`` goes
        out for each class and level, referenced documents before those that refer to them. Cycles of
        new documents work. A document counts as new until it was read, inserted or saved, also with an
        ``_id`` of its own; a reference to an existing one is read or made by :meth:`ref`.

        Where it fails, what was inserted is deleted again, a cancellation notwithstanding. Inside of
        ``transaction()`` nothing is deleted: the transaction is the rollback.

        :param validate_on_write: check the documents first; default: what their classes say (True).
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
        **options: Unpack[InsertOptions],
    ) -> RecursiveInsertResult[Self]:
        """:meth:`insert_recursive` of one document, spelled as the driver spells inserts.

        .. code-block:: python

            result = await Post.insert_one_recursive(Post(title="Hello", author=User(name="Alice")))
        """
        refuse_others(cls, [document])
        return await insert_recursive(document, validate_on_write, options)

    @override
    async def save(
        self,
        *,
        upsert: bool = False,
        save_refs: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[SaveOptions],
    ) -> Self:
        """Store what changed in this document, and in the documents that it leads to.

        Of each loaded document that changed, its ``__pre_save__`` runs and the changed top-level
        fields are sent: one ``update`` command for each collection, referenced documents first, this
        one last and only if they were saved. A document that nobody changed costs no write, and other
        writers' changes to other fields survive. Unresolved references, and documents built by hand
        with an ``_id``, are never written. All is checked before the first command; it is not atomic
        across collections, ``transaction()`` is.

        :param upsert: insert this document where it is not there.
        :param save_refs: with False, only this document is saved.
        :param validate_on_write: check the documents first; default: what their classes say (True).
        :returns: the document itself.
        :raises UnsavedReferenceError: a reference has no ``_id``; nothing was sent.
        :raises CascadeSaveError: a referenced document was not saved; it says what was.
        :raises DocumentNotFoundError: no stored document has this ``_id`` any more.
        :raises UnresolvedReferenceError: this is an unresolved reference itself.

        .. code-block:: python

            post.author.name = "Updated"
            await post.save()  # saves post and author
        """
        if not save_refs:
            await core.MongoDocument.save(
                self, upsert=upsert, validate_on_write=validate_on_write, **options
            )
            return self
        cls = type(self)
        binding, call = begin(cls, "save", "update_one", options, "write", upsert=upsert or None)
        refuse_without_id(self)
        cascade = Cascade(call, [self], validate_on_write)
        await cascade.prepare()
        await cascade.send()
        validate = validates(cls, validate_on_write)
        try:
            await save_document(binding, call, self, upsert=upsert, validate=validate)
        except BaseException as error:
            cascade.note_on(error)
            raise
        return self

    @override
    @classmethod
    async def save_many(
        cls,
        documents: Iterable[Self],
        *,
        save_refs: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkResult:
        """:meth:`save` for many documents: one ``update`` command for each collection.

        :param documents: documents of this class, all with an ``_id``.
        :param save_refs: with False, only these documents are saved.
        :returns: the counts of these documents, without the references.
        :raises CascadeSaveError: a referenced document was not saved; none of these was sent.
        :raises BulkWriteError: some of these were not saved, for example because they are gone.

        .. code-block:: python

            for post in posts:
                post.author.posts += 1
            await Post.save_many(posts)
        """
        given = list(documents)
        if not save_refs:
            return await super().save_many(given, validate_on_write=validate_on_write, **options)
        refuse_others(cls, given)
        binding, call = begin(cls, "save_many", "update_many", options, "write")
        for document in given:
            refuse_without_id(document)
        cascade = Cascade(call, given, validate_on_write)
        await cascade.prepare()
        await cascade.send()
        raws = to_stored(binding.plan, given, validate=validates(cls, validate_on_write))
        try:
            return await save_changes(binding, call, given, raws)
        except BaseException as error:
            cascade.note_on(error)
            raise

    # -- reads

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

        Sends nothing yet; reading sends one ``find``, and a ``getMore`` for each further batch.

        :param filter: a query; None: all documents. ``__pre_find__`` scopes it.
        :param projection: a Struct that has some of the fields (they are read as that Struct), or
            a projection document (they are read as plain dicts).
        :param on_invalid: what to do with stored documents that do not fit the class: ``"raise"``,
            ``"skip"``, or a function that is given the failure and the raw document.
        :param skip_hooks: leave ``__pre_find__`` out.
        :param options: the driver's, for example ``sort``, ``skip``, ``limit``, ``hint``.
        :raises NotBoundError: the class is not bound.
        :raises OptionError: an option that ``find`` does not take.

        .. code-block:: python

            async for user in User.find({"age": {"$gte": 18}}, sort=[("age", -1)]):
                print(user.name)
        """
        reading = RefReading(projection, on_invalid, resolve_refs=resolve_refs, ref_depth=ref_depth)
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
        """The first document that matches, or None. Sends one ``find``.

        Parameters as in :meth:`find`.

        :raises DocumentValidationError: the stored document does not fit the class.

        .. code-block:: python

            alice = await User.find_one({"email": "alice@example.com"})
        """
        reading = RefReading(projection, on_invalid, resolve_refs=resolve_refs, ref_depth=ref_depth)
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
        """The document with this ``_id``, or None. Sends one ``find``.

        :param id: an id, or what can be converted to the class's id type: ``"65f0…"``.
        :raises InvalidIdError: it cannot be an id of this class; nothing was sent.

        .. code-block:: python

            alice = await User.find_by_id("65f0c0ffee65f0c0ffee0001")
        """
        wanted = by_id(plan_of(cls), id)
        reading = RefReading(projection, on_invalid, resolve_refs=resolve_refs, ref_depth=ref_depth)
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

        Sends one ``find`` (and a ``getMore`` for each further batch), converts all at once.
        Parameters as in :meth:`find`.

        .. code-block:: python

            adults = await User.find_all({"age": {"$gte": 18}}, limit=100)
        """
        reading = RefReading(projection, on_invalid, resolve_refs=resolve_refs, ref_depth=ref_depth)
        return await cls._find_all(filter, reading, skip_hooks, options)

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
        """Change one document and give it. Sends one ``findAndModify``.

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
        """Put a document in the place of one that matches. Sends one ``findAndModify``.

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
        """Delete one document and give it. Sends one ``findAndModify``.

        .. code-block:: python

            job = await Job.find_one_and_delete({"state": "done"}, sort="finished_at")
        """
        reading = RefReading(resolve_refs=resolve_refs, ref_depth=ref_depth)
        return cast(
            "Self | None", await cls._find_one_and_delete(filter, reading, skip_hooks, options)
        )

    # -- seams of core

    @override
    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """An instance from data as it is stored; its references are unresolved.

        :param data: a raw document, by stored names, with ids as references; it is not changed.
        :raises DocumentValidationError: the data do not fit the class.

        .. code-block:: python

            Post.load({"_id": ObjectId(), "title": "Hello", "author": alice.id})
        """
        plan = plan_of(cls)
        reader = RootReader(plan, DECIMAL, None, depth=0)
        (document,) = reader.decode([encode(data)])
        reader.references.close()
        set_stored_form(document, None)  # that it could be stored does not say that it is
        return cast("Self", document)

    @override
    @classmethod
    def __bson_decoder__(cls) -> Decoder:
        return IdDecoder(cls)

    @override
    @classmethod
    def _before_bind(cls, bound: Collection[type]) -> None:
        super()._before_bind(bound)
        for target, field in targets_of(cls).items():
            if target not in bound:
                raise DefinitionError(
                    f"{cls.__name__}.{field} refers to {target.__name__}, which is not bound: "
                    f"add it to document_types"
                )

    @override
    @classmethod
    def _before_write(cls, documents: Sequence[Self]) -> None:
        super()._before_write(documents)
        judge(cls, documents)

    @override
    @classmethod
    def _reading_into(cls, into: type[msgspec.Struct]) -> RefReading:
        return RefReading(into)

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
        # The state comes after the object, so that a cycle finds the object and ends.
        fields = tuple(getattr(self, name) for name in self.__struct_fields__)
        return blank, (type(self), self._id), (fields, stored_form(self)), None, None, _restore


def _restore(document: Any, state: tuple[tuple[Any, ...], Any]) -> None:
    fields, form = state
    for name, value in zip(document.__struct_fields__, fields, strict=True):
        force_setattr(document, name, value)
    set_stored_form(document, form)


register_builtin(MongoDocument, id_of)
