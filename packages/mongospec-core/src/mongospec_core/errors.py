"""Every error of mongospec-core; this module imports no other module of the package.

::

    MongospecError
    ├── DefinitionError(TypeError)            a class that cannot work
    ├── HookError                             a hook did not return what it must
    ├── OptionError(TypeError)                an option that the call does not take
    │   ├── UnknownFieldError                 a query names a field that the class does not have
    │   ├── FilterValueError(ValueError)      a filter's value that no document can have there
    │   └── PageTokenError(ValueError)        after= of a page is damaged, or of another query
    ├── NotBoundError(RuntimeError)           the class was not given to init()
    ├── DocumentValidationError(msgspec.ValidationError)
    ├── EncodingError(ValueError)             a value that BSON cannot hold
    ├── MissingIdError(ValueError)            save or delete of a document without _id
    ├── InvalidIdError(ValueError)            an id that is not of the class's id type
    ├── DocumentNotFoundError(RuntimeError, LookupError)   a document does not exist, but must
    ├── StaleDocumentError(RuntimeError)      a write of a document that was changed meanwhile
    ├── WrongDatabaseError(RuntimeError)      a document or a cursor of another database
    ├── CursorClosedError
    ├── TransactionError
    │   └── TransactionClosedError
    └── OperationError(mongojet.PyMongoError) an error of the server or the network
        ├── ServerUnavailableError(ConnectionError)
        ├── OperationTimeoutError(TimeoutError)
        ├── DuplicateKeyError                 also mongojet.DuplicateKeyError
        ├── BulkInsertError
        ├── BulkWriteError
        ├── CollectionConflictError
        └── IndexConflictError

The ``outcome`` of every one of them says whether the failed write is in the database:
``"not_applied"``, ``"applied"`` (only the write concern failed), ``"partial"`` or ``"unknown"``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import mongojet
import msgspec

__all__ = (
    "BulkInsertError",
    "BulkWriteError",
    "CollectionConflictError",
    "CursorClosedError",
    "DefinitionError",
    "DocumentNotFoundError",
    "DocumentValidationError",
    "DuplicateKeyError",
    "EncodingError",
    "FilterValueError",
    "HookError",
    "IndexConflictError",
    "InvalidDocument",
    "InvalidIdError",
    "MissingIdError",
    "MongospecError",
    "NotBoundError",
    "OperationError",
    "OperationTimeoutError",
    "OptionError",
    "Outcome",
    "PageTokenError",
    "ServerUnavailableError",
    "StaleDocumentError",
    "TransactionClosedError",
    "TransactionError",
    "UnknownFieldError",
    "WriteFailure",
    "WrongDatabaseError",
)

type Outcome = Literal["not_applied", "applied", "partial", "unknown"]
"""Whether a failed write is in the database."""

_SAID: Mapping[Outcome, str] = {
    "applied": " [outcome: applied]",
    "partial": " [outcome: partial]",
    "unknown": " [outcome: unknown]",
}
_SHOWN = 3  # failures spelled out in a message; the attribute has them all
_MOST = 200


def cut(text: str, most: int = _MOST) -> str:
    """Shorten *text* for a message: a user's value can be as long as a document."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def shown(value: object) -> str:
    """Return a value for a message, on one line."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value's own __repr__ must not hide the error
        text = f"<{type(value).__name__}>"
    return cut(text).replace("\n", " ")


class MongospecError(Exception):
    """The root of every error that mongospec raises on purpose."""

    outcome: Outcome = "not_applied"
    given: Mapping[str, Any] | None = None
    """The raw document that a ``find_one_and_*`` returned, if it was applied but cannot be read."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the class's parameters, which differ from the message.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt[E: MongospecError](cls: type[E], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DefinitionError(MongospecError, TypeError):
    """A document class that cannot work; raised when it is created or bound."""


class HookError(MongospecError):
    """A lifecycle hook did not return what it must, or an awaitable was not awaited."""


class OptionError(MongospecError, TypeError):
    """An option that the operation does not take; nothing was sent."""


