"""The driver's cursor: one batch at a time; none is lost if its fetch is given up."""

import struct
from collections.abc import Coroutine
from typing import Any, Protocol

from mongospec_core.errors import OperationError
from mongospec_core.server.driver_call import CANCEL_GRACE_SECONDS, UninterruptedCall

EMPTY = b"\x05\x00\x00\x00\x00"
"""BSON of a document or a batch without anything in it."""

_size = struct.Struct("<I").unpack_from  # a damaged one never leads back
_FIRST_BATCH = 101  # the server's default for the first batch
_HALF_REPLY = 8_000_000  # a larger batch may have been cut by the 16 MB limit of a reply


class CoreCursor(Protocol):
    """The Rust object of a cursor."""

    def next_batch(self) -> Coroutine[Any, Any, bytes]: ...
    def collect(self) -> Coroutine[Any, Any, bytes]: ...


class DriverCursor:
    """A cursor of the driver, and the fetch that is in flight on it.

    :param size: the batch size that was asked for; None: the server's default.
    :param limit: the maximum number of documents; 0: all.
    :param in_session: whether it belongs to a session: its calls are then awaited even if they are
        cancelled, because the session cannot be used before they end.
    """

    __slots__ = ("_core", "_first", "_last", "_left", "_pending", "_size", "patience")

    def __init__(
        self, core: CoreCursor, size: int | None, limit: int = 0, *, in_session: bool = False
    ) -> None:
        self._core = core
        self._size = size
        self._left = limit or None
        self._pending: UninterruptedCall[bytes] | None = None
        self._first = True
        self._last = b""
        self.patience: float = CANCEL_GRACE_SECONDS if in_session else 0.0

    def fetch(self, seconds: float | None) -> UninterruptedCall[bytes]:
        """Fetch the next batch within *seconds*; a fetch that was given up is continued.

        An empty batch is the end, unless the server returned early, as it may do again. The fetch
        after it returns all that is left; if that is empty too, it is the end.

        :raises Exception: the driver's error of an earlier fetch, every time.
        """
        if self._pending is not None and self._pending.failure is not None:
            # The driver has closed its cursor: a further fetch would report the end.
            raise self._pending.failure
        if self._pending is None:
            fetch = self._core.collect if self._last == EMPTY else self._core.next_batch
            self._pending = UninterruptedCall(fetch(), self.patience)
        self._pending.seconds = seconds
        return self._pending

    def arrived(self, batch: bytes) -> list[bytes]:
        """Note that the caller received the batch; return its documents.

        :raises OperationError: it is damaged; the next fetch returns it again.
        """
        documents = split_documents(batch)
        self._pending = None
        self._first = self._last == b""
        self._last = batch
        return documents

    def asks_server(self) -> bool:
        """Return whether the next fetch sends a ``getMore``, which the driver does not report.

        The first batch came with the query. The server keeps the cursor open after a batch of the
        requested size (below the limit), or one that the size of a reply cut.
        """
        if not self._last:
            return False
        count = len(split_documents(self._last))
        if self._left is not None:
            self._left -= count
            if self._left <= 0:
                return False
        size = self._size or (_FIRST_BATCH if self._first else None)
        return count == size or len(self._last) > _HALF_REPLY


def split_documents(batch: bytes) -> list[bytes]:
    """Split a batch, which is BSON of ``{"0": document, "1": document, ...}``, into documents.

    :raises OperationError: the batch is damaged, so it cannot be split.
    """
    parts: list[bytes] = []
    place = 4
    end = len(batch) - 1
    try:
        while place < end:
            start = batch.index(0, place) + 1
            place = start + _size(batch, start)[0]
            parts.append(batch[start:place])
    except (ValueError, struct.error):
        place = 0
    if place != end and batch:
        raise OperationError(
            "a reply of the server is damaged: its documents cannot be told apart",
            outcome="not_applied",
        )
    return parts
