"""Results of operations, besides documents."""

from typing import Any, Self

import msgspec


class UpdateResult(int):
    """The number of documents that an update changed, with the rest of the server's reply.

    ``matched_count`` documents matched, ``modified_count`` were changed, ``upserted_id`` is the
    ``_id`` of the one that an upsert inserted, or None.

    >>> result = UpdateResult(2, 1)
    >>> result == 1, result.matched_count
    (True, 2)
    """

    matched_count: int
    modified_count: int
    upserted_id: Any

    def __new__(cls, matched_count: int, modified_count: int, upserted_id: Any = None) -> Self:
        self = super().__new__(cls, modified_count)
        self.matched_count = matched_count
        self.modified_count = modified_count
        self.upserted_id = upserted_id
        return self

    def __repr__(self) -> str:
        return (
            f"UpdateResult(matched_count={self.matched_count}, "
            f"modified_count={self.modified_count}, upserted_id={self.upserted_id!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.matched_count, self.modified_count, self.upserted_id)


class BulkResult(msgspec.Struct):
    """The counts of a bulk write; ``upserted_ids`` by the position of the operation."""

    inserted_count: int = 0
    matched_count: int = 0
    modified_count: int = 0
    deleted_count: int = 0
    upserted_ids: dict[int, Any] = {}
