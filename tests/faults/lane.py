"""Cases of the matrix, run one after the other in a lane of their own: proxy, client, classes, database."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import mongojet
import msgspec
from bson import Binary, ObjectId

import mongospec_core as core
from mongospec_core import DocumentNotFoundError, MissingIdError, StaleDocumentError
from mongospec_core.extension import DELETED, UNKNOWN_CONTENT, decode, is_new, snapshot_of
from mongospec_core.server.client import state_of
from mongospec_core.server.driver_call import CANCEL_GRACE_SECONDS
from mongospec_refs import UnsavedReferenceError
from mongospec_testing import Command, FaultProxy, Rule
from mongospec_testing.uri import MongoUri
from tests.faults.faults import DEADLINE, Fault, Place, cancel
from tests.faults.operations import REPEATED, Models, Row, models

SLACK = 1.5
"""Seconds that a busy machine may add."""
HANGS = 10.0
SELECTION = 1.5
"""Seconds that the driver looks for a server; it asks each half of a second."""
STEP = 0.1
"""Seconds between two looks at what arrives late: longer than a busy machine needs for one command."""

type State = dict[str, list[dict[str, Any]]]
"""The documents of a database by their labels, without what differs from run to run."""


class FoundError(AssertionError):
    """What a case found."""


class UnsettledError(FoundError):
    """A case was late, or could not begin: an earlier one is still in its way."""


class Case(msgspec.Struct, frozen=True):
    """What became of one operation that met one fault."""

    row: str
    place: str
    fault: str
    outcome: str
    error: str


class Golden(msgspec.Struct, frozen=True):
    """An operation that meets no fault: its commands, what is stored before it and afterwards."""

    places: list[Place]
    before: State
    done: State


class Lane:
    """One proxy, one client, its classes and their database."""

    def __init__(
        self, proxy: FaultProxy, client: mongojet.Client, direct: mongojet.Client, name: str
    ) -> None:
        self.proxy = proxy
        self.client = client
        self.database = client[name]
        self.raw = direct[name]
        self.admin = direct["admin"]
        self.models: Models = models()
        self._labels: dict[Any, str] = {}
        self._sessions: set[Any] = set()
        self.new_sessions: list[str] = []
        self.names: list[str] = [each.get_collection_name() for each in self.models.all]

    async def bind(self, names: Sequence[str]) -> None:
        """Bind the classes of these collections; no case looks at others."""
        self.names = list(names)
        classes = [each for each in self.models.all if each.get_collection_name() in names]
        await core.init(self.database, classes, close_client=False)

    # -- the database

    async def empty(self) -> None:
        self._labels.clear()
        for name in self.names:
            await self.raw[name].delete_many({})

    async def documents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for name in self.names:
            found += await self.raw[name].find_many({})
        return found

    def state_of(self, documents: list[dict[str, Any]], seeded: set[Any]) -> State:
        self._labels |= {each["_id"]: _label(each) for each in documents}
        state: State = {}
        for each in documents:
            shown = {
                name: self._labels.get(value, "?") if isinstance(value, ObjectId) else value
                for name, value in each.items()
                if name not in ("_id", "alien")
            }
            shown["_id"] = "before" if each["_id"] in seeded else "new"
            state.setdefault(_label(each), []).append(shown)
        return state

    async def state(self, seeded: set[Any]) -> State:
        return self.state_of(await self.documents(), seeded)

    # -- one case

    async def used_by(self, row: Row) -> list[str]:
        """The collections that an operation has to do with."""
        objects = await row.prepare(self.models)
        found = {name for name in self.names if await self.raw[name].find_one({})}
        await row.act(self.models, objects, {})
        return [name for name in self.names if name in found or await self.raw[name].find_one({})]

    async def golden(self, row: Row) -> Golden:
        """Let an operation meet no fault."""
        await self.empty()
        objects = await row.prepare(self.models)
        documents = await self.documents()
        seeded = {each["_id"] for each in documents}
        before = self.state_of(documents, seeded)
        with self.proxy.recording() as seen:
            await row.act(self.models, objects, {})
        places = [
            Place(number + 1, each.name, sum(other.name == each.name for other in seen[:number]))
            for number, each in enumerate(seen)
        ]
        return Golden(places, before, await self.state(seeded))

    async def run(self, row: Row, place: Place, fault: Fault, golden: Golden, *, then: str) -> Case:
        """Let an operation meet a fault, and check all that can be known then.

        :param then: ``"repeat"`` or ``"save"``: what the user does next.
        """
        before, done = golden.before, golden.done
        try:
            objects, seeded = await self._begin(row, before)
        except Exception as error:
            raise UnsettledError(f"{row.name} cannot begin: {error!r}") from error
        error, took = await self._meet(row, place, fault, objects)
        outcome = _outcome(error)
        found = await self.documents()
        after = self.state_of(found, seeded)
        try:
            self._check_time(row, fault, took)
            _check_state(outcome, before, after, done)
            _check_error(error, outcome, fault, row)
            _check_parts(error, before, after, done)
            for document in () if row.blind else objects:
                _check_document(document, "unknown" if row.unsure else outcome, found, before)
            if then == "repeat":
                await self._repeat(row, objects, seeded, outcome, done)
            elif not row.blind:
                await self._save(row, objects, outcome)
            if not fault.cancel and state_of(self.client).in_flight:
                raise FoundError("a call is left in flight")
        except Exception as wrong:
            unsettled = isinstance(wrong, UnsettledError | core.OperationTimeoutError)
            kind = UnsettledError if unsettled else FoundError
            raise kind(
                f"{row.name}, {place.command}[{place.skip}], {fault.name}, then {then}: {wrong}\n"
                f"  reported {outcome}: {error!r}\n  before {before}\n  after  {after}\n  done   {done}"
            ) from wrong
        name = type(error).__name__ if error is not None else ""
        return Case(row.name, place.name, fault.name, outcome, name)

    async def _begin(self, row: Row, before: State) -> tuple[list[Any], set[Any]]:
        """The objects that take part, and the ids that are stored."""
        await self.empty()
        await self.client["admin"].run_command({"ping": 1})  # it may still look for the server
        state_of(self.client).silent = False
        objects = await row.prepare(self.models)
        documents = await self.documents()
        seeded = {each["_id"] for each in documents}
        if self.state_of(documents, seeded) != before:
            raise UnsettledError("what an earlier case had sent has arrived now")
        return objects, seeded

    async def _meet(
        self, row: Row, place: Place, fault: Fault, objects: list[Any]
    ) -> tuple[BaseException | None, float]:
        again: Rule | None = None
        with self.proxy.recording() as seen, fault.rules(self.proxy, place) as rule:
            if fault.noticed:
                with suppress(mongojet.PyMongoError):
                    await self.client["admin"].run_command({"ping": 1})
            began = time.monotonic()
            task = asyncio.ensure_future(row.act(self.models, objects, dict(fault.options)))
            await cancel(fault, task, rule)
            ended, _ = await asyncio.wait([task], timeout=HANGS)
            took = time.monotonic() - began
            if fault.lost:  # the driver sends it once more, which is lost as well
                again = self.proxy.cut(place.command)
        if not ended:
            task.print_stack()
            raise FoundError(f"{row.name}, {place}, {fault.name}: it hangs")
        if again is not None:
            until = time.monotonic() + SELECTION + 1  # it may look for a server before that
            while not again.hits and time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(STEP)
            again.remove()
        elif fault.options or fault.cancel is not None:
            await self._quiet()
        self._note_sessions(fault, seen)
        # What an abort could not be sent for would hold its documents until the server's minute is over.
        if open_ := {each.body["lsid"]["id"] for each in seen if "autocommit" in each.body}:
            sessions = [{"id": Binary.from_uuid(each)} for each in open_]
            await self.admin.run_command({"killSessions": sessions})
        try:
            task.result()
        except BaseException as error:
            return error, took
        return None, took

    def _note_sessions(self, fault: Fault, seen: Sequence[Command]) -> None:
        """Note the sessions that are new although no earlier one was lost with its connection."""
        used = {each.body["lsid"]["id"] for each in seen if "lsid" in each.body}
        if not fault.slow:
            self.new_sessions += [fault.name] * len(used - self._sessions)
        self._sessions |= used

    async def _quiet(self) -> None:
        """Wait until what was let go has arrived at the server."""
        seen = await self.documents()
        for _ in range(20):
            await asyncio.sleep(STEP)
            now = await self.documents()
            if now == seen:
                return
            seen = now

    def _check_time(self, row: Row, fault: Fault, took: float) -> None:
        most = SLACK + CANCEL_GRACE_SECONDS + (DEADLINE if fault.options else 0)
        if fault.slow and not fault.options:
            most += 4 * SELECTION
        if row.repeats:
            most += REPEATED
        if took > most:
            raise UnsettledError(f"it took {took:.2f} seconds, {most:.2f} at most")

    async def _repeat(
        self, row: Row, objects: list[Any], seeded: set[Any], outcome: str, done: State
    ) -> None:
        """Nothing is stored twice, nothing is missing."""
        if outcome == "not_applied":
            await row.act(self.models, objects, {})
        elif outcome == "unknown" and row.repeat is not None:
            await row.repeat(self.models, objects)
        else:
            return
        now = await self.state(seeded)
        if now != done:
            raise FoundError(f"repeated, it left {now}")
        for document in () if row.blind else objects:
            said = "unknown" if row.unsure else outcome
            _check_document(document, said, await self.documents(), done)

    async def _save(self, row: Row, objects: list[Any], outcome: str) -> None:
        """A later save neither loses what others wrote nor brings back what is gone."""
        taken_back = (UnsavedReferenceError,) if outcome in ("partial", "unknown") else ()
        for document in objects:
            collection = self.raw[document.get_collection_name()]
            there = await collection.find_one({"label": document.label})
            before = await collection.update_many({}, {"$set": {"alien": 1}})
            document.other = 9
            saved = False
            try:
                await document.save(**_alone(document))
                saved = True
            except taken_back:
                pass  # what it refers to was taken back
            except (MissingIdError, DocumentNotFoundError):
                if there is not None and document._id == there["_id"] and not row.moves:
                    raise
            except StaleDocumentError:
                if outcome != "unknown":
                    raise
            found = await collection.find_many({})
            if len(found) != before["matched_count"]:
                raise FoundError(f"save() of {document!r} has changed how many there are")
            if saved:
                stored = next((each for each in found if each["_id"] == document._id), None)
                if stored is None:
                    raise FoundError(f"{document!r} was saved, and is not there")
                if stored.pop("alien", None) != 1:
                    raise FoundError(f"save() has removed what others wrote: {stored}")
                if (own := document.dump()) != stored:
                    raise FoundError(f"saved {own}, stored {stored}")


def _alone(document: Any) -> dict[str, Any]:
    return {"save_refs": False} if hasattr(document, "fetch") else {}


def _label(document: Mapping[str, Any]) -> str:
    return str(document.get("label", document.get("key", "?")))


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "done"
    if isinstance(error, asyncio.CancelledError):
        return getattr(error, "outcome", "not_applied")
    if not isinstance(error, core.MongospecError):
        raise error
    return error.outcome


def _check_state(outcome: str, before: State, after: State, done: State) -> None:
    """The database is what the operation said."""
    if outcome in ("done", "applied") and after != done:
        raise FoundError("it should be done, and is not")
    if outcome == "not_applied" and after != before:
        raise FoundError("nothing should be done, and something is")
    if outcome == "partial" and after in (before, done):
        raise FoundError("a part should be done, and all or nothing is")
    for label in before.keys() | after.keys() | done.keys():
        now = after.get(label)
        if outcome == "unknown" and now is not None and now[0].get("author") == "?":
            continue  # it arrived late, when what it refers to had been taken back
        if now not in (before.get(label), done.get(label)):
            raise FoundError(f"{label} is neither as before nor as afterwards")


def _check_error(error: BaseException | None, outcome: str, fault: Fault, row: Row) -> None:
    """Its text, its labels and its code say the same as its outcome."""
    if not isinstance(error, core.OperationError):
        return
    for said in ("applied", "partial", "unknown"):
        if (f"[outcome: {said}]" in str(error)) != (said == outcome):
            raise FoundError(f"its text does not fit: {error}")
    if fault.options and not isinstance(error, TimeoutError):
        raise FoundError(f"time was up, and it is a {type(error).__name__}")
    if row.repeats:
        return  # what the last attempt met is told
    if not set(fault.labels) <= error.labels:
        raise FoundError(f"labels are missing: {error.labels}")
    if fault.code is not None and error.code != fault.code:
        raise FoundError(f"its code is {error.code}")


def _check_parts(error: BaseException | None, before: State, after: State, done: State) -> None:
    """What an error says of single documents is so."""
    for name in ("inserted", "written"):
        for document in getattr(error, name, ()):
            if after.get(document.label) != done.get(document.label):
                raise FoundError(f".{name} has {document.label}, which was not")
    failed = [each.document for each in getattr(error, "failures", ()) if hasattr(each, "document")]
    for document in [*failed, *getattr(error, "unsent", ())]:
        label = document if isinstance(document, str) else getattr(document, "label", None)
        if label is not None and after.get(label) != before.get(label):
            raise FoundError(f"{label} should be as it was")


def _check_document(
    document: Any, outcome: str, found: list[dict[str, Any]], before: State
) -> None:
    """An object knows of its stored copy what is so."""
    label = document.label
    there = [each for each in found if _label(each) == label]
    form = snapshot_of(document)
    if form is UNKNOWN_CONTENT:
        if outcome != "unknown":
            raise FoundError(f"{label}: its content is unknown")
    elif isinstance(form, bytes):
        ours = decode(form)
        if [{name: each.get(name) for name in ours} for each in there] != [ours]:
            raise FoundError(f"{label}: it takes {ours} for stored, and there is {there}")
        return
    elif form is DELETED:
        if there:
            raise FoundError(f"{label}: it takes itself for deleted, and there is {there}")
        return
    elif is_new(document) and outcome != "unknown" and there and label not in before:
        raise FoundError(f"{label}: it takes itself for new, and there is {there}")
    if there and label not in before and document._id != there[0]["_id"]:
        raise FoundError(f"{label}: its _id is {document._id}, and there is {there}")


def polling(uri: str) -> str:
    """A connection on which a server waits for news is closed late on its side."""
    return str(MongoUri.parse(uri).with_default("serverMonitoringMode", "poll"))


@asynccontextmanager
async def lanes(
    uri: str, count: int, name: str, row: Row | None = None
) -> AsyncIterator[list[Lane]]:
    """So many lanes to the server, for one operation or for all; what they opened is closed at the end."""
    direct = await mongojet.create_client(polling(uri))
    proxies = [FaultProxy(uri).start() for _ in range(count)]
    made: list[Lane] = []
    try:
        for number, proxy in enumerate(proxies):
            client = await mongojet.create_client(
                f"{proxy.uri}&serverSelectionTimeoutMS={int(SELECTION * 1000)}"
            )
            made.append(Lane(proxy, client, direct, f"{name}_{number}"))
        names = made[0].names
        await made[0].bind(names)
        if row is not None:
            names = await made[0].used_by(row)
        for lane in made:
            await lane.bind(names)
        yield made
    finally:
        await core.close()
        await asyncio.gather(*(lane.raw.drop() for lane in made))
        for proxy in proxies:
            proxy.stop()  # a client that waits for a stalled reply cannot be closed
        await asyncio.gather(*(lane.client.close() for lane in made), direct.close())
