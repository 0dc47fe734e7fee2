"""What a command of many statements says to its caller: counts, or an error that names each."""

from mongospec_core.errors import BulkWriteError, OperationError, OperationTimeoutError, Outcome
from mongospec_core.operations.results import BulkResult
from mongospec_core.server.door import Call
from mongospec_core.server.statements import Sent


def result_of(sent: Sent) -> BulkResult:
    """The counts of what was done."""
    return BulkResult(
        inserted_count=sent.inserted,
        matched_count=sent.matched,
        modified_count=sent.modified,
        deleted_count=sent.deleted,
        upserted_ids=sent.upserted,
    )


def raise_for(call: Call, sent: Sent) -> None:
    """Raise what went wrong, if anything did.

    :raises BulkWriteError: some statements failed, or their fate is not known.
    """
    if not sent.failures and not sent.unknown and sent.error is None:
        return
    done = len(sent.statements) - len(sent.failures) - len(sent.unknown)
    outcome: Outcome = "applied"
    if sent.unknown:
        outcome = "unknown"
    elif sent.failures:
        outcome = "partial" if done else "not_applied"
    failures = [sent.failures[place] for place in sorted(sent.failures)]
    shown = "; ".join(f"[{each.index}] {each.message}" for each in failures[:3])
    first = sent.error if isinstance(sent.error, OperationError) else None
    kind = _TimedOutBulkError if isinstance(first, OperationTimeoutError) else BulkWriteError
    raise kind(
        f"{call.operation}: {done} done, {len(failures)} failed, {len(sent.unknown)} unknown"
        f"{': ' + shown if shown else ''}",
        results=result_of(sent),
        failures=failures,
        unknown=[sent.statements[place].about for place in sorted(sent.unknown)],
        outcome=outcome,
        code=first.code if first else next((each.code for each in failures), None),
        labels=first.labels if first else frozenset(),
    ) from sent.error


class _TimedOutBulkError(BulkWriteError, OperationTimeoutError):
    """Both: what is known of every operation, and that time was up."""
