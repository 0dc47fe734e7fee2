"""Every fault that can meet a command, made by the proxy: the columns of the matrix."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from mongospec_testing import Command, FaultProxy

DEADLINE = 0.5
"""Seconds that an operation gets, of which the server's answer takes all."""

type Cancel = Literal["before", "during", "twice", "hung", "anywhen"]


@dataclass(frozen=True)
class Place:
    """One command of an operation: its number and name, and how many of the same name come before it."""

    number: int
    command: str
    skip: int

    @property
    def name(self) -> str:
        return f"{self.number}. {self.command}"


@dataclass(frozen=True)
class Fault:
    """What happens to one command.

    :ivar name: how the published table calls it.
    :ivar rules: makes it so, in the time of the operation; what it yields has met the command once its
        ``reached()`` returns.
    :ivar options: what the operation is called with.
    :ivar cancel: when its task is cancelled.
    :ivar code: the code that the server says, with these ``labels``.
    :ivar slow: whether the driver loses its connection, and looks for the server again.
    :ivar noticed: whether the driver knows of it when the operation begins.
    :ivar lost: whether what the driver sends later of it is lost as well.
    """

    name: str
    rules: Callable[[FaultProxy, Place], Any]
    options: tuple[tuple[str, Any], ...] = ()
    cancel: Cancel | None = None
    labels: tuple[str, ...] = ()
    code: int | None = None
    slow: bool = False
    lost: bool = False
    noticed: bool = False

    @property
    def timed(self) -> bool:
        """Whether what it leads to depends on when it happens."""
        return bool(self.slow or self.options or self.cancel)


@contextmanager
def no_rule(proxy: FaultProxy, place: Place) -> Iterator[None]:
    yield None


@contextmanager
def refused(proxy: FaultProxy, place: Place) -> Iterator[None]:
    """Nobody listens there any more; the port is kept, or another process could get it."""
    port = proxy.address.port
    proxy.stop()
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", port))
        yield None
    proxy._port = port
    proxy.start()


@contextmanager
def gone(proxy: FaultProxy, place: Place, *, at: Any = "request") -> Iterator[None]:
    """From this command on, every connection is cut."""
    seen = 0
    down = False

    def is_down(command: Command) -> bool:
        nonlocal seen, down
        if not down and command.name == place.command:
            seen += 1
            down = seen > place.skip
            return down
        return down

    with proxy.cut(monitoring=True, where=is_down, at=at):
        yield None


def once(method: str, *arguments: Any, **options: Any) -> Callable[[FaultProxy, Place], Any]:
    return lambda proxy, place: getattr(proxy, method)(
        place.command, *arguments, **options, skip=place.skip, times=1
    )


def always(method: str, *arguments: Any, **options: Any) -> Callable[[FaultProxy, Place], Any]:
    return lambda proxy, place: getattr(proxy, method)(
        place.command, *arguments, **options, skip=place.skip
    )


@contextmanager
def stalled(proxy: FaultProxy, place: Place, *, at: Any, late: bool) -> Iterator[Any]:
    """No answer; at the end the command goes on, or is lost with its connection."""
    with proxy.stall(place.command, at=at, skip=place.skip) as rule:
        yield rule
        if not late:
            proxy.disconnect()


def stall(at: str, *, late: bool) -> Callable[[FaultProxy, Place], Any]:
    return lambda proxy, place: stalled(proxy, place, at=at, late=late)


TIMED = (("timeout", DEADLINE),)

