"""Many tasks write while the server is killed and restarted: what was acknowledged is there afterwards.

Every task knows what it has written: each answer is noted, and after an outcome that is unknown it looks. At the
end the database is compared with what the tasks know.

    python -m benchmarks.load                         32 tasks, 60 s, the server is killed four times
    python -m benchmarks.load --operations 100000     no kills: is memory flat, and are descriptors
    python -m benchmarks.load --no-sync               of a server that does not sync at each commit
"""

import argparse
import asyncio
import gc
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mongojet
from bson import ObjectId

import mongospec
from mongospec import KVStore, MongoDocument, OperationError
from mongospec_testing.sources.embedded import LAUNCH
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

TIMEOUT = 5.0
"""Seconds that each operation gets."""
PATIENCE = 3.0
"""Seconds beyond it after which an operation counts as one that hangs: one of patience, two of a busy machine."""


class Note(MongoDocument):
    __indexes__ = [{"key": {"owner": 1, "number": 1}}]
    owner: int
    number: int


class Author(MongoDocument):
    owner: int
    n: int = 0


class Post(MongoDocument):
    owner: int
    author: Author
    n: int = 0


class Account(MongoDocument):
    owner: int
    balance: int = 0


class Tally(MongoDocument):
    __indexes__ = [{"key": {"owner": 1}, "unique": True}]
    owner: int
    n: int = 0


class Store(KVStore, MongoDocument):
    pass


MODELS = [Note, Author, Post, Account, Tally, Store]


class Server:
    """An embedded server of our own, which can be killed and started again on its data.

    :param sync: whether it syncs its journal at each commit, as MongoDB does for ``j: true``.
    :ivar flags: further flags, for the next start.
    """

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        self._folder = folder
        self.flags: list[str] = ["--sync-on-commit"] if sync else []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = Address("127.0.0.1", free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        # The embedded server forgets which writes it has carried out when it is killed, so what the driver sends
        # once more would be done twice. MongoDB keeps it in config.transactions.
        return f"mongodb://{self.address}/?serverSelectionTimeoutMS=10000&retryWrites=false"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = [sys.executable, "-c", LAUNCH, str(self._folder)]
        data = ["--storage-path", str(self._folder / "data"), "--cache-size", "64M"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *program,
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.address.port),
                    *data,
                    *self.flags,
                ],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while not self.answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether it answers."""
        return ask(self.address, {"hello": 1}) is not None

    def kill(self) -> None:
        """End it by SIGKILL: it cannot save anything any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@dataclass
class Ledger:
    """What one task knows of what it has written."""

    owner: int
    notes: set[int] = field(default_factory=set)
    unsure_notes: set[int] = field(default_factory=set)
    graphs: set[int] = field(default_factory=set)
    unsure_graphs: set[int] = field(default_factory=set)
    increments: int = 0
    number: int = 0

    def size(self) -> int:
        """Bytes that the numbers take, and the tables that they stand in."""
        kept = (self.notes, self.unsure_notes, self.graphs, self.unsure_graphs)
        return sum(sys.getsizeof(each) + 32 * len(each) for each in kept)


