"""Every error of mongospec-refs.

::

    MongospecError
    ├── UnresolvedReferenceError(RuntimeError)     a field of a reference that was not read
    │   └── MissingReferenceError(LookupError)     ... because its document does not exist
    ├── UnsavedReferenceError(ValueError)          a reference to a document without _id
    ├── CascadeSaveError                           a referenced document was not saved; also an
    │                                              OperationError if the server was the cause
    ├── RecursiveInsertError(RuntimeError)         insert_recursive() did not insert the graph
    └── RecursiveRollbackError(RuntimeError)       rollback() did not delete everything
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mongospec_core import (
    MongospecError,
    OperationError,
    OperationTimeoutError,
    StaleDocumentError,
    WriteFailure,
)
from mongospec_core.extension import Outcome, outcome_of


class UnresolvedReferenceError(MongospecError, RuntimeError):
    """A field, or a write, of a reference whose document was not read.

    ``reference`` is the reference. ``await reference.fetch()`` reads its document. It is not an
    ``AttributeError``, so ``getattr(reference, name, default)`` does not hide it.
    """

    def __init__(self, message: str, reference: Any) -> None:
        super().__init__(message)
        self.reference = reference


class MissingReferenceError(UnresolvedReferenceError, LookupError):
    """The document of the reference is not in the database."""


class UnsavedReferenceError(MongospecError, ValueError):
    """A reference to a document that has no ``_id`` to be stored as; nothing was sent.

    ``reference`` is the document without ``_id``, ``path`` the field that holds it (empty in a
    filter or an update).
    """

    def __init__(self, message: str, reference: Any, path: str = "") -> None:
        super().__init__(message)
        self.reference = reference
        self.path = path


class CascadeSaveError(MongospecError):
    """A referenced document could not be saved, so the documents that refer to it were not sent.

    ``written`` lists the documents that were saved before, ``failures`` those that the server
    refused (with code and message), ``unknown`` those whose command got no reply, ``unsent`` the
    rest, the root included. ``__cause__`` is the error; if it is an ``OperationError``, this is one
    too, with its code and its labels.
    """

    def __init__(
        self,
        message: str,
        *,
        written: Sequence[Any],
        failures: Sequence[WriteFailure],
        unknown: Sequence[Any],
        unsent: Sequence[Any],
    ) -> None:
        super().__init__(message)  # OperationError sets outcome, so it is set again after it
        self.written = list(written)
        self.failures = list(failures)
        self.unknown = list(unknown)
        self.unsent = list(unsent)
        self.outcome: Outcome = (
            "unknown" if self.unknown else "partial" if self.written else "not_applied"
        )


class _CascadeOperationError(CascadeSaveError, OperationError):
    """Both: what was saved, and the error of the server or the network."""


class _CascadeTimeoutError(_CascadeOperationError, OperationTimeoutError):
    """All three: the time was up."""


class _CascadeStaleError(_CascadeOperationError, StaleDocumentError):
    """All three: a reference was changed meanwhile."""


def cascade_error(cause: MongospecError, message: str, **parts: Any) -> CascadeSaveError:
    """Return the error of a cascade that failed with *cause*, also of that error's class."""
    if not isinstance(cause, OperationError):
        return CascadeSaveError(f"{message}: {cause}", **parts)
    kind: type[_CascadeOperationError] = _CascadeOperationError
    if isinstance(cause, OperationTimeoutError):
        kind = _CascadeTimeoutError
    elif isinstance(cause, StaleDocumentError):
        kind = _CascadeStaleError
    error = kind(f"{message}: {cause.args[0]}", **parts)
    if isinstance(error, StaleDocumentError) and isinstance(cause, StaleDocumentError):
        error.document, error.expected = cause.document, cause.expected
    error.code, error.labels, error.details = cause.code, cause.labels, cause.details
    return error


class RecursiveInsertError(MongospecError, RuntimeError):
    """``insert_recursive()`` did not insert its graph; ``__cause__`` is the error.

    ``result.created_documents`` lists the documents that were inserted before it; they were deleted
    again, and have no ``_id`` any more if mongospec generated it. ``rollback_error`` is the error of
    deleting them, else None. ``unknown`` lists the documents that may still be in the database (a
    reply was lost, the server is gone): they keep their ``_id``, ``outcome`` is ``"unknown"``, and
    ``result.rollback()`` may be called later to delete them.
    """

    def __init__(
        self,
        message: str,
        *,
        result: Any,
        unknown: Sequence[Any],
        rollback_error: BaseException | None,
    ) -> None:
        super().__init__(message)
        self.result = result
        self.unknown = list(unknown)
        self.rollback_error = rollback_error
        self.outcome: Outcome = "unknown" if self.unknown else "not_applied"


class RollbackFailure(NamedTuple):
    """Documents of one class that a rollback could not delete, and why."""

    document_class: type
    documents: list[Any]
    error: Exception


class RecursiveRollbackError(MongospecError, RuntimeError):
    """``rollback()`` could not delete everything; it may be called again.

    ``failures`` has a :class:`RollbackFailure` for each class, ``deleted_count`` is the number of
    documents that were deleted all the same. ``outcome`` is ``"applied"`` if only write concerns failed.
    """

    def __init__(
        self, message: str, *, failures: Sequence[RollbackFailure], deleted_count: int
    ) -> None:
        super().__init__(message)
        self.failures = list(failures)
        self.deleted_count = deleted_count
        outcomes: set[Outcome] = {outcome_of(each.error) for each in failures}
        if deleted_count:
            outcomes.add("applied")
        one = outcomes.pop() if len(outcomes) == 1 else "partial"
        self.outcome: Outcome = "unknown" if "unknown" in outcomes else one
