"""One operation: where it goes, in which session and transaction, in how much time."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from mongospec_core.server import driver
from mongospec_core.server.ambient import current
from mongospec_core.server.deadline import block_end, end_of
from mongospec_core.server.target import Target
from mongospec_core.server.transaction import Transaction


class Operation:
    """One operation of one caller: where it goes, in which session, in how much time.

    It may send several commands; they share the session and the time. It belongs to the transaction
    in which it was made, and can only be sent there.
    """

    __slots__ = (
        "_end",
        "operation",
        "options",
        "session",
        "target",
        "timeout",
        "transaction",
        "write",
    )

    def __init__(
        self,
        target: Target,
        operation: str,
        options: Mapping[str, Any],
        *,
        write: bool,
        session: driver.ClientSession | None = None,
        timeout: float | None = None,
    ) -> None:
        self.target: Target = target
        self.operation: str = operation
        self.options: Mapping[str, Any] = options
        self.write: bool = write
        self.session: driver.ClientSession | None = session
        self.timeout: float | None = timeout
        self.transaction: Transaction | None = current()
        self._end: float | None = None

    def on(
        self, target: Target, operation: str, options: Mapping[str, Any], *, write: bool
    ) -> Self:
        """A further call of the same operation: same session, same transaction, same time."""
        call = type(self)(
            target, operation, options, write=write, session=self.session, timeout=self.timeout
        )
        call.transaction = self.transaction
        call._end = self._end
        return call

    def sibling(self, verb: str, **options: Any) -> Self:
        """A further read of the same operation on the same collection, by the driver's *verb*."""
        assert options.keys() <= driver.OPTIONS[verb]
        return self.on(self.target, self.operation, options, write=False)

    def unlimited(self) -> Self:
        """The same call without a time of its own; blocks ``with timeout()`` still count."""
        call = self.on(self.target, self.operation, self.options, write=self.write)
        call.timeout, call._end = math.inf, None
        return call

    @property
    def seconds(self) -> float:
        """The time that it was given: its own, else its class's; infinity without one."""
        given = self.target.timeout if self.timeout is None else self.timeout
        return math.inf if given is None else given

    @property
    def certain(self) -> bool:
        """Whether an acknowledged write is there for good, or we learn it when it is not.

        In a session that the caller opened, a transaction may end without our knowing.
        """
        return self.session is None

    def on_abort(
        self, undo: Callable[[], None], *, unsure: Callable[[], None] | None = None
    ) -> None:
        """Call *undo* should the transaction that this call belongs to be aborted.

        :param unsure: called instead when nobody knows whether it was committed.
        """
        if self.transaction is not None:
            self.transaction._on_abort(undo, unsure or _nothing)

    def _until(self) -> float:
        if self._end is None:
            self._end = end_of(self.seconds)
        return min(self._end, block_end())


def _nothing() -> None:
    """For calls that have nothing to do when a commit's outcome is unknown."""
