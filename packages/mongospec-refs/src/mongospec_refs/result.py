"""What ``insert_recursive()`` gives back."""

from typing import Any, Unpack

from mongospec_core.extension import DeleteOptions, begin
from mongospec_refs.errors import RecursiveRollbackError
from mongospec_refs.undoing import Created, delete
from mongospec_refs.uninterrupted import uninterrupted


class RecursiveInsertResult[D]:
    """What ``insert_recursive()`` created.

    ``document`` is the root; ``created_documents`` lists all that were inserted, in that order:
    referenced documents before those that refer to them.

    .. code-block:: python

        result = await Post(title="Hello", author=User(name="Alice")).insert_recursive()
        [type(each).__name__ for each in result.created_documents]  # ['User', 'Post']
        await result.rollback()  # 2
    """

    def __init__(self, document: D) -> None:
        self.document = document
        self.created_documents: list[Any] = []
        self._left: list[Created] = []

    def __repr__(self) -> str:
        names = ", ".join(type(each).__name__ for each in self.created_documents)
        return f"RecursiveInsertResult(created_documents=[{names}])"

    async def rollback(self, **options: Unpack[DeleteOptions]) -> int:
        """Delete what was created, in reverse order: one ``delete`` command a class.

        The documents are new again, and an ``_id`` that mongospec had made is taken back, so the
        graph can be inserted anew. A cancellation does not break it off. Called again, it deletes
        what it could not delete before; else it sends nothing and gives 0.

        :param options: the driver's, for example ``session`` or ``timeout``.
        :returns: how many documents were deleted.
        :raises RecursiveRollbackError: some could not be deleted.

        .. code-block:: python

            result = await post.insert_recursive()
            await result.rollback()
        """

        async def work() -> int:
            undone = await delete(
                self._left,
                lambda cls: begin(cls, "rollback", "delete_many", options, "write")[1],
                trust=True,
            )
            self._left = undone.left
            if undone.failures:
                raise RecursiveRollbackError(
                    f"{len(undone.left)} of {len(undone.left) + undone.deleted} documents were not "
                    f"deleted, rollback() may be called again: {undone.failures[0].error}",
                    failures=undone.failures,
                    deleted_count=undone.deleted,
                ) from undone.failures[0].error
            return undone.deleted

        return await uninterrupted(work())
