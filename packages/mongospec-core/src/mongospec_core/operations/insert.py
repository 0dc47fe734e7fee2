"""Insert documents."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, Unpack, cast

import mongojet
from bson import ObjectId
from msgspec.structs import force_setattr

from mongospec_core.codec.values import encode, to_raw
from mongospec_core.document.base import DocumentBase
from mongospec_core.document.stored import (
    STORED,
    remember_written,
    same,
    set_stored_form,
    stored_form,
)
from mongospec_core.document.writer import make_ready, to_bson, to_stored
from mongospec_core.errors import (
    BulkInsertError,
    DuplicateKeyError,
    MissingIdError,
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    WriteFailure,
)
from mongospec_core.operations.filters import Filter
from mongospec_core.operations.options import InsertOptions, UpdateOptions, begin
from mongospec_core.server.door import Call, outcome_of
from mongospec_core.server.outcome import duplicate_key, write_errors

_BATCH_DOCUMENTS = 100_000
_BATCH_BYTES = 40_000_000  # the server takes 48,000,000 in a message, the command's frame included


class InsertOperations(DocumentBase, abstract=True):
    """``insert``, ``insert_one``, ``insert_many``, ``insert_if_not_exists``."""

    async def insert(
        self, *, validate_on_write: bool | None = None, **options: Unpack[InsertOptions]
    ) -> Self:
        """Insert this document; where it has no ``_id``, it gets an ObjectId first.

        Runs ``__pre_save__``, checks the document against its class, sends one ``insert``.

        :param validate_on_write: check the document first; default: what the class says (True).
        :returns: the document itself.
        :raises DocumentValidationError: a field does not fit; nothing was sent.
        :raises EncodingError: BSON cannot hold a value; nothing was sent.
        :raises DuplicateKeyError: the ``_id`` or a unique index is taken.
        :raises OperationError: the server or the network failed; an ``_id`` made here is taken back
            only where ``outcome`` is ``"not_applied"``.

        .. code-block:: python

            alice = await User(name="Alice", email="alice@example.com").insert()
        """
        cls = type(self)
        binding, call = begin(cls, "insert", "insert_one", options, "write")
        await make_ready(binding, [self])
        with Ids([self]) as ids:
            (raw,) = to_stored(binding.plan, [self], validate=validates(cls, validate_on_write))
            data = to_bson(binding.plan, raw)
            ids.sent = True
            try:
                await call.send("insert_one", data, document=raw)
            except BaseException as error:
                settle_insert(call, ids, self, data, outcome_of(error))
                raise
        settle_insert(call, ids, self, data, "applied")
        return self

    @classmethod
    async def insert_one(
        cls,
        document: Self,
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[InsertOptions],
    ) -> Self:
        """Insert one document: ``document.insert()``, spelled as the driver does.

        :returns: the document.

        .. code-block:: python

            await User.insert_one(User(name="Bob", email="bob@example.com"))
        """
        refuse_others(cls, [document])
        # By the class: a field may be called insert.
        await InsertOperations.insert(document, validate_on_write=validate_on_write, **options)
        return document

    @classmethod
    async def insert_many(
        cls,
        documents: Iterable[Self],
        *,
        ordered: bool = True,
        validate_on_write: bool | None = None,
        **options: Unpack[InsertOptions],
    ) -> list[Any]:
        """Insert many documents: one ``insert`` command for each 100,000 of them or 40 MB.

        All are checked and encoded before the first is sent.

        :param documents: documents of this class; hooks run in their order.
        :param ordered: stop at the first that the server refuses; with False, go on with the rest.
        :returns: their ids, in the order of the documents.
        :raises DocumentValidationError: some do not fit; it names all of them, nothing was sent.
        :raises BulkInsertError: some were not inserted: ``inserted``, ``failures`` and ``unknown``
            partition the documents.

        .. code-block:: python

            ids = await User.insert_many([User(name="A", email="a@x"), User(name="B", email="b@x")])
        """
        given = list(documents)
        refuse_others(cls, given)
        binding, call = begin(cls, "insert_many", "insert_many", options, "write", ordered=ordered)
        if not given:
            return []
        await make_ready(binding, given)
        with Ids(given) as ids:
            raws = to_stored(binding.plan, given, validate=validates(cls, validate_on_write))
            encoded = [to_bson(binding.plan, raw) for raw in raws]
            ids.sent = True
            await InsertMany(call, ids, given, raws, encoded, ordered).run()
        return [each._id for each in given]

    @classmethod
    async def insert_if_not_exists(
        cls,
        document: Self,
        filter: Filter | None = None,
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[UpdateOptions],
    ) -> Self | None:
        """Insert the document unless one is there that *filter* matches.

        One ``update`` with ``$setOnInsert`` and ``upsert``. It is a guarantee where ``_id`` or a
        unique index covers the filter's fields: of any number of callers at once, one inserts.
        Without such an index MongoDB itself can insert twice.

        :param filter: what counts as "exists"; default: the document's ``_id``. Its equality
            fields must be the document's own values.
        :returns: the document where it was inserted, None where one was there.
        :raises MissingIdError: there is neither a filter nor an ``_id``.
        :raises OptionError: the filter contradicts the document.
        :raises DuplicateKeyError: another unique index than the filter's refused the document.

        .. code-block:: python

            await User.insert_if_not_exists(alice, {"email": alice.email})
        """
        refuse_others(cls, [document])
        binding, call = begin(
            cls, "insert_if_not_exists", "update_one", options, "write", upsert=True
        )
        if filter is None and document._id is None:
            raise MissingIdError(
                f"{cls.__name__} without _id: say by filter= what counts as existing"
            )
        await make_ready(binding, [document])
        with Ids([document]) as ids:
            (raw,) = to_stored(binding.plan, [document], validate=validates(cls, validate_on_write))
            data = to_bson(binding.plan, raw)  # what will be stored; it is sent as $setOnInsert
            wanted = {"_id": raw["_id"]} if filter is None else to_raw(dict(filter))
            _refuse_contradiction(cls, _equalities(wanted), raw)
            # Fields that the filter names as well: an operator there stores nothing of them, and
            # where an equality does, it is this value. Only an _id may not be set twice.
            fields = {
                name: value for name, value in raw.items() if name != "_id" or name not in wanted
            }
            query, update = encode(wanted), encode({"$setOnInsert": fields})
            ids.sent = True
            try:
                reply = await call.reply("update_one", query, update)
            except DuplicateKeyError:
                ids.take_back()
                if await _exists(cls, query, options):
                    return None
                raise
            except BaseException as error:
                settle_insert(call, ids, document, data, outcome_of(error))
                raise
        if reply["upserted_id"] is None:
            ids.take_back()
            return None
        settle_insert(call, ids, document, data, "applied")
        return document


async def _exists(cls: type[DocumentBase], query: bytes, options: Mapping[str, Any]) -> bool:
    """Whether a lost race means "exists": the winner may match the filter, or not."""
    kept = {name: options[name] for name in ("session", "timeout") if name in options}
    _, call = begin(cls, "insert_if_not_exists", "find_one", kept, "read", projection={"_id": 1})
    return await call.send("find_one", query) is not None


def _refuse_contradiction(cls: type, wanted: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """The server stores a filter's equality fields; they must be what the document says.

    :raises OptionError: they are not.
    """
    for field, value in wanted.items():
        if field not in raw:
            raise OptionError(
                f"{cls.__name__}: the filter's field {field!r} is none of the document's top-level "
                f"fields, and MongoDB would store it; filter by fields of the document"
            )
        if not same(raw[field], value):
            raise OptionError(
                f"{cls.__name__}: the filter says {field}={value!r}, the document {raw[field]!r}"
            )


def _equalities(filter: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that an upsert by *filter* would store, as the server finds them."""
    found: dict[str, Any] = {}
    for field, value in filter.items():
        if field == "$and" or (field == "$or" and len(value) == 1):
            for clause in value:
                found |= _equalities(clause)
        elif not field.startswith("$"):
            operators = isinstance(value, dict) and any(
                key.startswith("$") for key in cast("dict[str, Any]", value)
            )
            if not operators:
                found[field] = value
            elif "$eq" in value:
                found[field] = value["$eq"]
    return found


