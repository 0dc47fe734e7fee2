"""The document class that users subclass: it combines all operations."""

from typing import dataclass_transform

import msgspec

from mongospec_core.operations.aggregate import AggregateOperations
from mongospec_core.operations.bulk_write import BulkOperations
from mongospec_core.operations.count import CountOperations
from mongospec_core.operations.delete import DeleteOperations
from mongospec_core.operations.get import GetOperations
from mongospec_core.operations.insert import InsertOperations
from mongospec_core.operations.page import PageOperations
from mongospec_core.operations.save import SaveManyOperations, SaveOperations
from mongospec_core.operations.update import UpdateOperations


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class MongoDocument(
    InsertOperations,
    GetOperations,
    PageOperations,
    SaveOperations,
    SaveManyOperations,
    UpdateOperations,
    DeleteOperations,
    CountOperations,
    AggregateOperations,
    BulkOperations,
    abstract=True,
):
    """A document of a MongoDB collection: a msgspec Struct with an ``_id``.

    Subclass it, annotate its fields (they are keyword-only), and pass the class to ``init()``.

    .. code-block:: python

        class User(MongoDocument):
            __collection_name__ = "users"
            __indexes__ = [IndexModel("email", unique=True)]

            name: str
            email: str
    """
