"""Many writes in few commands: split by the server's limits, with the outcome of each statement.

A write command replies ``ok: 1`` even if single statements failed; their outcomes are in
``writeErrors``, ``n`` and ``upserted``. :class:`BulkState` keeps them by the statements' positions;
``insert_many`` has its own :class:`Account`, filled from the driver's errors.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from mongospec_core.errors import (
    BulkInsertError,
    BulkWriteError,
    MongospecError,
    OperationError,
    Outcome,
    ServerUnavailableError,
    WriteFailure,
    cut,
)
from mongospec_core.limits import MAX_COMMAND_BYTES, MAX_STATEMENTS
from mongospec_core.server.driver_call import CancelledCall
from mongospec_core.server.driver_errors import REFUSED_WHOLE, UNKNOWN_CODES
from mongospec_core.server.operation import Operation, outcome_of

type Kind = Literal["insert", "update", "delete"]

_FIELD: dict[Kind, str] = {"insert": "documents", "update": "updates", "delete": "deletes"}
_FRAME = 9  # bytes around a statement in the command's array: its type, its number


class Statement(msgspec.Struct, frozen=True):
    """One write of a command: its kind, its BSON, and its source, for errors."""

    kind: Kind
    data: bytes
    source: Any
    many: bool = False
    """Whether it may change many documents: if it fails, some of them may be changed."""
    alone: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    """Sends it by itself in place of the command, and returns what the command would reply."""


class Account:
    """The outcome of each of many writes, by their positions.

    :param sources: what each was made of, for errors.
    :param indexes: their positions in the caller's list; default: the same as here.
    """

    def __init__(self, sources: Sequence[Any], indexes: Sequence[int] | None = None) -> None:
        self.sources = sources
        self.indexes: Sequence[int] = range(len(sources)) if indexes is None else indexes
        self.failures: dict[int, WriteFailure] = {}
        self.unknown: set[int] = set()
        self.partly: bool = False  # whether one failed that may have changed some documents
        self.error: Exception | None = None  # the first that many of them ended in

    def outcome(self, place: int) -> Outcome:
        """Return the outcome of one write."""
        if place in self.failures:
            return "not_applied"
        return "unknown" if place in self.unknown else "applied"

    def applied(self) -> list[int]:
        """Return the positions of the writes that were carried out."""
        return [n for n in range(len(self.sources)) if self.outcome(n) == "applied"]

    def fail(self, places: Iterable[int], code: int | None, message: str, **key: Any) -> None:
        """Note that writes were not carried out."""
        for place in places:
            index, source = self.indexes[place], self.sources[place]
            self.failures[place] = WriteFailure(index, code, message, source, **key)

    def note_error(self, places: Iterable[int], error: BaseException) -> None:
        """Note an error that is the same for all writes that were sent together."""
        outcome = outcome_of(error)
        if outcome == "unknown":
            self.unknown.update(places)
        elif outcome == "not_applied":
            key = {name: getattr(error, name, None) for name in _KEY}
            message = str(error) or "cancelled before it was sent"
            self.fail(places, getattr(error, "code", None), message, **key)

    def whole(self, otherwise: Outcome = "applied") -> Outcome:
        """Return the outcome of all writes together.

        :param otherwise: the outcome if none failed and none is unknown.
        """
        if self.unknown or self.partly:
            return "unknown"
        if self.failures:
            return "partial" if len(self.failures) < len(self.sources) else "not_applied"
        return otherwise

    def error_of[E: BulkInsertError | BulkWriteError](
        self,
        kind: type[E],
        operation: str,
        did: str,
        *,
        otherwise: Outcome = "applied",
        **more: Any,
    ) -> E:
        """Return the error with the outcomes of all writes.

        :param did: what the applied writes did, for the message.
        :param otherwise: the outcome if none failed and none is unknown.
        :param more: further arguments of the error.
        """
        done = len(self.sources) - len(self.failures) - len(self.unknown)
        failures = [self.failures[place] for place in sorted(self.failures)]
        reasons = "; ".join(f"[{each.index}] {cut(each.message)}" for each in failures[:3])
        first = self.error if isinstance(self.error, OperationError) else None
        return kind(
            f"{operation}: {done} {did}, {len(failures)} failed, {len(self.unknown)} unknown"
            f"{': ' + reasons if reasons else ''}",
            failures=failures,
            unknown=[self.sources[place] for place in sorted(self.unknown)],
            outcome=self.whole(otherwise),
            code=first.code if first else next((each.code for each in failures), None),
            labels=first.labels if first else frozenset(),
            **more,
        )


class BulkState(Account):
    """The outcomes of a list of statements, and the server's counts."""

    error: Exception | None

    def __init__(
        self, statements: Sequence[Statement], indexes: Sequence[int] | None = None
    ) -> None:
        super().__init__([each.source for each in statements], indexes)
        self.statements = statements
        self.inserted: int = 0
        self.matched: int = 0
        self.modified: int = 0
        self.deleted: int = 0
        self.upserted: dict[int, Any] = {}

    def record_reply(
        self, kind: Kind, places: Sequence[int], reply: Mapping[str, Any], *, ordered: bool
    ) -> None:
        """Note the outcomes in a command's reply."""
        errors: Sequence[Mapping[str, Any]] = reply.get("writeErrors", ())
        for error in errors:
            key: dict[str, Any] = {
                "key_pattern": error.get("keyPattern"),
                "key_value": error.get("keyValue"),
            }
            place = places[int(error["index"])]
            if error["code"] in UNKNOWN_CODES:
                self.unknown.add(place)
                continue
            self.fail([place], error["code"], error.get("errmsg", ""), **key)
            if self.statements[place].many and error["code"] not in REFUSED_WHOLE:
                self.partly = True
        if errors and ordered:
            self.fail(places[errors[-1]["index"] + 1 :], None, _NOT_ATTEMPTED)
        count = int(reply.get("n", 0))
        if kind == "insert":
            self.inserted += count
        elif kind == "delete":
            self.deleted += count
        else:
            upserted: Sequence[Mapping[str, Any]] = reply.get("upserted", ())
            self.matched += count - len(upserted)
            self.modified += int(reply.get("nModified", 0))
            self.upserted.update({places[each["index"]]: each["_id"] for each in upserted})

    async def send(self, call: Operation, *, ordered: bool, repeatable: bool = False) -> None:
        """Send the statements, in as few commands as their kinds and the limits allow.

        The outcomes are noted in it, even if this raises, which only a cancellation causes.

        :param ordered: keep their order and stop at the first that fails; otherwise statements of one
            kind are sent together, and the rest is sent even after a failure or a write concern error.
        :param repeatable: applying them twice does no harm, so a command whose reply was lost may be
            sent once more.
        """
        commands = list(_commands(self.statements, ordered=ordered))
        for number, (kind, places) in enumerate(commands):
            alone = self.statements[places[0]].alone
            try:
                reply = await (
                    call.write_command(
                        kind,
                        _FIELD[kind],
                        [self.statements[place].data for place in places],
                        ordered=ordered,
                        repeatable=repeatable,
                    )
                    if alone is None
                    else alone()
                )
            except BaseException as error:
                self.note_error(places, error)
                if alone is not None and _is_refused(error):
                    if not ordered:
                        continue
                    self._skip(commands[number + 1 :])
                    return
                carried_out = _reply_with(error)
                if carried_out is not None:
                    self.record_reply(kind, places, carried_out, ordered=ordered)
                if isinstance(error, OperationError):
                    self.error = self.error or error
                    if carried_out is not None and not ordered:
                        continue
                self._skip(commands[number + 1 :])
                if isinstance(error, CancelledCall):
                    error.outcome = self.whole()
                if not isinstance(error, OperationError):
                    raise
                return
            self.record_reply(kind, places, reply, ordered=ordered)
            if ordered and reply.get("writeErrors"):
                self._skip(commands[number + 1 :])
                return

    def _skip(self, commands: Iterable[tuple[Kind, list[int]]]) -> None:
        for _, places in commands:
            self.fail(places, None, _NOT_ATTEMPTED)


