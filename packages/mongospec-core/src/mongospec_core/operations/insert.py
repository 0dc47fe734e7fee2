"""Insert documents."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Self, Unpack

from bson import ObjectId
from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import decode, encode, named
from mongospec_core.codec.datetimes import truncate
from mongospec_core.codec.elements import as_stored, bson_equal
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.errors import (
    DuplicateKeyError,
    MissingIdError,
    OperationError,
    OptionError,
    Outcome,
    shown,
)
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.hooks import run_pre_save
from mongospec_core.model.ids import Ids, is_inserted, take_back_id
from mongospec_core.model.own_filter import own_filter
from mongospec_core.model.snapshot import set_snapshot, snapshot_of
from mongospec_core.model.write import (
    apply_outcome,
    check_class,
    document_list,
    encode_documents,
    encode_one,
    run_hooks_and_checks,
)
from mongospec_core.operations.filter_checks import check_filter, equalities
from mongospec_core.operations.filters import Filter, refuse_other_filters
from mongospec_core.operations.insert_many import InsertMany
from mongospec_core.operations.options import ExistsOptions, WriteOptions, begin
from mongospec_core.server.operation import Operation, outcome_of


class InsertOperations(DocumentBase, abstract=True):
    """``insert``, ``insert_one``, ``insert_many``, ``insert_if_not_exists``."""

    async def insert(
        self, *, validate_on_write: bool | None = None, **options: Unpack[WriteOptions]
    ) -> Self:
        """Insert this document; if it has no ``_id``, it gets an ObjectId first.

        Runs ``__pre_save__``, checks the document against its class, sends one ``insert``.

        :param validate_on_write: check the document first; default: the class's setting (True).
        :returns: the document itself.
        :raises DocumentValidationError: a field does not fit; nothing was sent.
        :raises EncodingError: BSON cannot hold a value; nothing was sent.
        :raises DuplicateKeyError: the ``_id`` or a unique index is taken.
        :raises OperationError: the server or the network failed; a generated ``_id`` is removed again
            only if ``outcome`` is ``"not_applied"``.

        .. code-block:: python

            alice = await User(name="Alice", email="alice@example.com").insert()
        """
        cls = type(self)
        binding, call = begin(cls, "insert", "insert_one", options, "write")
        if "__pre_save__" in binding.hooks:
            await run_pre_save(self)
        cls._before_write([self])
        made_here = self._id is None
        if made_here:
            force_setattr(self, "_id", ObjectId())
            set_snapshot(self, None)  # it may be a copy of a stored document
        before = snapshot_of(self)
        data = b""
        outcome: Outcome = "not_applied"
        try:
            raw, data = encode_one(binding.plan, self, validate=validate_on_write)
            await call.send("insert_one", data, document=raw)
            outcome = "applied"
        except BaseException as error:
            if data:  # else nothing was sent
                outcome = outcome_of(error)
            if not (made_here and is_inserted(call, self, error)):
                raise
            outcome = "applied"
        finally:
            revoke = take_back_id if made_here else None
            apply_outcome(call, self, outcome, before=before, after=data, revoke=revoke)
        return self

    @classmethod
    async def insert_one(
        cls,
        document: Self,
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> Self:
        """Insert one document: ``document.insert()`` by the driver's name.

        :returns: the document.

        .. code-block:: python

            await User.insert_one(User(name="Bob", email="bob@example.com"))
        """
        check_class(cls, [document])
        # On the class, because a field may be called insert.
        await InsertOperations.insert(document, validate_on_write=validate_on_write, **options)
        return document

    @classmethod
    async def insert_many(
        cls,
        documents: Iterable[Self],
        *,
        ordered: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> list[Any]:
        """Insert many documents, by one ``insert`` command for each 100,000 of them or 40 MB.

        All are checked and encoded before the first is sent.

        :param documents: documents of this class; hooks run in their order.
        :param ordered: stop at the first that the server refuses; with False, insert the rest.
        :returns: their ids, in the order of the documents.
        :raises DocumentValidationError: some do not fit; it names all of them, nothing was sent.
        :raises BulkInsertError: some were not inserted: ``inserted``, ``failures`` and ``unknown``
            partition the documents.

        .. code-block:: python

            ids = await User.insert_many([User(name="A", email="a@x"), User(name="B", email="b@x")])
        """
        given = document_list(cls, documents)
        binding, call = begin(cls, "insert_many", "insert_many", options, "write", ordered=ordered)
        if not given:
            return []
        await run_hooks_and_checks(binding, given)
        with Ids(given) as ids:
            encoded = encode_documents(binding.plan, given, validate=validate_on_write)
            ids.sent = True
            await InsertMany(call, ids, given, encoded, ordered).run()
        return [each._id for each in given]

    @classmethod
    async def insert_if_not_exists(
        cls,
        document: Self,
        filter: Filter | None = None,
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[ExistsOptions],
    ) -> Self | None:
        """Insert the document unless *filter* matches one.

        Sends one ``update`` with ``$setOnInsert`` and ``upsert``. If ``_id`` or a unique index covers
        the filter's fields, exactly one of any number of concurrent callers inserts. Without such an
        index MongoDB itself can insert twice.

        :param filter: what counts as "exists"; default: the document's ``_id``. Its equality
            fields must be the document's own values.
        :returns: the document if it was inserted, None if one existed.
        :raises MissingIdError: there is neither a filter nor an ``_id``.
        :raises OptionError: the filter contradicts the document.
        :raises DuplicateKeyError: a unique index other than the filter's refused the document.

        .. code-block:: python

            await User.insert_if_not_exists(alice, {"email": alice.email})
        """
        check_class(cls, [document])
        binding, call = begin(
            cls, "insert_if_not_exists", "update_one", options, "write", upsert=True
        )
        if filter is None and document._id is None:
            raise MissingIdError(
                f"{cls.__name__} without _id: pass filter= to define what counts as existing"
            )
        if filter is not None:
            refuse_other_filters(cls, filter)
            if binding.paths is not None:
                check_filter(binding.paths, filter)
        await run_hooks_and_checks(binding, [document])
        made_here = document._id is None
        with Ids([document]) as ids:
            # The document to be stored; it is sent as $setOnInsert.
            raw, data = encode_one(binding.plan, document, validate=validate_on_write)
            if filter is None:
                wanted = own_filter(binding.plan, document, raw["_id"])
                if binding.plan.version is not None:  # it exists in any version
                    del wanted[binding.plan.version]
                equal = equalities(wanted)
            else:
                wanted = truncate(named(cls.__name__, "a filter", to_raw, filter), cls.__name__)
                equal = equalities(wanted)
                _refuse_contradiction(cls, equal, raw)
            # Fields that the filter names, too: an operator there does not store them, and an
            # equality stores the same value. Only an _id must not be set twice.
            fields = {
                name: value for name, value in raw.items() if name != "_id" or name not in equal
            }
            query, update = (
                named(cls.__name__, "a filter", encode, binding.scoped(wanted)),
                encode({"$setOnInsert": fields}),
            )
            before = snapshot_of(document)
            settle = partial(
                apply_outcome, call, document, before=before, after=data, revoke=ids.take_back
            )
            ids.sent = True
            try:
                reply = await call.send("update_one", query, update)
            except DuplicateKeyError:
                if call.transaction is not None:  # the transaction can only be aborted
                    ids.take_back()
                    raise
                # A lost race means "exists" if the winner matches the filter.
                winner = await _winner(call, query, settle)
                if made_here and winner == {"_id": raw["_id"]}:
                    # This _id is unique: the driver sent it twice, and the first attempt succeeded.
                    settle("applied")
                    return document
                ids.take_back()
                if winner is not None:
                    return None
                raise
            except BaseException as error:
                settle(_outcome(error))
                raise
        if reply["upserted_id"] is None:
            ids.take_back()
            return None
        settle("applied")
        return document


def _outcome(error: BaseException) -> Outcome:
    """Return the outcome of an upsert, which inserted nothing if it found a document."""
    outcome = outcome_of(error)
    reply: Any = getattr(error, "reply", None) or getattr(error, "details", None) or {}
    if "upserted_id" in reply:  # it was cancelled meanwhile
        return outcome if reply["upserted_id"] is not None else "not_applied"
    if outcome != "applied" or reply.get("upserted") or not reply.get("n"):
        return outcome
    if isinstance(error, OperationError):
        error.outcome = "not_applied"
    return "not_applied"


async def _winner(
    call: Operation, query: bytes, settle: Callable[[Outcome], None]
) -> dict[str, Any] | None:
    """Return the ``_id`` of what an upsert's filter finds after a duplicate key; None: nothing."""
    look = call.look("find_one", {"_id": 1})
    try:
        found = await look.send("find_one", query)
    except BaseException as error:
        settle("unknown")
        if isinstance(error, OperationError):
            error.outcome = "unknown"
        raise
    return decode(found) if found is not None else None


def _refuse_contradiction(cls: type, wanted: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Refuse a filter whose equality fields, which the server stores, contradict the document.

    :raises OptionError: a field differs.
    """
    for field, value in wanted.items():
        if field not in raw:
            raise OptionError(
                f"{cls.__name__}: the filter's field {shown(field)} is not a top-level field "
                f"of the document, and MongoDB would store it; filter by fields of the document"
            )
        if not bson_equal(as_stored(raw[field]), as_stored(value)):
            raise OptionError(
                f"{cls.__name__}: the filter has {field}={shown(value)}, the document {shown(raw[field])}"
            )
