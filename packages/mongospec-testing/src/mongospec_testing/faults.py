"""The faults of a proxy: each method makes a rule, which is in force until it is removed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from mongospec_testing.rules import (
    Action,
    Answer,
    CutConnection,
    CutMoment,
    Delay,
    Match,
    Moment,
    Names,
    Rewrite,
    RewriteBson,
    Rule,
    Stall,
    TransientError,
)
from mongospec_testing.traffic import Command
from mongospec_testing.wire import Body, encode

CODE_NAMES = {
    50: "MaxTimeMSExpired",
    64: "WriteConcernFailed",
    91: "ShutdownInProgress",
    112: "WriteConflict",
    189: "PrimarySteppedDown",
    251: "NoSuchTransaction",
    262: "ExceededTimeLimit",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11601: "Interrupted",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
}


class Faults(ABC):
    """The rules in force, and the ways to make one.

    Every rule takes the name of a command, several names, or ``None`` for all, and the options of
    :class:`~mongospec_testing.rules.Match`: ``where=`` (a predicate on the :class:`Command`), ``skip=``, ``times=``
    and ``monitoring=``. A rule is in force at once and until it is removed; as a context manager, to the end of the
    block. When several rules match, they act in the order in which they were made.
    """

    def __init__(self) -> None:
        self._rules: tuple[Rule, ...] = ()

    def delay(
        self, command: Names, seconds: float, *, at: Moment = "request", **match: Unpack[Match]
    ) -> Rule:
        """Hold a command (``at="request"``) or its reply (``at="reply"``) for *seconds*."""
        return self._add(command, match, Delay(seconds, at))

    def cut(
        self, command: Names = None, *, at: CutMoment = "request", **match: Unpack[Match]
    ) -> Rule:
        """Close the connection: before the server sees the command, or, with ``at="reply"``, after it has carried it
        out and answered (a lost reply); with ``at="mid-reply"``, after half of the reply.

        ``cut(monitoring=True)`` and then :meth:`disconnect` make a server that cannot be reached.
        """
        return self._add(command, match, CutConnection(at))

    def stall(
        self, command: Names = None, *, at: Moment = "request", **match: Unpack[Match]
    ) -> Rule:
        """Take the command and do not answer until the rule is removed.

        With ``at="request"`` the server does not see it until then, with ``at="reply"`` it has carried it out. When
        the rule is removed, the command or the reply is passed on, as with a server that was only slow.
        ``stall(monitoring=True)`` makes a server that accepts connections and never answers.
        """
        return self._add(command, match, Stall(at))

    def reply(
        self,
        command: Names,
        document: Mapping[str, Any],
        *,
        at: Moment = "request",
        **match: Unpack[Match],
    ) -> Rule:
        """Send this reply in place of the server's: without asking it, or, with ``at="reply"``, after it has carried
        the command out.
        """
        return self._add(command, match, Answer(encode(document), at))

    def fail(
        self,
        command: Names,
        code: int,
        *,
        message: str = "a fault made by the test",
        labels: Sequence[str] = (),
        at: Moment = "request",
        **match: Unpack[Match],
    ) -> Rule:
        """Reply with an error, without asking the server, or, with ``at="reply"``, after it has carried the command
        out.

        A ``commitTransaction`` that fails with the label ``TransientTransactionError`` aborts the transaction on the
        server, as with a real one: a repetition does not meet what the first attempt had written.

        :param code: the server's error code, for example 189 (PrimarySteppedDown).
        :param labels: error labels, for example ``["RetryableWriteError"]``, which a server adds if a driver may
            try again.
        """
        error: Body = {"ok": 0.0, **_error(code, message)}
        if labels:
            error["errorLabels"] = list(labels)
        transient = "TransientTransactionError" in labels and at == "request"
        kind = TransientError if transient else Answer
        return self._add(command, match, kind(encode(error), at))

    def write_concern_error(
        self,
        command: Names,
        code: int = 64,
        *,
        message: str = "waiting for replication timed out",
        labels: Sequence[str] = (),
        **match: Unpack[Match],
    ) -> Rule:
        """Let the server carry the command out, and add a ``writeConcernError`` to its reply."""

        def add(reply: Body) -> Body:
            reply["writeConcernError"] = _error(code, message)
            if labels:
                reply["errorLabels"] = list(labels)
            return reply

        return self.rewrite(command, add, **match)

    def rewrite(
        self, command: Names, change: Callable[[Body], Body], **match: Unpack[Match]
    ) -> Rule:
        """Deliver what *change* returns for the decoded reply. It runs in the proxy's thread."""
        return self._add(command, match, Rewrite(change))

    def rewrite_bson(
        self, command: Names, change: Callable[[bytes], bytes], **match: Unpack[Match]
    ) -> Rule:
        r"""Deliver what *change* returns for the reply's BSON, for what no encoder writes, such as invalid UTF-8.

        .. code-block:: python

            proxy.rewrite_bson("find", lambda reply: reply.replace(b"broken", b"br\xffken"))
        """
        return self._add(command, match, RewriteBson(change))

    def clear(self) -> None:
        """Remove all rules."""
        for rule in self._rules:
            rule.remove()

    def _matching(self, command: Command) -> list[Rule]:
        return [rule for rule in self._rules if rule.take(command)]

    def _add(self, names: Names, match: Match, action: Action) -> Rule:
        rule = Rule(names, match, action, self._remove)
        self._rules += (rule,)
        return rule

    def _remove(self, rule: Rule) -> None:
        self._rules = tuple(each for each in self._rules if each is not rule)
        self._end(rule)

    @abstractmethod
    def _end(self, rule: Rule) -> None:
        """Release the commands that the rule holds."""


def _error(code: int, message: str) -> Body:
    return {"errmsg": message, "code": code, "codeName": CODE_NAMES.get(code, f"Location{code}")}