_KEY = ("key_pattern", "key_value", "expected")
_NOT_ATTEMPTED = "not attempted: an earlier one failed"


def _reply_with(error: BaseException) -> Mapping[str, Any] | None:
    """Return the reply of a command that was applied although it ended in an error."""
    if isinstance(error, CancelledCall):
        reply: Mapping[str, Any] | None = error.reply
        return reply
    if isinstance(error, OperationError) and error.outcome in ("applied", "partial"):
        return error.details
    return None


def _is_refused(error: BaseException) -> bool:
    """Return whether a statement that was sent by itself failed, and the next may be sent."""
    refused = isinstance(error, MongospecError) and error.outcome == "not_applied"
    return refused and not isinstance(error, ServerUnavailableError)


def _commands(
    statements: Sequence[Statement], *, ordered: bool
) -> Iterator[tuple[Kind, list[int]]]:
    """Return the positions of the statements of each command."""
    places: Iterable[int] = range(len(statements))
    if not ordered:
        kinds = list(_FIELD)
        places = sorted(places, key=lambda place: kinds.index(statements[place].kind))
    batch: list[int] = []
    size = 0
    for place in places:
        statement = statements[place]
        needed = len(statement.data) + _FRAME
        full = len(batch) == MAX_STATEMENTS or size + needed > MAX_COMMAND_BYTES
        if batch and (
            full
            or statements[batch[0]].kind != statement.kind
            or statement.alone is not None
            or statements[batch[0]].alone is not None
        ):
            yield statements[batch[0]].kind, batch
            batch, size = [], 0
        batch.append(place)
        size += needed
    if batch:
        yield statements[batch[0]].kind, batch
