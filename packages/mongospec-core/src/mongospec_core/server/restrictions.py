"""What cannot take part in a transaction, by MongoDB's rules and by ours."""

from collections.abc import Mapping
from typing import Any, Protocol

import mongojet

from mongospec_core.errors import TransactionError
from mongospec_core.server.driver import ClientSession
from mongospec_core.server.target import Target

_CONCERNS = frozenset({"read_concern", "write_concern", "read_preference"})
_REFUSED = frozenset({"estimated_document_count", "count", "explain", "listIndexes"})


class Participant(Protocol):
    """What a transaction wants to know of an operation that takes part."""

    @property
    def operation(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def session(self) -> ClientSession | None: ...
    @property
    def seconds(self) -> float: ...


def refuse_restricted(call: Participant, verb: str, client: mongojet.Client | None) -> None:
    """Refuse what cannot take part in a transaction of *client*.

    :raises TransactionError: it is such an operation.
    """
    name = call.operation
    if call.session is not None:
        raise TransactionError(
            f"{name}: session= names another session than the transaction's; leave it out, or "
            f"step out by outside_transaction()"
        )
    if verb in _REFUSED:
        raise TransactionError(
            f"{name}: MongoDB has no {verb} in transactions; step out by outside_transaction()"
        )
    if concerns := _CONCERNS & call.options.keys():
        raise TransactionError(
            f"{name}: {', '.join(sorted(concerns))} is the whole transaction's affair: "
            f"transaction(read_concern=..., write_concern=...); it reads from the primary"
        )
    if client is not None and call.target.client is not client:
        raise TransactionError(
            f"{name}: {call.target.owner} is bound to another client than the transaction's; "
            f"a transaction is of one client: name it in transaction(client)"
        )
