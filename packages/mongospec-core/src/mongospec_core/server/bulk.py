"""Many writes in few commands: cut by the server's limits, and every statement's fate noted.

A write command answers ``ok: 1`` also where single statements failed; what became of each stands in
``writeErrors``, ``n`` and ``upserted``. :class:`Sent` holds it by the statements' places;
``insert_many`` has an :class:`Account` of its own, made of the driver's errors.
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
from mongospec_core.server.driver_call import CancelledCall
from mongospec_core.server.driver_errors import REFUSED_WHOLE, UNKNOWN_CODES
from mongospec_core.server.operation import Operation, outcome_of

type Kind = Literal["insert", "update", "delete"]

_FIELD: dict[Kind, str] = {"insert": "documents", "update": "updates", "delete": "deletes"}
_MOST = 100_000  # statements that the server takes in one command
_MOST_BYTES = 16_000_000  # it takes 16 MB and 16 KB in a command's body
_FRAME = 9  # bytes around a statement in the command's array: its type, its number


class Statement(msgspec.Struct, frozen=True):
    """One write of a command: its kind, its BSON, and what it is about, for errors."""

    kind: Kind
    data: bytes
    about: Any
    many: bool = False
    """Whether it may change many documents: if it fails, some of them may be changed."""
    alone: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    """Sends it by itself in place of the command, and returns what a command's reply would say."""


class Account:
    """What became of each of many writes, which are known by their places.

    :param about: what each is about, for errors.
    :param indexes: where they stand in the caller's list; default: as here.
    """

    def __init__(self, about: Sequence[Any], indexes: Sequence[int] | None = None) -> None:
        self.about = about
        self.indexes: Sequence[int] = range(len(about)) if indexes is None else indexes
        self.failures: dict[int, WriteFailure] = {}
        self.unknown: set[int] = set()
        self.partly: bool = False  # whether one failed that may have changed some documents
        self.error: Exception | None = None  # the first that many of them ended in

    def outcome(self, place: int) -> Outcome:
        """What became of one write."""
        if place in self.failures:
            return "not_applied"
        return "unknown" if place in self.unknown else "applied"

    def applied(self) -> list[int]:
        """The places of the writes that were carried out."""
        return [n for n in range(len(self.about)) if self.outcome(n) == "applied"]

    def fail(self, places: Iterable[int], code: int | None, message: str, **key: Any) -> None:
        """Note that writes were not carried out."""
        for place in places:
            index, about = self.indexes[place], self.about[place]
            self.failures[place] = WriteFailure(index, code, message, about, **key)

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
        """The outcome of all together.

        :param otherwise: what it is if none failed and none is unknown.
        """
        if self.unknown or self.partly:
            return "unknown"
        if self.failures:
            return "partial" if len(self.failures) < len(self.about) else "not_applied"
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
        """The error that says what became of all.

        :param did: what those did that were carried out, for the message.
        :param otherwise: the outcome if none failed and none is unknown.
        :param more: what else the error is made of.
        """
        done = len(self.about) - len(self.failures) - len(self.unknown)
        failures = [self.failures[place] for place in sorted(self.failures)]
        told = "; ".join(f"[{each.index}] {cut(each.message)}" for each in failures[:3])
        first = self.error if isinstance(self.error, OperationError) else None
        return kind(
            f"{operation}: {done} {did}, {len(failures)} failed, {len(self.unknown)} unknown"
            f"{': ' + told if told else ''}",
            failures=failures,
            unknown=[self.about[place] for place in sorted(self.unknown)],
            outcome=self.whole(otherwise),
            code=first.code if first else next((each.code for each in failures), None),
            labels=first.labels if first else frozenset(),
            **more,
        )


class Sent(Account):
    """What became of a list of statements, and the server's counts."""

    def __init__(
        self, statements: Sequence[Statement], indexes: Sequence[int] | None = None
    ) -> None:
        super().__init__([each.about for each in statements], indexes)
        self.statements = statements
        self.inserted: int = 0
        self.matched: int = 0
        self.modified: int = 0
        self.deleted: int = 0
        self.upserted: dict[int, Any] = {}

    def note_reply(
        self, kind: Kind, places: Sequence[int], reply: Mapping[str, Any], *, ordered: bool
    ) -> None:
        """Note what a command's reply says of its statements."""
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


_KEY = ("key_pattern", "key_value", "expected")
_NOT_ATTEMPTED = "not attempted: an earlier one failed"


async def send_statements(
    call: Operation,
    sent: Sent,
    *,
    ordered: bool,
    repeatable: bool = False,
) -> None:
    """Send the statements of *sent*, in as few commands as their kinds and the limits allow.

    What became of each is noted in *sent*, also where this raises: only a cancellation does.

    :param ordered: keep their order and stop at the first that fails; otherwise statements of one
        kind go out together, and the rest goes on after a failure and after a write concern error.
    :param repeatable: carrying them out twice does no harm, so a command whose reply was lost may
        be sent once more.
    """
    commands = list(_commands(sent.statements, ordered=ordered))
    for number, (kind, places) in enumerate(commands):
        alone = sent.statements[places[0]].alone
        try:
            reply = await (
                call.write_command(
                    kind,
                    _FIELD[kind],
                    [sent.statements[place].data for place in places],
                    ordered=ordered,
                    repeatable=repeatable,
                )
                if alone is None
                else alone()
            )
        except BaseException as error:
            sent.note_error(places, error)
            if alone is not None and _is_refused(error):
                if not ordered:
                    continue
                _skip(sent, commands[number + 1 :])
                return
            carried_out = _reply_with(error)
            if carried_out is not None:
                sent.note_reply(kind, places, carried_out, ordered=ordered)
            if isinstance(error, OperationError):
                sent.error = sent.error or error
                if carried_out is not None and not ordered:
                    continue
            _skip(sent, commands[number + 1 :])
            if not isinstance(error, OperationError):
                if isinstance(error, CancelledCall):
                    error.outcome = sent.whole()
                raise
            return
        sent.note_reply(kind, places, reply, ordered=ordered)
        if ordered and reply.get("writeErrors"):
            _skip(sent, commands[number + 1 :])
            return


def _reply_with(error: BaseException) -> Mapping[str, Any] | None:
    """The reply of a command that was carried out, though it ended in an error."""
    if isinstance(error, CancelledCall):
        reply: Mapping[str, Any] | None = error.reply
        return reply
    if isinstance(error, OperationError) and error.outcome in ("applied", "partial"):
        return error.details
    return None


def _is_refused(error: BaseException) -> bool:
    """Whether a statement that was sent by itself failed, and the next may be sent."""
    refused = isinstance(error, MongospecError) and error.outcome == "not_applied"
    return refused and not isinstance(error, ServerUnavailableError)


def _skip(sent: Sent, commands: Iterable[tuple[Kind, list[int]]]) -> None:
    for _, places in commands:
        sent.fail(places, None, _NOT_ATTEMPTED)


def _commands(
    statements: Sequence[Statement], *, ordered: bool
) -> Iterator[tuple[Kind, list[int]]]:
    """The places of the statements of each command."""
    places: Iterable[int] = range(len(statements))
    if not ordered:
        kinds = list(_FIELD)
        places = sorted(places, key=lambda place: kinds.index(statements[place].kind))
    batch: list[int] = []
    size = 0
    for place in places:
        statement = statements[place]
        needed = len(statement.data) + _FRAME
        full = len(batch) == _MOST or size + needed > _MOST_BYTES
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
