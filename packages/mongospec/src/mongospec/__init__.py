"""Async MongoDB documents: msgspec Structs on the mongojet driver, references included."""

from mongospec_core import (
    BulkInsertError as BulkInsertError,
)
from mongospec_core import (
    DefinitionError,
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    MongoDocument,
    MongospecError,
    close,
    init,
)

__all__ = (
    "BulkInsertError",
    "DefinitionError",
    "DocumentNotFoundError",
    "DocumentValidationError",
    "DuplicateKeyError",
    "MongoDocument",
    "MongospecError",
    "close",
    "init",
)
