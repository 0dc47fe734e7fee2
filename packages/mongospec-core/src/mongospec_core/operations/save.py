"""Save documents that were changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, Unpack

import msgspec

from mongospec_core.codec.codec_options import decode, encode, to_raw
from mongospec_core.codec.plan import plan_of
from mongospec_core.codec.types import CHECKING
from mongospec_core.errors import (
    DocumentNotFoundError,
    InvalidIdError,
    MissingIdError,
    OperationError,
    Outcome,
)
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.snapshot import (
    UNKNOWN_CONTENT,
    changed_fields,
    remember_written,
    set_snapshot,
    snapshot_of,
)
from mongospec_core.model.write import (
    document_list,
    encode_document,
    run_hooks_and_checks,
    should_validate,
    to_raw_documents,
)
from mongospec_core.operations.bulk_write import raise_for, result_of
from mongospec_core.operations.insert_many import Ids
from mongospec_core.operations.options import BulkOptions, SaveOptions, begin
from mongospec_core.results import BulkResult
from mongospec_core.server.bulk import Sent, Statement, send_statements
from mongospec_core.server.operation import Operation, outcome_of


class SaveOperations(DocumentBase, abstract=True):
    """``save``."""

    async def save(
        self,
        *,
        upsert: bool = False,
        validate_on_write: bool | None = None,
        **options: Unpack[SaveOptions],
    ) -> Self:
        """Store what changed in this document since it was read or written.

        Runs ``__pre_save__``, then sends one ``update`` with exactly the changed top-level fields;
        nothing where nothing changed. A document whose stored content is not known (built by hand,
        or written with an unknown outcome) sends all declared fields. Fields in the database that
        the class does not declare stay as they are. Inside of one top-level field (a nested Struct,
        a list, a dict) the last writer wins: where that matters use update operators.

        :param upsert: insert the document where it is not there; a new one gets an ``_id``.
        :param validate_on_write: check the document first; default: what the class says (True).
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
        await run_hooks_and_checks(binding, [self])
        validate = should_validate(cls, validate_on_write)
        await save_document(binding, call, self, upsert=upsert, validate=validate)
        return self


async def save_document(
    binding: Binding, call: Operation, document: DocumentBase, *, upsert: bool, validate: bool
) -> None:
    """What is left of a save once the hooks have run: take the difference, send it, settle."""
    with Ids([document]) as ids:  # one is handed out only where an upsert inserts a new document
        (raw,) = to_raw_documents(binding.plan, [document], validate=validate)
        update = update_for(binding, document, raw, upsert=upsert)
        if update is None:
            return
        data = encode_document(binding.plan, raw)
        ids.sent = True
        try:
            reply = await call.reply("update_one", encode({"_id": raw["_id"]}), encode(update))
        except BaseException as error:
            if outcome_of(error) == "not_applied":
                ids.take_back()
            settle_save(call, document, data, outcome_of(error))
            raise
    if not reply["matched_count"] and reply["upserted_id"] is None:
        raise DocumentNotFoundError(
            f"{binding.plan.cls.__name__} with _id={document._id!r} is not in the collection "
            f"{binding.target.name!r}: nothing was saved; save(upsert=True) inserts it"
        )
    call.on_abort(ids.take_back)  # after what settling registers: the last comes first
    settle_save(call, document, data, "applied")


def changes(document: DocumentBase) -> dict[str, Any]:
    """What ``save()`` would send of a document now, before its ``__pre_save__``.

    :param document: a document; it need not be bound.
    :returns: the changed top-level fields by their stored names, as raw data; ``msgspec.UNSET`` for
        a field that would be removed. All fields where the stored content is not known.

    .. code-block:: python

        alice.name = "Alicia"
        changes(alice)  # {"name": "Alicia"}
    """
    type(document)._before_write([document])
    plan = plan_of(type(document))
    plan.trim(document)
    # As a write would simplify it: a str field may hold a StrEnum, a bytes field a bytearray.
    raw = {name: to_raw(value) for name, value in plan.encode(document).items()}
    form = snapshot_of(document)
    if isinstance(form, bytes):
        return changed_fields(plan, form, raw, CHECKING)
    return {name: value for name, value in raw.items() if name != "_id"}


def refuse_without_id(document: DocumentBase) -> None:
    """A document without ``_id`` cannot be found again.

    :raises MissingIdError: it has none.
    """
    if document._id is None:
        raise MissingIdError(
            f"{type(document).__name__} has no _id, so it was never stored: insert() it, "
            f"or save(upsert=True)"
        )