@dataclass
class Report:
    """What a run came to."""

    tasks: int
    seconds: float = 0.0
    kills: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    shared: int = 0
    shared_unsure: int = 0
    wrong: list[str] = field(default_factory=list)
    samples: list[tuple[int, float, float, int]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report in words."""
        done = sum(self.operations.values())
        each = ", ".join(f"{count:,} {name}" for name, count in sorted(self.operations.items()))
        ends = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        lines = [
            f"{self.tasks} tasks, {self.seconds:.0f} s, the server was killed {self.kills} times",
            f"{done:,} operations: {each}",
            f"how they ended: {ends}",
            f"the longest took {self.longest:.2f} s",
            *(
                f"after {count:,} operations: {memory:.1f} MB, of which {notes:.1f} MB are the notes of "
                f"this script, {open_} descriptors"
                for count, memory, notes, open_ in self.samples
            ),
        ]
        return [
            *lines,
            *(self.wrong or ["all that was acknowledged is there, all counters are exact"]),
        ]


class Worker:
    """One task: operations by turns, each with its account."""

    def __init__(self, owner: int, report: Report) -> None:
        self.ledger = Ledger(owner)
        self.report = report
        self.dice = random.Random(owner)
        self.tally = self.saved = self.cascaded = 0
        self.note: Note | None = None
        self.post: Post | None = None

    async def run(self, goes_on: Callable[[], bool]) -> None:
        await self.surely(self.begin)
        operations = [
            self.insert,
            self.insert_many,
            self.save,
            self.cascade,
            self.upsert,
            self.transfer,
            self.increment,
            self.insert_recursive,
            self.read,
        ]
        sure = {self.save, self.cascade, self.upsert, self.increment}
        while goes_on():
            operation = self.dice.choice(operations)
            try:
                # What is repeated until it is done has its time in `surely`.
                await (operation() if operation in sure else self.timed(operation))
                self.report.outcomes["done"] += 1
            except mongospec.MongospecError as error:
                self.report.outcomes[error.outcome] += 1
                await asyncio.sleep(0.05)
            self.report.operations[operation.__name__] += 1
        await self.settle()

    def wrong(self, what: str) -> None:
        self.report.wrong.append(f"task {self.ledger.owner}: {what}")

    async def timed(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Carry out an operation in its time; note if it took longer."""
        began = time.monotonic()
        try:
            with mongospec.timeout(TIMEOUT):
                return await work()
        finally:
            took = time.monotonic() - began
            self.report.longest = max(self.report.longest, took)
            if took > TIMEOUT + PATIENCE:
                self.wrong(f"an operation took {took:.1f} s")

    async def surely(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Repeat what may be repeated until it is done, in a time of its own."""

        async def repeated() -> Any:
            until = time.monotonic() + 60
            while True:
                try:
                    return await self.timed(work)
                except OperationError:
                    if time.monotonic() > until:
                        raise
                    await asyncio.sleep(0.1)

        return await asyncio.create_task(repeated(), context=Context())

    async def begin(self) -> None:
        owner = self.ledger.owner
        if self.note is None:
            self.note = Note(owner=owner, number=-1)
        await self.note.save(upsert=True)
        if self.post is None:
            self.post = Post(owner=owner, author=Author(owner=owner))
        await self.post.author.save(upsert=True)
        await self.post.save(upsert=True)
        for side in (0, 1):
            await Account.insert_if_not_exists(Account(_id=_side(owner, side), owner=owner))

    def next(self) -> int:
        self.ledger.number += 1
        return self.ledger.number

    # -- the operations

    async def insert(self) -> None:
        number = self.next()
        try:
            await Note(owner=self.ledger.owner, number=number).insert()
        except OperationError as error:
            if error.outcome == "unknown":
                self.ledger.unsure_notes.add(number)
            raise
        self.ledger.notes.add(number)

    async def insert_many(self) -> None:
        notes = [Note(owner=self.ledger.owner, number=self.next()) for _ in range(5)]
        numbers = {note.number for note in notes}
        try:
            await Note.insert_many(notes)
        except mongospec.BulkInsertError as error:
            self.ledger.notes |= {note.number for note in error.inserted}
            self.ledger.unsure_notes |= {note.number for note in error.unknown}
            raise
        except OperationError as error:
            if error.outcome == "unknown":
                self.ledger.unsure_notes |= numbers
            raise
        self.ledger.notes |= numbers

    async def save(self) -> None:
        assert self.note is not None
        self.saved += 1
        self.note.number = -1 - self.saved
        await self.surely(self.note.save)

    async def cascade(self) -> None:
        assert self.post is not None
        self.cascaded += 1
        self.post.n = self.post.author.n = self.cascaded
        await self.surely(self.post.save)

    async def upsert(self) -> None:
        self.tally += 1
        change = {"$set": {"n": self.tally}}
        query = {"owner": self.ledger.owner}
        await self.surely(lambda: Tally.update_one(query, change, upsert=True))

    async def transfer(self) -> None:
        """Between two accounts: their sum is zero, whatever happens."""
        mine, theirs = (_side(self.ledger.owner, side) for side in (0, 1))

        async def work() -> None:
            await Account.update_by_id(mine, {"$inc": {"balance": -1}})
            await Account.update_by_id(theirs, {"$inc": {"balance": 1}})

        await mongospec.run_in_transaction(work, timeout=TIMEOUT)

    async def increment(self) -> None:
        """A counter of one's own, which is exact: after an unknown outcome it is looked at; and one that all share."""
        key = f"counter {self.ledger.owner}"
        try:
            await self.timed(partial(Store.increment, key))
            self.ledger.increments += 1
        except OperationError as error:
            if error.outcome == "unknown":
                value = await self.surely(partial(Store.get_or_default, key, 0))
                if value not in (self.ledger.increments, self.ledger.increments + 1):
                    self.wrong(f"its counter is {value}, after {self.ledger.increments}")
                self.ledger.increments = value
            raise
        try:
            await self.timed(partial(Store.increment, "all"))
        except OperationError as error:
            self.report.shared_unsure += error.outcome == "unknown"
            raise
        self.report.shared += 1

    async def insert_recursive(self) -> None:
        number = -1000 - self.next()
        owner = self.ledger.owner
        post = Post(owner=owner, n=number, author=Author(owner=owner, n=number))
        try:
            await post.insert_recursive()
        except mongospec.RecursiveInsertError as error:
            if error.outcome == "unknown":
                self.ledger.unsure_graphs.add(number)
            raise
        self.ledger.graphs.add(number)

    async def read(self) -> None:
        """A cursor in batches returns each of the last documents once, or raises."""
        after = max(0, self.ledger.number - 200)
        expected = {number for number in self.ledger.notes if number > after}
        query = {"owner": self.ledger.owner, "number": {"$gt": after}}
        found = [note.number async for note in Note.find(query, batch_size=20, sort="_id")]
        if len(found) != len(set(found)):
            self.wrong("a cursor returned a document twice")
        if missed := expected - set(found):
            self.wrong(f"a cursor missed {len(missed)} documents")

    # -- the end

    async def settle(self) -> None:
        """Compare the database with what is known."""
        ledger, owner = self.ledger, self.ledger.owner
        assert self.note is not None
        assert self.post is not None
        notes = [
            each.number for each in await Note.find_all({"owner": owner, "number": {"$gt": 0}})
        ]
        lost = ledger.notes - set(notes)
        if lost:
            self.wrong(f"{len(lost)} acknowledged inserts of {len(ledger.notes)} are lost")
        if len(notes) != len(set(notes)):
            self.wrong("documents are there twice")
        if strange := set(notes) - ledger.notes - ledger.unsure_notes:
            self.wrong(f"{len(strange)} inserts are there that were reported as not applied")
        stored = await Note.get_by_id(self.note.id)
        if stored.number != -1 - self.saved:
            self.wrong(f"save {self.saved} is lost: {stored.number}")
        post = await Post.get_by_id(self.post.id)
        if {post.n, post.author.n} != {self.cascaded}:
            self.wrong(f"cascade {self.cascaded} is lost: {post.n}, {post.author.n}")
        tally = await Tally.find_all({"owner": owner})
        if [each.n for each in tally] != [self.tally][: self.tally or 0]:
            self.wrong(f"upsert {self.tally} is lost: {tally}")
        balances = [each.balance for each in await Account.find_all({"owner": owner})]
        if len(balances) != 2 or sum(balances) != 0:
            self.wrong(f"a transaction was torn: {balances}")
        counter = await Store.get_or_default(f"counter {owner}", 0)
        if counter != ledger.increments:
            self.wrong(f"its counter is {counter}, not {ledger.increments}")
        graphs = {each.n for each in await Post.find_all({"owner": owner, "n": {"$lt": -1000}})}
        authors = {each.n for each in await Author.find_all({"owner": owner, "n": {"$lt": -1000}})}
        if ledger.graphs - (graphs & authors):
            self.wrong("graphs are lost")
        if (graphs | authors) - ledger.graphs - ledger.unsure_graphs:
            self.wrong("graphs are there that were reported as not applied")


def _side(owner: int, side: int) -> ObjectId:
    """The id of one of a task's two accounts."""
    return ObjectId(f"{owner * 2 + side:024x}")


def memory() -> float:
    """Resident memory in MB."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def descriptors() -> int:
    """Open descriptors of this process."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def kill_and_restart(server: Server, report: Report, seconds: float, kills: int) -> None:
    """Kill the server in equal intervals, leave it away for a moment, start it again."""
    began = time.monotonic()
    for number in range(1, kills + 1):
        await asyncio.sleep(max(0, began + number * seconds / (kills + 1) - time.monotonic()))
        await asyncio.to_thread(server.kill)
        report.kills += 1
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)


async def run(
    server: Server, *, tasks: int, seconds: float = 60, kills: int = 4, operations: int = 0
) -> Report:
    """Let tasks work on a server for some seconds, or for so many operations.

    :returns: what it came to; ``wrong`` is empty if all is as the tasks know it.
    """
    report = Report(tasks)
    client = await mongojet.create_client(server.uri)
    await mongospec.init(client["load"], document_types=MODELS)
    workers = [Worker(owner, report) for owner in range(tasks)]
    began = time.monotonic()
    count = 0

    def goes_on() -> bool:
        nonlocal count
        if not operations:
            return time.monotonic() - began < seconds
        count += 1
        if count % max(operations // 10, 1) == 0:
            gc.collect()
            notes = sum(worker.ledger.size() for worker in workers) / 1e6
            report.samples.append((count, memory(), notes, descriptors()))
        return count <= operations

    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run(goes_on))
            if not operations:
                group.create_task(kill_and_restart(server, report, seconds, kills))
        report.seconds = time.monotonic() - began
        value = await Store.get_or_default("all", 0)
        most = report.shared + report.shared_unsure
        if not report.shared <= value <= most:
            report.wrong.append(f"the shared counter is {value}, not {report.shared} to {most}")
    finally:
        await mongospec.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--operations", type=int, default=0)
    parser.add_argument("--no-sync", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), sync=not given.no_sync)
        server.start()
        try:
            report = asyncio.run(
                run(
                    server,
                    tasks=given.tasks,
                    seconds=given.seconds,
                    kills=given.kills,
                    operations=given.operations,
                )
            )
        finally:
            server.kill()
    print("\n".join(report.lines()))
    sys.exit(bool(report.wrong))


if __name__ == "__main__":
    main()
