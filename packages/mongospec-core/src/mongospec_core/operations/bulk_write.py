"""Many writes at once, by pymongo's operation classes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack, cast

from bson.raw_bson import RawBSONDocument

from mongospec_core.codec.codec_options import decode, encode, encode_trusted, named
from mongospec_core.codec.paths import PathTree
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.errors import (
    BulkWriteError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    StaleDocumentError,
    shown,
)
from mongospec_core.limits import MAX_DOCUMENT_BYTES, oversized
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.change import Replacement
from mongospec_core.model.ids import Ids
from mongospec_core.model.snapshot import snapshot_of
from mongospec_core.model.version import refuse_stale, refuse_taken
from mongospec_core.model.write import (
    apply_outcome,
    check_class,
    encode_documents,
    run_hooks_and_checks,
)
from mongospec_core.operations.filters import encode_filter
from mongospec_core.operations.options import BulkOptions, begin, sort_document
from mongospec_core.operations.path_checks import check_sort
from mongospec_core.operations.update_checks import check_document
from mongospec_core.operations.updates import encode_update
from mongospec_core.results import BulkResult
from mongospec_core.server.bulk import BulkState, Statement
from mongospec_core.server.operation import Operation


class BulkOperations(DocumentBase, abstract=True):
    """``bulk_write``."""

    @classmethod
    async def bulk_write(
        cls,
        operations: Iterable[Any],
        *,
        ordered: bool = True,
        skip_hooks: bool = False,
        validate_on_write: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkResult:
        """Carry out pymongo's operations: ``InsertOne``, ``UpdateOne``, ``UpdateMany``,
        ``ReplaceOne``, ``DeleteOne``, ``DeleteMany``.

        Hooks run as for the single operations. Sends one command for each run of operations of one
        kind (insert, update, delete), of at most 100,000 operations or 16 MB.

        :param operations: ``InsertOne`` and ``ReplaceOne`` take documents of this class, or (for
            pymongo's types) dicts, which are read as stored documents of it. A replacement without
            ``_id`` gets that of the document that it replaces if the filter names it, or if it was
            inserted by ``upsert=True``.
        :param ordered: keep their order and stop at the first that fails; with False, operations of
            one kind are sent together, and all are attempted.
        :param skip_hooks: leave ``__pre_find__`` and ``__pre_update__`` out.
        :raises UnknownFieldError: a dict or a query names a field that the class does not have.
        :raises BulkWriteError: some were not carried out: ``results``, ``failures``, ``unknown``.

        .. code-block:: python

            await User.bulk_write(
                [
                    InsertOne({"name": "A", "email": "a@x"}),
                    UpdateMany({"active": False}, {"$set": {"city": "Rome"}}),
                    DeleteOne({"email": "b@x"}),
                ]
            )
        """
        binding, call = begin(cls, "bulk_write", "bulk", options, "write")
        asked = _listed(cls, operations)
        whole = {
            place: _document_of(cls, each, binding.paths)
            for place, each in enumerate(asked)
            if _kind(cls, each) in ("InsertOne", "ReplaceOne")
        }
        documents = list(whole.values())
        await run_hooks_and_checks(binding, documents)
        inserts = {n: whole[n] for n in whole if _kind(cls, asked[n]) == "InsertOne"}
        with Ids(list(inserts.values())) as ids:
            data = encode_documents(binding.plan, documents, validate=validate_on_write)
            encoded = dict(zip(whole, data, strict=True))
            settle = {
                place: partial(
                    apply_outcome,
                    call,
                    document,
                    before=snapshot_of(document),
                    after=encoded[place],
                    revoke=ids.take_back,
                )
                for place, document in inserts.items()
            }
            statements: list[Statement] = []
            replacements: dict[int, Replacement] = {}
            for place, operation in enumerate(asked):
                if place in inserts:
                    statements.append(Statement("insert", encoded[place], operation))
                    continue
                query = await encode_filter(binding, operation._filter, skip_hooks=skip_hooks)
                replacement = None
                if place in whole:
                    replacement = Replacement(binding.plan, whole[place], encoded[place], query)
                    replacements[place] = replacement
                statements.append(
                    await _statement(
                        call, binding, operation, query, replacement, options, skip_hooks
                    )
                )
            ids.sent = True
            sent = BulkState(statements)
            try:
                await sent.send(call, ordered=ordered)
            finally:
                for place in whole:
                    if place in inserts:
                        settle[place](sent.outcome(place))
                    else:
                        replace = replacements[place]
                        replace.apply(call, *_replaced(asked, sent, place, missed=replace.missed))
        raise_for(call, sent)
        return result_of(sent)


def _replaced(
    asked: Sequence[Any], sent: BulkState, place: int, *, missed: bool
) -> tuple[Outcome, Any]:
    """Return the outcome of a replacement, and the ``_id`` of the document that it replaced.

    The server counts matches for a whole command, which is certain for a single replacement only if
    all or none matched.
    """
    outcome = sent.outcome(place)
    if outcome != "applied" or place in sent.upserted:
        return outcome, sent.upserted.get(place)
    id_ = asked[place]._filter.get("_id")
    if missed:
        return "not_applied", id_
    if sent.statements[place].alone is not None:
        return "applied", id_
    updates = [n for n in sent.applied() if sent.statements[n].kind == "update"]
    if not sent.matched:
        return "not_applied", id_
    many = any(type(asked[n]).__name__ == "UpdateMany" for n in updates)
    exact = not many and sent.matched == len(updates) - len(sent.upserted)
    return ("applied" if exact else "unknown"), id_


async def _statement(
    call: Operation,
    binding: Binding,
    operation: Any,
    given: bytes,
    replacement: Replacement | None,
    options: Mapping[str, Any],
    skip_hooks: bool,
) -> Statement:
    """Return an update or a delete as a statement of the command.

    :param given: its filter.
    """
    kind = type(operation).__name__
    query = RawBSONDocument(given if replacement is None else replacement.query)
    more = _options_of(operation)
    if binding.paths is not None and "sort" in more:
        check_sort(binding.paths, sort_document(more["sort"]))
    if kind.startswith("Delete"):
        statement: dict[str, Any] = {"q": query, "limit": 1 if kind == "DeleteOne" else 0}
        many = kind == "DeleteMany"
        return Statement("delete", _sized(binding, statement, more), operation, many)
    change: Any
    alone = None
    if replacement is not None:
        change = RawBSONDocument(replacement.data)
        if replacement.expected is not None or replacement.moves:
            alone = partial(_replace_alone, call, replacement, operation)
    else:
        final = await encode_update(
            binding,
            operation._doc,
            {**options, "array_filters": operation._array_filters},
            skip_hooks=skip_hooks,
            query=given,
            upsert=operation._upsert,
        )
        change = decode(final) if isinstance(final, bytes) else [decode(each) for each in final]
    statement = {"q": query, "u": change, "multi": kind == "UpdateMany"}
    many = kind == "UpdateMany"
    return Statement("update", _sized(binding, statement, more), operation, many, alone)


async def _replace_alone(
    call: Operation, replacement: Replacement, operation: Any
) -> dict[str, Any]:
    """Send one replacement by itself: a command's count does not say which statements matched."""
    more = _options_of(operation)
    more.pop("sort", None)  # its filter has the _id
    one = call.for_target(call.target, call.operation, {**call.options, **more}, write=True)
    document, expected = replacement.document, replacement.expected
    try:
        reply = await one.send("replace_one", replacement.query, replacement.data)
    except BaseException as error:
        refuse_taken(document, expected, error)
        raise
    upserted = reply["upserted_id"]
    replacement.missed = not reply["matched_count"] and upserted is None
    if replacement.missed:
        await refuse_stale(call, replacement.plan, document, to_raw(document._id), expected)
    made = [] if upserted is None else [{"index": 0, "_id": upserted}]
    count = reply["matched_count"] + len(made)
    return {"n": count, "nModified": reply["modified_count"], "upserted": made}


_OPTIONS = {
    "collation": "_collation",
    "hint": "_hint",
    "sort": "_sort",
    "upsert": "_upsert",
    "arrayFilters": "_array_filters",
}
"""The options of a statement, and pymongo's attributes for them."""


def _options_of(operation: Any) -> dict[str, Any]:
    found = {name: getattr(operation, each, None) for name, each in _OPTIONS.items()}
    return {
        name: value for name, value in found.items() if value is not None and value is not False
    }


def _sized(binding: Binding, statement: Mapping[str, Any], more: Mapping[str, Any]) -> bytes:
    if more:
        # Refuses deep nesting; query and update were encoded before.
        named(binding.plan.cls.__name__, "bulk_write", encode, more)
    data = encode_trusted({**statement, **more})
    if len(data) > MAX_DOCUMENT_BYTES:
        raise oversized(f"{binding.plan.cls.__name__}.bulk_write: an operation", data)
    return data


_KINDS = ("InsertOne", "UpdateOne", "UpdateMany", "ReplaceOne", "DeleteOne", "DeleteMany")


def _kind(cls: type, operation: Any) -> str:
    """Return the name of pymongo's class: importing pymongo takes longer than all of mongospec."""
    name = type(operation).__name__
    if name in _KINDS and type(operation).__module__.startswith("pymongo"):
        return name
    raise OptionError(
        f"{cls.__name__}.bulk_write: {shown(operation)} is not one of pymongo's {', '.join(_KINDS)}"
    )


def _listed(cls: type, operations: Any) -> list[Any]:
    if isinstance(operations, Mapping | type) or not hasattr(operations, "__iter__"):
        raise OptionError(
            f"{cls.__name__}.bulk_write: {shown(operations)} is not a list of operations"  # pyright: ignore[reportUnknownArgumentType]
        )
    return list(operations)


def _document_of(cls: type[DocumentBase], operation: Any, paths: PathTree | None) -> Any:
    """Return the document of an ``InsertOne`` or a ``ReplaceOne``."""
    document = operation._doc
    if isinstance(document, Mapping):
        # A dict has the shape that is to be stored.
        if paths is not None:
            check_document(paths, cast("Mapping[str, Any]", document))
        return cls._load(cast("Mapping[str, Any]", document), upgrade=False)
    check_class(cls, [document])
    return document


def result_of(sent: BulkState) -> BulkResult:
    """Return the server's counts."""
    return BulkResult(
        inserted_count=sent.inserted,
        matched_count=sent.matched,
        modified_count=sent.modified,
        deleted_count=sent.deleted,
        upserted_ids=sent.upserted,
    )


def raise_for(call: Operation, sent: BulkState) -> None:
    """Raise an error if statements failed.

    :raises BulkWriteError: some statements failed, or their outcome is unknown.
    """
    if not sent.failures and not sent.unknown and sent.error is None:
        return
    counts = sent.inserted, sent.matched, sent.deleted, len(sent.upserted)
    failures = [sent.failures[place] for place in sorted(sent.failures)]
    stale = [each for each in failures if each.expected is not None]
    kind: type[BulkWriteError] = _StaleBulkError if stale else BulkWriteError
    if isinstance(sent.error, OperationTimeoutError):
        kind = _TimedOutBulkError
    error = sent.error_of(
        kind,
        call.operation,
        "done",
        otherwise="applied" if any(counts) else "not_applied",
        results=result_of(sent),
    )
    if isinstance(error, StaleDocumentError):
        about = stale[0].document  # of bulk_write, pymongo's ReplaceOne
        error.document = about if isinstance(about, DocumentBase) else about._doc
        error.expected = stale[0].expected
    cause: BaseException | None = sent.error
    if cause is None and call.transaction is not None:
        cause = call.transaction.first_error  # by it, the end of the block knows this error
    raise error from cause


class _StaleBulkError(BulkWriteError, StaleDocumentError):
    """Both: the outcome of every operation, and that a document was changed meanwhile."""


class _TimedOutBulkError(BulkWriteError, OperationTimeoutError):
    """Both: the outcome of every operation, and that the time was up."""