def validates(cls: type[DocumentBase], validate: bool | None) -> bool:
    return cls.__validate_on_write__ if validate is None else validate


def refuse_others(cls: type, documents: Sequence[Any]) -> None:
    for document in documents:
        if type(document) is not cls:
            raise OptionError(
                f"{cls.__name__}: cannot insert a {type(document).__name__} here; "
                f"documents of its subclasses have collections of their own"
            )


class Ids:
    """Hands out ids, and takes them back from documents that were certainly not written."""

    def __init__(self, documents: Sequence[Any]) -> None:
        self.documents = documents
        self.sent = False
        self._fresh: set[int] = set()

    def __enter__(self) -> Self:
        for document in self.documents:
            if document._id is None:
                force_setattr(document, "_id", ObjectId())
                self._fresh.add(id(document))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and not self.sent:
            self.take_back()

    def take_back(self, document: Any = None) -> None:
        """Take the id back from *document* (default: from all) where it was handed out here."""
        for each in self.documents if document is None else (document,):
            if id(each) in self._fresh:
                force_setattr(each, "_id", None)


def settle_insert(call: Call, ids: Ids, document: Any, data: bytes, outcome: Outcome) -> None:
    """Make the document agree with what became of its insert."""
    if outcome == "not_applied":
        ids.take_back(document)
        return
    if call.transaction is not None:
        _undo_on_abort(call, ids, document)
    if outcome == "applied" and call.certain:
        remember_written(document, data)
    else:
        set_stored_form(document, STORED)


