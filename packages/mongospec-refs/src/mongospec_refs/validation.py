"""Check before a write that references are what a read would return."""

from collections.abc import Iterable
from typing import Any

from bson import ObjectId

from mongospec_core import DocumentValidationError, InvalidDocument, WrongDatabaseError
from mongospec_core.extension import (
    DELETED,
    DocumentBase,
    StoredAs,
    check_id,
    is_member,
    plan_of,
    refuse_elsewhere,
    shown,
    snapshot_of,
    tenants_exist,
    to_raw,
)
from mongospec_refs.errors import UnsavedReferenceError
from mongospec_refs.graph import Reference, has_references, references_in
from mongospec_refs.unresolved import class_of, real_class


def validate_references(cls: type[Any], documents: Iterable[Any]) -> None:
    """Refuse references that cannot be stored, or that a read could not find again.

    A reference of a document to itself is allowed: the document has its id before it is sent.

    :raises UnsavedReferenceError: a referenced document has no ``_id``, or was deleted.
    :raises DocumentValidationError: a value is not a document of the annotated class.
    """
    if not has_references(cls):
        return
    if tenants_exist():
        documents = list(documents)
        for document in documents:
            _refuse_of_other_databases(cls, document)
    failures: list[InvalidDocument] = []
    for document in documents:
        for reference in references_in(document):
            if (
                type(reference.document) is reference.target
                and reference.document._id is not None
                and snapshot_of(reference.document) is not DELETED
            ):
                continue  # as nearly always
            reason = _wrong(reference)
            if reason is None and snapshot_of(reference.document) is DELETED:
                raise _deleted(cls, reference)
            if reason is not None:
                failures.append(InvalidDocument(document._id, reference.path, reason))
            elif reference.document._id is None and reference.document is not document:
                raise _unsaved(cls, reference)
    if failures:
        raise DocumentValidationError(cls, failures, "nothing was written")


def _wrong(reference: Reference) -> str | None:
    given, target = reference.document, reference.target
    if not isinstance(given, DocumentBase):
        name = target.__name__ if target else "document"
        return (
            f"Expected `{name}`, got `{type(given).__name__}`; "
            f"{name}.ref(id) creates a reference from an id"
        )
    if target is None or is_member(real_class(given), target):
        return None
    return (
        f"Expected `{target.__name__}`, got `{real_class(given).__name__}`, whose documents are in "
        f"another collection"
    )


def _deleted(cls: type[Any], reference: Reference) -> UnsavedReferenceError:
    name = type(reference.document).__name__
    return UnsavedReferenceError(
        f"{cls.__name__}.{reference.path}: this {name} is unsaved: it was deleted through this object; "
        f"assign another one or None, or {name}.ref({shown(reference.document._id)}) to keep the id (nothing was "
        f"written)",
        reference.document,
        reference.path,
    )


def _unsaved(cls: type[Any], reference: Reference) -> UnsavedReferenceError:
    name = type(reference.document).__name__
    return UnsavedReferenceError(
        f"{cls.__name__}.{reference.path}: this {name} is unsaved: it has no _id; insert it first, "
        f"or both at once by insert_recursive() (nothing was written)",
        reference.document,
        reference.path,
    )


def stored_as(target: type[Any]) -> StoredAs:
    """Return what is stored for a reference, for the check of queries: an id of the class."""
    name = target.__name__

    def refusal(value: Any) -> str | None:
        if not isinstance(value, DocumentBase) or is_member(real_class(value), target):
            return None
        return f"Expected `{name}`, got `{real_class(value).__name__}`"

    def below(field: str, rest: str) -> str:
        return (
            f"the database has the _id of the {name} only: find the ids by {name}'s {rest!r} first, "
            f'{{"{field}": {{"$in": [...]}}}}, or join by $lookup in aggregate()'
        )

    annotation = next(each.type for each in plan_of(target).fields if each.name == "_id")
    return StoredAs(annotation, refusal, below)


def id_of(document: Any) -> Any:
    """Return what replaces a document in a field, a filter or an update: its raw ``_id``.

    :raises UnsavedReferenceError: it has no ``_id``.
    :raises InvalidIdError: MongoDB would read it as operators.
    """
    if document._id is None:
        name = type(document).__name__
        raise UnsavedReferenceError(
            f"a {name} is unsaved: it has no _id, so nothing can refer to it; insert it first",
            document,
        )
    raw = document._id
    return raw if type(raw) is ObjectId else check_id(class_of(document), to_raw(raw))


def _refuse_of_other_databases(cls: type[Any], document: Any) -> None:
    for reference in references_in(document):
        if isinstance(reference.document, DocumentBase):
            try:
                refuse_elsewhere(real_class(reference.document), [reference.document])
            except WrongDatabaseError as error:
                raise WrongDatabaseError(f"{cls.__name__}.{reference.path}: {error}") from None