class UnknownFieldError(OptionError):
    """A query names a field that the documents of the class do not have; nothing was sent.

    ``document_class``, the ``path`` that was named, and a ``suggestion``: a path that may have been
    meant, or None.
    """

    def __init__(
        self, document_class: type, path: str, suggestion: str | None = None, hint: str = ""
    ) -> None:
        self.document_class = document_class
        self.path = path
        self.suggestion = suggestion
        self.hint = hint
        way_out = f"; {hint}" if hint else ""
        super().__init__(f'{document_class.__name__} has no field "{cut(path)}"{way_out}')


class FilterValueError(OptionError, ValueError):
    """A filter compares a field to a value that no document of the class can have there.

    ``document_class``, the ``path`` of the field, the ``expected`` type as text, and the ``value`` in
    the filter. Nothing was sent.
    """

    def __init__(
        self, document_class: type, path: str, expected: str, value: Any, hint: str = ""
    ) -> None:
        self.document_class = document_class
        self.path = path
        self.expected = expected
        self.value = value
        self.hint = hint
        way_out = f"; {hint}" if hint else ""
        super().__init__(
            f"{document_class.__name__}.{cut(path)} is {expected}: no document has {shown(value)} of type "
            f"{type(value).__name__} there{way_out}"
        )


class PageTokenError(OptionError, ValueError):
    """``after=`` of ``page()`` is damaged, or belongs to a page of another query; nothing was sent."""


class NotBoundError(MongospecError, RuntimeError):
    """The class is not bound to a collection: before ``init()``, after ``close()``, or not listed."""


class WrongDatabaseError(MongospecError, RuntimeError):
    """A document, a reference or a cursor of one database was used in another; see ``using()``."""


class InvalidDocument(msgspec.Struct, frozen=True):
    """One document that does not fit its class.

    ``path`` is the field path (``"address.zip"``, ``"tags[3]"``; empty for the document itself),
    ``id`` its ``_id`` (None if it has none yet), ``reason`` what is wrong there.
    """

    id: Any
    path: str
    reason: str


class DocumentValidationError(MongospecError, msgspec.ValidationError):
    """Documents that do not fit their class, on a read or before a write.

    ``document_class`` is the class, ``failures`` has one :class:`InvalidDocument` for every
    document; ``id``, ``path`` and ``reason`` are those of the first. Nothing was written.
    """

    def __init__(
        self, document_class: type, failures: Sequence[InvalidDocument], advice: str
    ) -> None:
        self.document_class = document_class
        self.failures: tuple[InvalidDocument, ...] = tuple(failures)
        self.advice = advice
        self.id: Any = self.failures[0].id
        self.path: str = self.failures[0].path
        self.reason: str = self.failures[0].reason
        name = document_class.__name__
        text = "; ".join(
            f"{name}{'.' + cut(each.path) if each.path else ''}"
            f"{'' if each.id is None else f' of _id={shown(each.id)}'}: {cut(each.reason)}"
            for each in self.failures[:_SHOWN]
        )
        more = len(self.failures) - _SHOWN
        super().__init__(text + (f"; and {more} more" if more > 0 else "") + f" ({advice})")


class EncodingError(MongospecError, ValueError):
    """A value that BSON cannot hold, or a document over the size limit; nothing was sent."""


class MissingIdError(MongospecError, ValueError):
    """``save()`` or ``delete()`` of a document that has no ``_id``."""


class InvalidIdError(MongospecError, ValueError):
    """A value that cannot be an id of the class."""


