"""Save changed documents."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NoReturn, Self, Unpack

import msgspec

from mongospec_core.codec.codec_options import decode, encode, encode_query
from mongospec_core.codec.elements import element_value, join_elements
from mongospec_core.codec.plan import plan_of
from mongospec_core.errors import (
    DocumentNotFoundError,
    MissingIdError,
    OperationError,
    OptionError,
    shown,
)
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.change import Change, prepare, prepare_one
from mongospec_core.model.hooks import run_pre_save
from mongospec_core.model.ids import Ids
from mongospec_core.model.snapshot import changed_fields, snapshot_of
from mongospec_core.model.version import refuse_stale, refuse_taken, stale
from mongospec_core.model.write import (
    document_list,
    encode_document,
    run_hooks_and_checks,
    to_raw_documents,
)
from mongospec_core.operations.bulk_write import raise_for, result_of
from mongospec_core.operations.options import SaveManyOptions, WriteOptions, begin
from mongospec_core.results import BulkResult
from mongospec_core.server.bulk import BulkState, Statement
from mongospec_core.server.driver_call import CancelledCall
from mongospec_core.server.operation import Operation, outcome_of


class SaveOperations(DocumentBase, abstract=True):
    """``save``."""

    async def save(
        self,
        *,
        upsert: bool = False,
        validate_on_write: bool | None = None,
        **options: Unpack[WriteOptions],
    ) -> Self:
        """Store what changed in this document since it was read or written.

        Runs ``__pre_save__``, then sends one ``update`` with exactly the changed top-level fields, or
        nothing if nothing changed. A document whose stored content is not known (built by hand, or
        written with an unknown outcome) sends all declared fields. Fields in the database that the
        class does not declare are kept. Inside one top-level field (a nested Struct, a list, a dict)
        the last writer wins: if that matters use update operators.

        :param upsert: insert the document if it does not exist; a new one gets an ``_id``.
        :param validate_on_write: check the document first; default: the class's setting (True).
        :returns: the document itself.
        :raises MissingIdError: the document has no ``_id``, and is not upserted.
        :raises DocumentNotFoundError: no stored document has this ``_id`` any more.
        :raises DocumentValidationError: a field does not fit; nothing was sent.

        .. code-block:: python

            alice.name = "Alicia"
            await alice.save()  # {"$set": {"name": "Alicia"}}
        """
        cls = type(self)
        binding, call = begin(cls, "save", "update_one", options, "write", upsert=upsert or None)
        if not upsert:
            refuse_without_id(self)
        if "__pre_save__" in binding.hooks:
            await run_pre_save(self)
        cls._before_write([self])
        if not upsert:
            await send(call, prepare_one(binding.plan, self, validate=validate_on_write))
            return self
        with Ids([self], upsert=True) as ids:  # assigned only if an upsert inserts a new document
            change = prepare_one(binding.plan, self, validate=validate_on_write, upsert=True)
            ids.sent = True
            await send(call, change, ids)
        return self


async def send(call: Operation, change: Change, ids: Ids | None = None) -> None:
    """Send a prepared change, and apply its outcome to the document.

    :param ids: takes an id back that was handed out for this save.
    :raises DocumentNotFoundError: no stored document has this ``_id``.
    :raises StaleDocumentError: the stored document has another version.
    """
    if change.update is None:
        return
    revoke = None if ids is None else ids.take_back
    try:
        reply = await call.send("update_one", encode_query(change.filter), change.update)
    except BaseException as error:
        refuse_taken(change.document, change.expected, error)
        change.apply(call, outcome_of(error), revoke)
        raise
    if not reply["matched_count"] and reply["upserted_id"] is None:
        await _refuse_missing(call, change)
    change.apply(call, "applied", revoke)


async def _refuse_missing(call: Operation, change: Change) -> NoReturn:
    """Raise the error for a change that found no document.

    :raises StaleDocumentError: the document is there in another version.
    :raises DocumentNotFoundError: the document does not exist.
    """
    cls, id_ = type(change.document), change.raw["_id"]
    await refuse_stale(call, plan_of(cls), change.document, id_, change.expected)
    key = "".join(
        f" and {path}={shown(change.filter[path])}" for path in cls.__shard_key__ if path != "_id"
    )
    raise DocumentNotFoundError(
        f"{cls.__name__} with _id={shown(id_)}{key} is not in the collection {call.target.name!r}: "
        f"nothing was saved; save(upsert=True) inserts it",
        cls,
        change.filter,
    )


def changes(document: DocumentBase) -> dict[str, Any]:
    """Return what ``save()`` would send of a document now, without running ``__pre_save__``.

    :param document: a document; it need not be bound.
    :returns: the changed top-level fields by their stored names, as raw data; ``msgspec.UNSET`` for
        a field that would be removed. All fields if the stored content is not known. A version is
        left out: the save raises it.

    .. code-block:: python

        alice.name = "Alicia"
        changes(alice)  # {"name": "Alicia"}
    """
    given: Any = document  # a user without a type checker may give anything
    if not isinstance(given, DocumentBase):
        raise OptionError(f"changes() takes a document, not {shown(given)}")
    type(document)._before_write([document])
    plan = plan_of(type(document))
    (raw,) = to_raw_documents(plan, [document], validate=False)
    form = snapshot_of(document)
    return {
        name: msgspec.UNSET if element is None else element_value(element)
        for name, element in changed_fields(plan, form, encode_document(plan, raw)).items()
        if isinstance(form, bytes) or (element is not None and name != "_id")
        if name != plan.version
    }


def refuse_without_id(document: DocumentBase) -> None:
    """Refuse a document without ``_id``.

    :raises MissingIdError: it has no ``_id``.
    """
    if document._id is None:
        raise MissingIdError(
            f"{type(document).__name__} has no _id, so it was never stored: insert() it, "
            f"or save(upsert=True)"
        )


class SaveManyOperations(DocumentBase, abstract=True):
    """``save_many``."""

    @classmethod
    async def save_many(
        cls,
        documents: Iterable[Self],
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[SaveManyOptions],
    ) -> BulkResult:
        """Save many documents as :meth:`save` does, with one ``update`` command for all changes.

        Runs every ``__pre_save__``, checks all, then sends the changed fields of each changed
        document; nothing is sent for documents without changes.

        :param documents: documents of this class, all with an ``_id``.
        :returns: counts; ``matched_count`` is the number of documents that were sent.
        :raises BulkWriteError: some were not saved, for example because they are gone.

        .. code-block:: python

            for user in users:
                user.visits += 1
            await User.save_many(users)
        """
        given = document_list(cls, documents)
        binding, call = begin(cls, "save_many", "bulk", options, "write")
        for document in given:
            refuse_without_id(document)
        await run_hooks_and_checks(binding, given)
        return await send_many(call, prepare(binding.plan, given, validate=validate_on_write))


async def send_many(
    call: Operation, prepared: Sequence[Change], *, ordered: bool = False
) -> BulkResult:
    """Send prepared changes of documents of one class, and apply the outcome to each.

    :param ordered: stop at the first that fails.
    :raises BulkWriteError: some were not saved.
    """
    indexes = [index for index, each in enumerate(prepared) if each.update is not None]
    guarded = prepared and prepared[0].guarded
    if guarded:  # a document that is listed twice raises its version once
        first = {id(prepared[index].document): index for index in reversed(indexes)}
        indexes = sorted(first.values())
    changes = [prepared[index] for index in indexes]
    statements = [
        _guarded_statement(call, each)
        if guarded
        else Statement("update", _statement(each), each.document)
        for each in changes
    ]
    sent = BulkState(statements, indexes)
    if not statements:
        return result_of(sent)
    try:
        await sent.send(call, ordered=ordered, repeatable=changes[0].version is None)
        await _note_gone(call, sent, changes)
    except BaseException as error:  # cancelled
        applied = sent.applied()
        # If fewer matched than were sent, it is unknown which.
        if sent.matched < len(applied):
            sent.unknown.update(applied)
        if isinstance(error, CancelledCall):
            error.outcome = sent.whole()
        raise
    finally:
        for place, each in enumerate(changes):
            each.apply(call, sent.outcome(place))
    raise_for(call, sent)
    return result_of(sent)


def _statement(change: Change, *, trapped: bool = False) -> bytes:
    """Return the statement of an ``update`` command; :data:`_TRAP` is why it may be an upsert."""
    assert change.update is not None
    elements = [b"\3q\0", encode_query(change.filter), b"\3u\0", change.update]
    if trapped:
        elements[3:] = join_elements((change.update[4:-1], _TRAP)), b"\x08upsert\0\1"
    return join_elements(elements)


_IMMUTABLE_FIELD = 66
_TRAP = encode({"$setOnInsert": {"_id": None}})[4:-1]
"""In an upsert, it makes the server fail if nothing matches: an insert would change the ``_id``.

