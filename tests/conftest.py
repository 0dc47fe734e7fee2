"""What all tests share. The servers and databases come from mongospec-testing's pytest plugin."""

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import mongojet
import pytest

from mongospec_core import MongoDocument, close, init
from mongospec_core.codec import raw_values
from mongospec_core.server import place
from tests.guarantees import Proofs, proofs

# A naive datetime causes a warning if local time is not UTC: tests of it set another zone themselves.
os.environ["TZ"] = "UTC"
time.tzset()

# A shell that runs the tests in the background lets them ignore Ctrl-C, and so what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let a run of the whole suite fail if a guarantee was not proved in it."""
    if not hasattr(config, "workerinput"):  # of xdist
        config.pluginmanager.register(Proofs(proofs()))


type Bind = Callable[..., Awaitable[mongojet.Database]]


@pytest.fixture(autouse=True)
def registered_encoders() -> Iterator[None]:
    """What a test registers is forgotten at its end."""
    registered, hidden = dict(raw_values._registered), set(raw_values.hidden_types)
    yield
    if raw_values._registered != registered:
        raw_values._registered.clear()
        raw_values._registered.update(registered)
        raw_values.hidden_types.clear()
        raw_values.hidden_types.update(hidden)
        raw_values._forget_encoders()


@pytest.fixture(autouse=True)
def without_tenants() -> Iterator[None]:
    """After a test that used another database, do not check the origin of documents any more."""
    yield
    place.used = False


@pytest.fixture
async def bind(mongo_db: mongojet.Database) -> AsyncIterator[Bind]:
    """``await bind(User, Post)``: bind classes to this test's database, until its end."""

    async def bound(*classes: type[MongoDocument], **options: Any) -> mongojet.Database:
        await init(mongo_db, classes, close_client=False, **options)
        return mongo_db

    yield bound
    await close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases of the matrix of faults were repeated, and why."""
    properties = [
        each
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for each in report.user_properties
    ]
    cases = sum(value for name, value in properties if name == "cases" and isinstance(value, int))
    repeated = [value for name, value in properties if name == "repeated"]
    if cases:
        terminalreporter.section("matrix of faults")
        terminalreporter.line(f"{len(repeated)} of {cases} cases were repeated")
        for each in repeated:
            terminalreporter.line(f"  {each}")