class DocumentNotFoundError(MongospecError, RuntimeError, LookupError):
    """A document does not exist: ``get_one()``, ``get_by_id()``, ``reload()``, ``save()``.

    ``document_class`` is its class, ``filter`` the caller's filter.
    """

    def __init__(self, message: str, document_class: type, filter: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.document_class = document_class
        self.filter = filter


class StaleDocumentError(MongospecError, RuntimeError):
    """The stored document has another version: another write changed it after it was read.

    ``document`` is the document that was not written, ``expected`` the version that was read. Read
    it again, and repeat the change. The error of a write of many documents is also a
    :class:`BulkWriteError`; ``document`` is then the first of them.
    """

    def __init__(self, message: str, *, document: Any = None, expected: int | None = None) -> None:
        super().__init__(message)
        self.document: Any = document
        self.expected: int | None = expected


class CursorClosedError(MongospecError):
    """A cursor was read after ``close()``."""


class TransactionError(MongospecError):
    """An operation that cannot take part in the transaction it was called in; it was not sent."""


class TransactionClosedError(TransactionError):
    """An operation of a task that outlived its ``transaction()`` block; it was not sent."""


class OperationError(MongospecError, mongojet.PyMongoError):
    """An error of the server or the network.

    ``outcome``, the server's ``code`` (None for a network error), its error ``labels`` and
    ``details`` (the server's whole reply, if there was one). ``__cause__`` is mongojet's error.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome = "unknown",
        code: int | None = None,
        labels: frozenset[str] = frozenset(),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.code = code
        self.labels = labels
        self.details = details

    def __str__(self) -> str:
        # Logs have only the text, so it includes whether something may be in the database.
        text = super().__str__()
        return text + _SAID[self.outcome] if self.outcome in _SAID else text

    def has_error_label(self, label: str) -> bool:
        """Return whether the server or the driver put *label* on this error.

        :param label: for example ``"TransientTransactionError"``.
        """
        return label in self.labels


class ServerUnavailableError(OperationError, ConnectionError):
    """No server could be selected, or the connection could not be made; nothing was sent."""


class OperationTimeoutError(OperationError, TimeoutError):
    """The operation did not end within its time; a write's ``outcome`` is then ``"unknown"``."""


class DuplicateKeyError(OperationError, mongojet.DuplicateKeyError):
    """A unique index refused the write.

    ``key_pattern`` (``{"email": 1}``) and ``key_value`` (``{"email": "a@b.c"}``) are the server's if
    it sent them; after an insert, the value is the document's own.
    """

    def __init__(
        self,
        message: str,
        *,
        index: str | None = None,
        key_pattern: Mapping[str, Any] | None = None,
        key_value: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.index = index
        self.key_pattern = key_pattern
        self.key_value = key_value


class WriteFailure(msgspec.Struct, frozen=True):
    """One document or operation that was not carried out.

    ``index`` is its position in the caller's list, ``document`` the item there; ``code`` is None if
    it was not attempted because an earlier one failed. ``expected`` is the version that was read, if
    the stored document has another.
    """

    index: int
    code: int | None
    message: str
    document: Any
    key_pattern: Mapping[str, Any] | None = None
    key_value: Mapping[str, Any] | None = None
    expected: int | None = None


class BulkInsertError(OperationError):
    """``insert_many`` did not insert every document.

    ``inserted``, ``failures`` (with their index, code and key) and ``unknown`` (documents whose
    batch got no reply) partition the caller's documents. After the abort of a ``transaction()`` that the
    error left, nothing is stored: ``inserted`` and ``unknown`` are empty.
    """

    def __init__(
        self,
        message: str,
        *,
        inserted: Sequence[Any],
        failures: Sequence[WriteFailure],
        unknown: Sequence[Any],
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.inserted: list[Any] = list(inserted)
        self.failures: list[WriteFailure] = list(failures)
        self.unknown: list[Any] = list(unknown)


class BulkWriteError(OperationError):
    """``bulk_write`` or ``save_many`` did not carry out every operation.

    ``results`` has the counts, ``failures`` each operation that failed, ``unknown`` those whose
    batch got no reply.
    """

    def __init__(
        self,
        message: str,
        *,
        results: Any,
        failures: Sequence[WriteFailure],
        unknown: Sequence[Any],
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.results = results
        self.failures: list[WriteFailure] = list(failures)
        self.unknown: list[Any] = list(unknown)


class CollectionConflictError(OperationError):
    """A collection has other options, or another validator, than its classes declare."""


class IndexConflictError(OperationError):
    """The declared indexes conflict with those of the collection; nothing was created."""
