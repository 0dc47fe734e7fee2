"""References between mongospec documents.

A field typed as a document class is a reference: stored as the plain ``_id``, read back as the
document. Use this package's :class:`MongoDocument` in place of core's.
"""

from mongospec_refs.document import MongoDocument
from mongospec_refs.errors import (
    CascadeSaveError,
    MissingReferenceError,
    RecursiveInsertError,
    RecursiveRollbackError,
    RollbackFailure,
    UnresolvedReferenceError,
    UnsavedReferenceError,
)
from mongospec_refs.insert_recursive import RecursiveInsertResult
from mongospec_refs.to_builtins import to_builtins
from mongospec_refs.unresolved import is_resolved

__all__ = (
    "CascadeSaveError",
    "MissingReferenceError",
    "MongoDocument",
    "RecursiveInsertError",
    "RecursiveInsertResult",
    "RecursiveRollbackError",
    "RollbackFailure",
    "UnresolvedReferenceError",
    "UnsavedReferenceError",
    "is_resolved",
    "to_builtins",
)