def update_for(
    binding: Binding, document: Any, raw: Mapping[str, Any], *, upsert: bool = False
) -> dict[str, Any] | None:
    """The update that brings the stored document to *raw*; None where it is there already."""
    form = snapshot_of(document)
    if isinstance(form, bytes):
        changed = changed_fields(binding.plan, form, raw, CHECKING)
        if "_id" in changed:
            raise InvalidIdError(
                f"{binding.plan.cls.__name__}: this document is stored under another _id than "
                f"{raw['_id']!r}, and MongoDB cannot change one; copy.replace(document, _id=...) "
                f"and insert the copy, then delete this document"
            )
    else:
        changed = {name: raw.get(name, msgspec.UNSET) for name in binding.plan.encode_names}
    changed.pop("_id", None)
    values = {name: value for name, value in changed.items() if value is not msgspec.UNSET}
    removed = {name: "" for name, value in changed.items() if value is msgspec.UNSET}
    update: dict[str, Any] = {}
    if values:
        update["$set"] = values
    if removed:
        update["$unset"] = removed
    if upsert:  # what did not change is only for a document that is gone
        rest = {name: value for name, value in raw.items() if name not in changed}
        update["$setOnInsert"] = {name: value for name, value in rest.items() if name != "_id"}
    if not any(update.values()) and (upsert or not isinstance(form, bytes)):
        return {"$setOnInsert": {"_id": raw["_id"]}}  # an _id alone: is it there?
    return {operator: fields for operator, fields in update.items() if fields} or None


def settle_save(call: Operation, document: Any, data: bytes, outcome: Outcome) -> None:
    """Make the document agree with what became of its save."""
    if outcome == "not_applied":
        return
    before = snapshot_of(document)
    if outcome == "applied" and call.certain:
        remember_written(document, data)
    else:
        set_snapshot(document, UNKNOWN_CONTENT)
    call.on_abort(
        lambda: set_snapshot(document, before),
        unsure=lambda: set_snapshot(document, UNKNOWN_CONTENT),
    )


class SaveManyOperations(DocumentBase, abstract=True):
    """``save_many``."""

    @classmethod
    async def save_many(
        cls,
        documents: Iterable[Self],
        *,
        validate_on_write: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkResult:
        """:meth:`save` for many documents: one ``update`` command for the changes of all.

        Runs every ``__pre_save__``, checks all, then sends the changed fields of each changed
        document; documents without changes cost nothing.

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
        raws = to_raw_documents(
            binding.plan, given, validate=should_validate(cls, validate_on_write)
        )
        return await save_changes(binding, call, given, raws)


async def save_changes(
    binding: Binding,
    call: Operation,
    documents: Sequence[Any],
    raws: Sequence[Mapping[str, Any]],
    *,
    ordered: bool = False,
) -> BulkResult:
    """Send the changes of documents of one class, and settle each by what became of it.

    :param raws: their raw documents, from :func:`to_raw_documents`.
    :raises BulkWriteError: some were not saved.
    """
    changed = [
        (index, document, raw, update)
        for index, (document, raw) in enumerate(zip(documents, raws, strict=True))
        if (update := update_for(binding, document, raw)) is not None
    ]
    statements = [
        Statement("update", encode({"q": {"_id": raw["_id"]}, "u": update}), document)
        for _, document, raw, update in changed
    ]
    sent = Sent(statements, [index for index, *_ in changed])
    if not statements:
        return result_of(sent)
    encoded = [encode_document(binding.plan, raw) for _, _, raw, _ in changed]
    try:
        await send_statements(call, sent, ordered=ordered, repeatable=True)
        await _note_gone(binding, call, sent, [raw["_id"] for _, _, raw, _ in changed])
    finally:
        for place, (_, document, _, _) in enumerate(changed):
            settle_save(call, document, encoded[place], sent.outcome(place))
    raise_for(call, sent)
    return result_of(sent)


async def _note_gone(binding: Binding, call: Operation, sent: Sent, ids: Sequence[Any]) -> None:
    """Where fewer documents matched than were sent, ask which are there."""
    applied = [place for place in range(len(ids)) if sent.outcome(place) == "applied"]
    if sent.matched >= len(applied):
        return
    query = encode({"_id": {"$in": [ids[place] for place in applied]}})
    look = call.sibling("find_many", projection={"_id": 1})
    try:
        found = decode(await look.send("find_many", query)).values()
    except OperationError as error:  # some are gone, and nobody can say which
        sent.unknown.update(applied)
        sent.error = sent.error or error
        return
    there = {encode(each) for each in found}
    for place in applied:
        if encode({"_id": ids[place]}) not in there:
            sent.fail(
                [place],
                None,
                f"{binding.plan.cls.__name__} with _id={ids[place]!r} is not in the collection",
            )
