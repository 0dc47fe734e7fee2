"""From instances to what is sent: raw documents, checked, and their BSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mongospec_core.codec.codec_options import encode, to_raw
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.types import CHECKING
from mongospec_core.codec.validation import explain, unencodable
from mongospec_core.errors import (
    DocumentValidationError,
    EncodingError,
    InvalidDocument,
    OptionError,
)
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.hooks import run_pre_save

_CHUNK = 500
_NOTHING = "nothing was written"
MAX_DOCUMENT = 16 * 1024 * 1024
"""The server's limit for one document, in bytes."""


def should_validate(cls: type[DocumentBase], asked: bool | None) -> bool:
    """Whether documents are checked before a write: as the call says, or else as the class does."""
    return cls.__validate_on_write__ if asked is None else asked


def check_class(cls: type, documents: Sequence[Any]) -> None:
    """A class writes its own documents only.

    :raises OptionError: one is of another class.
    """
    for document in documents:
        if type(document) is cls:
            continue
        given = type(document).__name__
        hint = "documents of subclasses have collections of their own"
        if isinstance(document, Mapping):
            hint = f"make it one by {cls.__name__}(...) or {cls.__name__}.load({{...}})"
        raise OptionError(f"{cls.__name__}: this is a {given}, not a {cls.__name__}; {hint}")


def document_list(cls: type, documents: Any) -> list[Any]:
    """Documents of *cls* as a list.

    :raises OptionError: it is no list of them.
    """
    one = isinstance(documents, DocumentBase | Mapping)
    if one or not hasattr(documents, "__iter__"):
        raise OptionError(f"{cls.__name__}: {documents!r} is no list of documents")
    found: list[Any] = list(documents)
    check_class(cls, found)
    return found


async def run_hooks_and_checks(binding: Binding, documents: Sequence[Any]) -> None:
    """What comes before a whole document is looked at: its hook, then its class's objections."""
    if "__pre_save__" in binding.hooks:
        for document in documents:
            await run_pre_save(document)
    binding.plan.cls._before_write(documents)


def to_raw_documents(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool
) -> list[dict[str, Any]]:
    """The raw documents of *documents*, which are cut to what BSON keeps.

    With *validate*, they are read back in one go: a document that a later read would refuse is
    refused now.

    :raises DocumentValidationError: some do not fit; it names all of them.
    :raises EncodingError: a dict's key cannot be a field's name.
    """
    try:
        for document in documents:
            plan.trim(document)
        raws = [plan.encode(document) for document in documents]
    except EncodingError as error:
        raise _named(plan, documents, error) from error
    except RecursionError as error:
        raise EncodingError(
            f"{plan.cls.__name__}: a document is nested too deeply, or contains itself "
            f"(nothing was written)"
        ) from error
    if validate:
        try:
            plan.convert(plan.prepare(raws, CHECKING))
        except (msgspec.ValidationError, TypeError, ValueError):
            return _checked_one_by_one(plan, raws)
    return raws


def encode_documents(plan: Plan[Any], documents: Sequence[Any], *, validate: bool) -> list[bytes]:
    """:func:`to_raw_documents` and :func:`encode_document` for many documents.

    A few hundred at a time: their raw documents are gone again while they are in the cache, and the
    garbage collector never sees them all at once.

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
    """*error* with the document and the field that it is about."""
    for document in documents:
        for place, field in enumerate(plan.fields):
            try:
                plan.encode_field(place, getattr(document, field.name))
            except EncodingError as why:
                return EncodingError(
                    f"{plan.cls.__name__}.{field.encode_name} of _id={document._id!r}: {why} "
                    f"(nothing was written)"
                )
    return error


def _checked_one_by_one(plan: Plan[Any], raws: list[dict[str, Any]]) -> list[dict[str, Any]]:
    checked: list[dict[str, Any]] = []
    failures: list[InvalidDocument] = []
    for raw in raws:
        # A str field may hold a StrEnum, an int field an IntEnum: what is stored is their value.
        simple = {name: to_raw(value) for name, value in raw.items()}
        try:
            plan.convert(plan.prepare([simple], CHECKING))
        except msgspec.ValidationError as error:
            path, reason = explain(error)
            failures.append(InvalidDocument(raw.get("_id"), path, reason))
        else:
            checked.append(simple)
    if failures:
        raise DocumentValidationError(plan.cls, failures, _NOTHING)
    return checked


def encode_document(plan: Plan[Any], raw: Mapping[str, Any]) -> bytes:
    """One raw document as BSON; an ``_id`` that is None is left out, or MongoDB would store it.

    :raises EncodingError: BSON cannot hold it; class, field and ``_id`` are named.
    """
    if raw.get("_id", 0) is None:
        raw = {name: value for name, value in raw.items() if name != "_id"}
    try:
        data = encode(raw)
    except EncodingError as error:
        path, reason = unencodable(raw) or ("", str(error))
        raise EncodingError(
            f"{plan.cls.__name__}{'.' + path if path else ''} of _id={raw.get('_id')!r}: {reason} "
            f"(nothing was written)"
        ) from error
    if len(data) > MAX_DOCUMENT:
        raise EncodingError(
            f"{plan.cls.__name__} of _id={raw.get('_id')!r} takes {len(data):,} bytes, more than "
            f"the {MAX_DOCUMENT:,} of a MongoDB document (nothing was written)"
        )
    return data