def _undo_on_abort(call: Call, ids: Ids, document: Any) -> None:
    before = stored_form(document)

    def undo() -> None:
        set_stored_form(document, before)
        ids.take_back(document)

    call.on_abort(undo, unsure=lambda: set_stored_form(document, STORED))


class InsertMany:
    """One insert_many on its way: batches out, every document's fate noted."""

    def __init__(
        self,
        call: Call,
        ids: Ids,
        documents: Sequence[Any],
        raws: Sequence[Mapping[str, Any]],
        encoded: Sequence[bytes],
        ordered: bool,
    ) -> None:
        self.call = call
        self.ids = ids
        self.documents = documents
        self.raws = raws
        self.encoded = encoded
        self.ordered = ordered
        self.failures: dict[int, WriteFailure] = {}
        self.unknown: set[int] = set()
        self.named = False  # whether the server named single documents
        self.first: Exception | None = None

    async def run(self) -> None:
        """Send all batches; raise when it is known what became of every document."""
        end = 0
        for start, end in self._batches():
            try:
                await self.call.send("insert_many", list(self.encoded[start:end]))
            except MongospecError as error:
                self.first = self.first or error
                if not self._note(error, start, end):
                    break
            except BaseException as error:  # cancelled
                if outcome_of(error) == "unknown":
                    self.unknown.update(range(start, end))
                elif outcome_of(error) == "not_applied":
                    self._fail(range(start, end), None, "cancelled before it was sent")
                self._settle(end)
                raise
        self._settle(end)
        if self.first is not None:
            raise self._error(self.first) from self.first.__cause__ or self.first

    def _batches(self) -> Iterable[tuple[int, int]]:
        start = size = 0
        for place, data in enumerate(self.encoded):
            if place - start == _BATCH_DOCUMENTS or (size and size + len(data) > _BATCH_BYTES):
                yield start, place
                start, size = place, 0
            size += len(data)
        yield start, len(self.encoded)

    def _note(self, error: Exception, start: int, end: int) -> bool:
        """Note what an error says of its batch; whether the next batch may be sent."""
        cause = error.__cause__
        named = write_errors(str(cause)) if isinstance(cause, mongojet.PyMongoError) else []
        for index, number, message in named:
            place = start + index
            _, pattern, value = duplicate_key(message, None, self.raws[place])
            self.failures[place] = WriteFailure(
                place, number, message, self.documents[place], pattern, value
            )
        if named:
            self.named = True
            if self.ordered:
                after = start + named[0][0] + 1
                self._fail(range(after, end), None, "not attempted: an earlier document failed")
            return not self.ordered
        outcome = outcome_of(error)
        if outcome == "unknown":
            self.unknown.update(range(start, end))
        elif outcome == "not_applied":
            code = error.code if isinstance(error, OperationError) else None
            self._fail(range(start, end), code, str(error))
        return False

    def _fail(self, places: Iterable[int], code: int | None, message: str) -> None:
        for place in places:
            self.failures[place] = WriteFailure(place, code, message, self.documents[place])

    def _settle(self, end: int) -> None:
        self._fail(range(end, len(self.documents)), None, "not attempted: an earlier batch failed")
        stored = {
            id(document)
            for place, document in enumerate(self.documents)
            if self.fate(place) != "not_applied"
        }
        for place, (document, data) in enumerate(zip(self.documents, self.encoded, strict=True)):
            if place in self.failures and id(document) in stored:
                continue  # it stands in the list twice, and is in the database once
            settle_insert(self.call, self.ids, document, data, self.fate(place))

    def fate(self, place: int) -> Outcome:
        """What became of one document."""
        if place in self.failures:
            return "not_applied"
        return "unknown" if place in self.unknown else "applied"

    def _error(self, error: Exception) -> Exception:
        inserted = [
            document
            for place, document in enumerate(self.documents)
            if self.fate(place) == "applied"
        ]
        if not inserted and not self.unknown and not self.named:
            return error  # it is the same for every document: the error says it all
        failures = [self.failures[place] for place in sorted(self.failures)]
        unknown = [self.documents[place] for place in sorted(self.unknown)]
        kind = _TimedOutInsertError if isinstance(error, OperationTimeoutError) else BulkInsertError
        shown = "; ".join(f"[{each.index}] {each.message}" for each in failures[:3])
        outcome: Outcome = "applied"
        if unknown:
            outcome = "unknown"
        elif failures:
            outcome = "partial" if inserted else "not_applied"
        return kind(
            f"{self.call.operation}: {len(inserted)} inserted, {len(failures)} failed, "
            f"{len(unknown)} unknown{': ' + shown if shown else ''}",
            inserted=inserted,
            failures=failures,
            unknown=unknown,
            outcome=outcome,
            code=error.code if isinstance(error, OperationError) else None,
            labels=error.labels if isinstance(error, OperationError) else frozenset(),
        )


class _TimedOutInsertError(BulkInsertError, OperationTimeoutError):
    """Both: what is known of every document, and that time was up."""