So the server names the documents that have another version. A command's count would only say how
many there are, and a later read cannot tell whose write raised their version.
"""


def _guarded_statement(call: Operation, change: Change) -> Statement:
    alone = None
    if change.moves or (change.version is not None and not call.is_alone):  # an error would end it
        alone = partial(_reply_alone, call, change)
    trapped = change.version is not None and alone is None
    return Statement("update", _statement(change, trapped=trapped), change.document, alone=alone)


async def _reply_alone(call: Operation, change: Change) -> dict[str, Any]:
    """Send one change by itself; return what the command would reply."""
    try:
        reply = await call.send("update_one", encode_query(change.filter), change.update)
    except CancelledCall as error:
        if isinstance(error.reply, dict):
            error.reply = {"n": error.reply["matched_count"]}
        raise
    except BaseException as error:
        refuse_taken(change.document, change.expected, error)
        raise
    if not reply["matched_count"]:
        await _refuse_missing(call, change)
    return {"n": 1, "nModified": reply["modified_count"]}


async def _note_gone(call: Operation, sent: BulkState, changes: Sequence[Change]) -> None:
    """Read which of the documents that were not found are gone; the others have another version."""
    applied = sent.applied()
    if sent.matched >= len(applied):
        if not sent.failures:
            return
        applied = []
    for place, failure in list(sent.failures.items()):
        expected = changes[place].expected
        if failure.code == _IMMUTABLE_FIELD and expected is not None:
            message = str(stale(changes[place].document, expected))
            sent.fail([place], None, message, expected=expected)
            applied.append(place)
    if not applied:
        return
    query = encode({"_id": {"$in": [changes[place].raw["_id"] for place in applied]}})
    look = call.look("find_many", {"_id": 1})
    try:
        found = decode(await look.send("find_many", query)).values()
    except OperationError as error:  # some are gone, and it is unknown which
        sent.unknown.update(place for place in applied if place not in sent.failures)
        sent.error = sent.error or error
        return
    there = {encode(each) for each in found}
    for place in applied:
        change = changes[place]
        if encode({"_id": change.raw["_id"]}) not in there:
            sent.fail(
                [place],
                None,
                f"{type(change.document).__name__} with _id={shown(change.raw['_id'])} is not in the "
                f"collection",
            )