TRANSPORT = (
    Fault("no fault", no_rule),
    Fault("connection refused", refused, slow=True, noticed=True),
    Fault("connection refused, not noticed yet", refused, slow=True),
    Fault("cut before it is sent, once", once("cut"), slow=True),
    Fault("cut before it is sent", always("cut"), slow=True),
    Fault("cut, then no server", gone, slow=True),
    Fault("reply lost, once", once("cut", at="reply"), slow=True),
    Fault("reply lost", always("cut", at="reply"), slow=True),
    Fault(
        "reply lost, then no server",
        lambda proxy, place: gone(proxy, place, at="reply"),
        slow=True,
    ),
    Fault("half of the reply, once", once("cut", at="mid-reply"), slow=True),
    Fault("half of the reply", always("cut", at="mid-reply"), slow=True),
    Fault("stalled, then lost", stall("request", late=False), TIMED, slow=True, lost=True),
    Fault("stalled, then late", stall("request", late=True), TIMED),
    Fault("reply stalled, then lost", stall("reply", late=False), TIMED, slow=True, lost=True),
    Fault("reply stalled, then late", stall("reply", late=True), TIMED),
    Fault("cancelled before", no_rule, cancel="before"),
    Fault("cancelled during", once("delay", 0.1), cancel="during"),
    Fault("cancelled twice", once("delay", 0.1), cancel="twice"),
    Fault("cancelled after", once("delay", 0.1, at="reply"), cancel="during"),
    Fault("cancelled, hung", stall("request", late=False), cancel="hung", slow=True, lost=True),
    Fault("cancelled, hung, then late", stall("request", late=True), cancel="hung"),
)
ANYWHEN = tuple(
    Fault(f"cancelled at {n} of the loop's turns", no_rule, cancel="anywhen") for n in range(1, 9)
)

RETRYABLE = "RetryableWriteError"
TRANSIENT = "TransientTransactionError"
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
NONE_PERFORMED = "NoWritesPerformed"

RETRYABLE_CODES = (6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436)
"""Of MongoDB's specification of retryable writes."""
TRANSACTION_CODES = (24, 112, 225, 239, 246, 251, 256, 263, 267)
"""Of its specification of transactions: they come with the label of a transient error, or without."""
COMMIT_CODES = (50, 64, 79, 100)
"""Of its specification of transactions: what a commit says of its write concern and its time."""
OTHER_CODES = (8, 11, 13, 20, 26, 121, 462, 8000, 11601)


def _codes() -> Iterator[Fault]:
    for code in RETRYABLE_CODES:
        for labels in ((), (RETRYABLE,), (RETRYABLE, NONE_PERFORMED), (TRANSIENT,)):
            yield from _code(code, labels)
    for code in TRANSACTION_CODES:
        for labels in ((), (TRANSIENT,)):
            yield from _code(code, labels)
    for code in COMMIT_CODES:
        for labels in ((), (UNKNOWN_COMMIT,)):
            yield from _code(code, labels)
    for code in OTHER_CODES:
        yield from _code(code, ())


def _code(code: int, labels: tuple[str, ...]) -> Iterator[Fault]:
    said = f"{code}{''.join(f', {label}' for label in labels)}"
    yield Fault(f"error {said}", always("fail", code, labels=labels), labels=labels, code=code)
    if RETRYABLE in labels or UNKNOWN_COMMIT in labels:
        yield Fault(f"error {said}, once", once("fail", code, labels=labels), code=code)
    if RETRYABLE in labels and NONE_PERFORMED not in labels:
        yield Fault(
            f"error {said}, after it was carried out",
            always("fail", code, labels=labels, at="reply"),
            labels=labels,
            code=code,
        )


CODES = tuple(_codes())
CONCERNS = tuple(
    Fault(
        f"write concern error {code}{''.join(f', {label}' for label in labels)}",
        always("write_concern_error", code, labels=labels),
        labels=labels,
        code=code,
    )
    for code in (64, 79, 91, 100, 189, 11600, 11602)
    for labels in ((), (RETRYABLE,))
)


async def cancel(fault: Fault, task: "asyncio.Task[Any]", rule: Any) -> None:
    """Cancel the task of an operation when the fault says."""
    if fault.cancel == "before":
        task.cancel()
    elif fault.cancel == "anywhen":
        for _ in range(int(fault.name.split()[2])):
            await asyncio.sleep(0)
        task.cancel()
    elif fault.cancel is not None:
        waiting = asyncio.create_task(rule.reached())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        task.cancel()
        if fault.cancel == "twice":
            await asyncio.sleep(0)
            task.cancel()
