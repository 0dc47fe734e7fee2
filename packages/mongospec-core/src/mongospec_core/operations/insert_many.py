"""insert_many: batches and the outcome of every document."""

from collections.abc import Iterable, Sequence
from typing import Any

import mongojet

from mongospec_core.codec.codec_options import decode
from mongospec_core.errors import (
    BulkInsertError,
    MongospecError,
    OperationTimeoutError,
    WriteFailure,
)
from mongospec_core.limits import MAX_MESSAGE_BYTES, MAX_STATEMENTS
from mongospec_core.model.ids import Ids
from mongospec_core.model.snapshot import StoredForm, snapshot_of
from mongospec_core.model.write import apply_outcome
from mongospec_core.server.bulk import Account
from mongospec_core.server.driver_call import CancelledCall
from mongospec_core.server.driver_errors import UNKNOWN_CODES, duplicate_key
from mongospec_core.server.driver_text import write_errors
from mongospec_core.server.operation import Operation, outcome_of


class InsertMany(Account):
    """One insert_many on its way: batches out, every document's outcome noted."""

    def __init__(
        self,
        call: Operation,
        ids: Ids,
        documents: Sequence[Any],
        encoded: Sequence[bytes],
        ordered: bool,
    ) -> None:
        super().__init__(documents)
        self.call = call
        self.ids = ids
        self.documents = documents
        self.encoded = encoded
        self.ordered = ordered
        self.before: list[StoredForm] = [snapshot_of(each) for each in documents]
        self.named: bool = False  # whether the server named single documents

    async def run(self) -> None:
        """Send all batches; raise once the outcome of every document is known."""
        end = 0
        for start, end in self._batches():
            try:
                await self.call.send("insert_many", list(self.encoded[start:end]))
            except MongospecError as error:
                if not self._note(error, start, end):
                    break
            except BaseException as error:  # cancelled
                self.note_error(range(start, end), error)
                self._settle(end)
                if isinstance(error, CancelledCall):
                    error.outcome = self.whole()
                raise
        self._settle(end)
        if self.error is not None:
            raise self._error(self.error) from self.error.__cause__ or self.error

    def _batches(self) -> Iterable[tuple[int, int]]:
        if len(self.encoded) <= MAX_STATEMENTS and sum(map(len, self.encoded)) <= MAX_MESSAGE_BYTES:
            yield 0, len(self.encoded)
            return
        start = size = 0
        for place, data in enumerate(self.encoded):
            if place - start == MAX_STATEMENTS or (size and size + len(data) > MAX_MESSAGE_BYTES):
                yield start, place
                start, size = place, 0
            size += len(data)
        yield start, len(self.encoded)

    def _note(self, error: Exception, start: int, end: int) -> bool:
        """Note what an error says of its batch; whether the next batch may be sent."""
        cause = error.__cause__
        named = write_errors(str(cause)) if isinstance(cause, mongojet.PyMongoError) else []
        failures: dict[int, WriteFailure] = {}
        unknown: set[int] = set()
        for index, number, message in named:
            place = start + index
            if number in UNKNOWN_CODES:
                unknown.add(place)
                continue
            document = self.documents[place]
            _, pattern, value = duplicate_key(message, None, decode(self.encoded[place]))
            failure = WriteFailure(place, number, message, document, pattern, value)
            if not (self._is_first(place) and self.ids.is_inserted(self.call, document, failure)):
                failures[place] = failure
        after = range(start + named[0][0] + 1, end) if named and self.ordered else range(0)
        if named and not failures and not unknown and not after:
            return True
        self.error: Exception | None = self.error or error
        if named:
            self.named = True
            self.failures.update(failures)
            self.unknown.update(unknown)
            if failures or unknown:
                self.fail(after, None, "not attempted: an earlier document failed")
            else:  # they may have arrived with the one that was there
                self.unknown.update(after)
            return not self.ordered
        self.note_error(range(start, end), error)
        return outcome_of(error) == "applied"  # only the write concern failed

    def _is_first(self, place: int) -> bool:
        document = self.documents[place]
        return all(each is not document for each in self.documents[:place])

    def _settle(self, end: int) -> None:
        stored: set[int] = set()
        fine = end == len(self.documents) and not self.failures and not self.unknown
        if not fine:
            rest = range(end, len(self.documents))
            self.fail(rest, None, "not attempted: an earlier batch failed")
            stored = {
                id(document)
                for place, document in enumerate(self.documents)
                if self.outcome(place) != "not_applied"
            }
        revoke = self.ids.take_back
        each = zip(self.documents, self.before, self.encoded, strict=True)
        for place, (document, before, after) in enumerate(each):
            if place in self.failures and id(document) in stored:
                continue  # listed twice, inserted once
            outcome = "applied" if fine else self.outcome(place)
            apply_outcome(self.call, document, outcome, before=before, after=after, revoke=revoke)

    def _error(self, error: Exception) -> Exception:
        inserted = [self.documents[place] for place in self.applied()]
        if not inserted and not self.unknown and not self.named:
            return error  # it is the same for every document: the error says it all
        kind = _TimedOutInsertError if isinstance(error, OperationTimeoutError) else BulkInsertError
        return self.error_of(kind, self.call.operation, "inserted", inserted=inserted)


class _TimedOutInsertError(BulkInsertError, OperationTimeoutError):
    """Both: the outcome of every document, and that the time was up."""
