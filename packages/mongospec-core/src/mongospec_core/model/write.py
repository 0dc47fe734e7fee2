"""Prepare documents for a write: raw documents, validation, BSON, and the outcome afterwards."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mongospec_core.codec.codec_options import encode
from mongospec_core.codec.depth import NestingError
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.codec.types import CHECKING
from mongospec_core.codec.validation import parse_validation_error, unencodable
from mongospec_core.errors import (
    DocumentValidationError,
    EncodingError,
    InvalidDocument,
    OptionError,
    Outcome,
    cut,
    shown,
)
from mongospec_core.limits import MAX_DOCUMENT_BYTES, oversized
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, reading_plan
from mongospec_core.model.family import is_member
from mongospec_core.model.hooks import run_pre_save
from mongospec_core.model.snapshot import (
    UNKNOWN_CONTENT,
    StoredForm,
    set_place,
    set_snapshot,
    snapshot_of,
)
from mongospec_core.server import place as places
from mongospec_core.server.operation import Operation

_CHUNK = 100
_NOTHING = "nothing was written"


def check_class(cls: type, documents: Sequence[Any]) -> None:
    """Refuse documents that are not of *cls* or of a member of its family.

    :raises OptionError: a document is of another class.
    """
    for document in documents:
        if type(document) is cls:
            continue
        members = reading_plan(cls).members or ()
        if type(document) in members:
            continue
        given = type(document).__name__
        hint = "documents of subclasses have collections of their own"
        if isinstance(document, Mapping):
            hint = f"make it one by {cls.__name__}(...) or {cls.__name__}.load({{...}})"
        elif isinstance(document, DocumentBase) and is_member(type(document), cls):
            hint = f"{given} is not bound: add it to document_types"
        raise OptionError(f"{cls.__name__}: this is a {given}, not a {cls.__name__}; {hint}")


def document_list(cls: type, documents: Any) -> list[Any]:
    """Return documents of *cls* as a list.

    :raises OptionError: *documents* is not a list of them.
    """
    one = isinstance(documents, DocumentBase | Mapping)
    if one or isinstance(documents, type) or not hasattr(documents, "__iter__"):
        raise OptionError(f"{cls.__name__}: {shown(documents)} is not a list of documents")  # pyright: ignore[reportUnknownArgumentType]
    found: list[Any] = list(documents)
    check_class(cls, found)
    return found


async def run_hooks_and_checks(binding: Binding, documents: Sequence[Any]) -> None:
    """Run ``__pre_save__``, then ``_before_write``."""
    if "__pre_save__" in binding.hooks:
        for document in documents:
            await run_pre_save(document)
    plan = binding.plan
    if plan.members is None:
        plan.cls._before_write(documents)
        return
    cls: Any
    for cls in plan.members:  # each has its own fields to validate
        if own := [each for each in documents if type(each) is cls]:
            cls._before_write(own)


def to_raw_documents(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool | None
) -> list[dict[str, Any]]:
    """Return the raw documents of *documents*, whose values are cut to what BSON keeps.

    With *validate*, they are read back in one call: a document that a later read would refuse is
    refused now.

    :raises DocumentValidationError: some do not fit; it names all of them.
    :raises EncodingError: a dict's key cannot be a field's name.
    """
    try:
        if plan.truncations:
            for document in documents:
                plan.truncate(document)
        raws = list(map(plan.encode, documents))
    except EncodingError as error:
        raise _named(plan, documents, error) from error
    except RecursionError as error:
        raise _endless(plan) from error
    return checked(plan, raws, validate)


def encode_one(
    plan: Plan[Any], document: Any, *, validate: bool | None
) -> tuple[dict[str, Any], bytes]:
    """Apply :func:`to_raw_documents` and :func:`encode_document` to one document, without lists of one.

    :returns: the raw document, and its BSON.
    :raises DocumentValidationError: it does not fit.
    :raises EncodingError: BSON cannot hold a value.
    """
    try:
        if plan.truncations:
            plan.truncate(document)
        raw = plan.encode(document)
    except EncodingError as error:
        raise _named(plan, [document], error) from error
    except RecursionError as error:
        raise _endless(plan) from error
    if plan.cls.__validate_on_write__ if validate is None else validate:
        try:
            plan.convert(plan.prepare([raw], CHECKING))
        except (msgspec.ValidationError, TypeError, ValueError):
            (raw,) = _checked_one_by_one(plan, [raw])
    return raw, encode_document(plan, raw)


def checked(
    plan: Plan[Any], raws: list[dict[str, Any]], validate: bool | None
) -> list[dict[str, Any]]:
    """Return raw documents that a later read will accept.

    :param validate: whether they are checked; None: as their class says.
    :raises DocumentValidationError: some do not fit; it names all of them.
    """
    if not (plan.cls.__validate_on_write__ if validate is None else validate):
        return raws
    try:
        plan.convert(plan.prepare(raws, CHECKING))
    except (msgspec.ValidationError, TypeError, ValueError):
        return _checked_one_by_one(plan, raws)
    return raws


def encode_documents(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool | None
) -> list[bytes]:
    """Apply :func:`to_raw_documents` and :func:`encode_document` to many documents.

    A hundred at a time: their raw documents are freed while still in the CPU's cache, and the
    garbage collector never has to visit all of them.

    :raises DocumentValidationError: some do not fit; it names all of them.
    """
    encoded: list[bytes] = []
    failures: list[InvalidDocument] = []
    for start in range(0, len(documents), _CHUNK):
        try:
            raws = to_raw_documents(plan, documents[start : start + _CHUNK], validate=validate)
        except DocumentValidationError as error:
            failures += error.failures
        else:
            if not failures:
                encoded += [encode_document(plan, raw) for raw in raws]
    if failures:
        raise DocumentValidationError(plan.cls, failures, _NOTHING)
    return encoded


def _named(plan: Plan[Any], documents: Sequence[Any], error: EncodingError) -> EncodingError:
    """Return *error* with the document and the field that it is about."""
    for document in documents:
        if (found := plan.unencodable(document)) is not None:
            return EncodingError(
                f"{plan.cls.__name__}.{found[0]} of _id={shown(document._id)}: {found[1]} "
                f"(nothing was written)"
            )
    return error


def _endless(plan: Plan[Any]) -> EncodingError:
    return EncodingError(
        f"{plan.cls.__name__}: a document is nested too deeply, or contains itself "
        f"(nothing was written)"
    )


def _checked_one_by_one(plan: Plan[Any], raws: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fit: list[dict[str, Any]] = []
    failures: list[InvalidDocument] = []
    for raw in raws:
        # A str field may hold a StrEnum, an int field an IntEnum: their value is stored.
        simple = {name: to_raw(value) for name, value in raw.items()}
        try:
            plan.convert(plan.prepare([simple], CHECKING))
        except msgspec.ValidationError as error:
            path, reason = parse_validation_error(error)
            failures.append(InvalidDocument(raw.get("_id"), path, reason))
        except UnicodeEncodeError as error:  # msgspec's, of text with a lone surrogate
            path, reason = unencodable(simple) or ("", cut(str(error)))
            failures.append(InvalidDocument(raw.get("_id"), path, reason))
        else:
            fit.append(simple)
    if failures:
        raise DocumentValidationError(plan.cls, failures, _NOTHING)
    return fit


def encode_document(plan: Plan[Any], raw: Mapping[str, Any]) -> bytes:
    """Encode one raw document; an ``_id`` of None is left out, or MongoDB would store it.

    :raises EncodingError: BSON cannot hold a value; class, field and ``_id`` are named.
    """
    if raw.get("_id", 0) is None:
        raw = {name: value for name, value in raw.items() if name != "_id"}
    try:
        data = encode(raw)
    except EncodingError as error:
        where = None if isinstance(error, NestingError) else unencodable(raw)
        path, reason = where or ("", str(error))
        raise EncodingError(
            f"{plan.cls.__name__}{'.' + path if path else ''} of _id={shown(raw.get('_id'))}: {reason} "
            f"(nothing was written)"
        ) from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise oversized(f"{plan.cls.__name__} of _id={shown(raw.get('_id'))}", data)
    return data


def apply_outcome(
    call: Operation,
    document: Any,
    outcome: Outcome,
    *,
    before: StoredForm,
    after: StoredForm,
    revoke: Callable[[Any], None] | None = None,
) -> None:
    """Update a document's snapshot after a write of it.

    The order of two concurrent writes on the server is unknown: if another write was acknowledged
    meanwhile and stored something else, the stored content is unknown. It is also unknown after a
    write in a session that the caller opened, because an abort of its transaction is not seen.

    :param before: the snapshot when the write was prepared.
    :param after: the snapshot once the write is acknowledged.
    :param revoke: called with the document if it was not written, or its transaction is aborted.
    """
    if outcome == "not_applied":
        if revoke is not None:
            revoke(document)
        return
    now = snapshot_of(document)
    certain = outcome == "applied" and call.session is None and (now is before or now == after)
    noted = after if certain else UNKNOWN_CONTENT
    set_snapshot(document, noted)
    if places.used:
        set_place(document, call.target.place)
    if call.transaction is not None:
        _undo_on_abort(call, document, noted, now, revoke)


def _undo_on_abort(
    call: Operation,
    document: Any,
    noted: StoredForm,
    before: StoredForm,
    revoke: Callable[[Any], None] | None,
) -> None:
    def undo() -> None:
        set_snapshot(document, before if snapshot_of(document) is noted else UNKNOWN_CONTENT)
        if revoke is not None:
            revoke(document)

    call.on_abort(undo, if_unknown=lambda: set_snapshot(document, UNKNOWN_CONTENT))
