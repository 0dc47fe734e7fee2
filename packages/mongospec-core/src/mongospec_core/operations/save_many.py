"""Save many documents by one command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, Unpack

from mongospec_core.codec.values import decode, encode
from mongospec_core.document.base import DocumentBase
from mongospec_core.document.binding import Binding
from mongospec_core.document.writer import listed, make_ready, to_bson, to_stored, validates
from mongospec_core.errors import OperationError
from mongospec_core.operations.beginning import begin
from mongospec_core.operations.bulk_outcome import raise_for, result_of
from mongospec_core.operations.options import BulkOptions
from mongospec_core.operations.results import BulkResult
from mongospec_core.operations.save import refuse_without_id, settle_save, update_for
from mongospec_core.server.door import Call
from mongospec_core.server.statements import Sent, Statement, send_statements


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
        given = listed(cls, documents)
        binding, call = begin(cls, "save_many", "bulk", options, "write")
        for document in given:
            refuse_without_id(document)
        await make_ready(binding, given)
        raws = to_stored(binding.plan, given, validate=validates(cls, validate_on_write))
        return await save_changes(binding, call, given, raws)


async def save_changes(
    binding: Binding,
    call: Call,
    documents: Sequence[Any],
    raws: Sequence[Mapping[str, Any]],
    *,
    ordered: bool = False,
) -> BulkResult:
    """Send the changes of documents of one class, and settle each by what became of it.

    :param raws: their raw documents, from :func:`to_stored`.
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
    encoded = [to_bson(binding.plan, raw) for _, _, raw, _ in changed]
    try:
        await send_statements(call, sent, ordered=ordered, repeatable=True)
        await _note_gone(binding, call, sent, [raw["_id"] for _, _, raw, _ in changed])
    finally:
        for place, (_, document, _, _) in enumerate(changed):
            settle_save(call, document, encoded[place], sent.outcome(place))
    raise_for(call, sent)
    return result_of(sent)


async def _note_gone(binding: Binding, call: Call, sent: Sent, ids: Sequence[Any]) -> None:
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
