"""Typed MongoDB documents: msgspec Structs on the mongojet driver."""

from mongospec_core.codec.json import (
    ForPydantic,
    PydanticObjectId,
    dec_hook,
    enc_hook,
    schema_hook,
    type_decoders,
    type_encoders,
)
from mongospec_core.codec.raw_values import register_encoder
from mongospec_core.connection import close, connect, create_indexes, init, using
from mongospec_core.document import MongoDocument
from mongospec_core.errors import (
    BulkInsertError,
    BulkWriteError,
    CollectionConflictError,
    CursorClosedError,
    DefinitionError,
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    EncodingError,
    FilterValueError,
    HookError,
    IndexConflictError,
    InvalidDocument,
    InvalidIdError,
    MissingIdError,
    MongospecError,
    NotBoundError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    PageTokenError,
    ServerUnavailableError,
    StaleDocumentError,
    TransactionClosedError,
    TransactionError,
    UnknownFieldError,
    WriteFailure,
    WrongDatabaseError,
)
from mongospec_core.operations.cursor import Cursor
from mongospec_core.operations.filters import eq
from mongospec_core.operations.page import Page
from mongospec_core.operations.save import changes
from mongospec_core.results import BulkResult, UpdateResult
from mongospec_core.server.instrument import instrument
from mongospec_core.server.timeout import timeout
from mongospec_core.server.transaction import Transaction
from mongospec_core.server.transaction_blocks import (
    outside_transaction,
    run_in_transaction,
    transaction,
)

__all__ = (
    "BulkInsertError",
    "BulkResult",
    "BulkWriteError",
    "CollectionConflictError",
    "Cursor",
    "CursorClosedError",
    "DefinitionError",
    "DocumentNotFoundError",
    "DocumentValidationError",
    "DuplicateKeyError",
    "EncodingError",
    "FilterValueError",
    "ForPydantic",
    "HookError",
    "IndexConflictError",
    "InvalidDocument",
    "InvalidIdError",
    "MissingIdError",
    "MongoDocument",
    "MongospecError",
    "NotBoundError",
    "OperationError",
    "OperationTimeoutError",
    "OptionError",
    "Page",
    "PageTokenError",
    "PydanticObjectId",
    "ServerUnavailableError",
    "StaleDocumentError",
    "Transaction",
    "TransactionClosedError",
    "TransactionError",
    "UnknownFieldError",
    "UpdateResult",
    "WriteFailure",
    "WrongDatabaseError",
    "changes",
    "close",
    "connect",
    "create_indexes",
    "dec_hook",
    "enc_hook",
    "eq",
    "init",
    "instrument",
    "outside_transaction",
    "register_encoder",
    "run_in_transaction",
    "schema_hook",
    "timeout",
    "transaction",
    "type_decoders",
    "type_encoders",
    "using",
)
