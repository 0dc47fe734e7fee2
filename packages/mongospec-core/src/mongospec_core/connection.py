"""Bind document classes to a database, and let them go again."""

import asyncio
from collections.abc import Sequence

import mongojet

from mongospec_core.codec.plan import forget_plan, plan_of
from mongospec_core.codec.values import DECIMAL, PLAIN
from mongospec_core.document.base import DocumentBase
from mongospec_core.document.binding import Binding, bind
from mongospec_core.document.hooks import overridden
from mongospec_core.errors import DefinitionError, ServerUnavailableError
from mongospec_core.server.door import Call
from mongospec_core.server.indexes import declared_indexes, ensure_indexes
from mongospec_core.server.target import Target

_EXIT_GRACE = 0.02
"""Seconds that the driver's threads need after ``client.close()``; without them a third of short
scripts end in SIGABRT."""


class Connections:
    """What is bound at present: classes and their clients."""

    def __init__(self) -> None:
        self._bound: dict[type[DocumentBase], mongojet.Client | None] = {}

    async def init(
        self,
        db: mongojet.Database,
        document_types: Sequence[type[DocumentBase]],
        *,
        timeout: float | None = None,
        close_client: bool = True,
    ) -> None:
        """Bind document classes to a database: all of them, or none.

        Compiles every class, says hello to the server, and creates the declared indexes that are
        missing (one ``listIndexes`` a collection; one ``createIndexes`` where some are missing).
        It may be called several times, for different classes and databases; a class that is bound
        already is bound anew.

        :param db: a mongojet database.
        :param document_types: the classes; a subclass of one is bound only where it is listed too.
        :param timeout: seconds that each operation may take; None: no limit.
        :param close_client: whether :func:`close` closes the database's client.
        :raises DefinitionError: a class cannot work; nothing is bound.
        :raises ServerUnavailableError: the server does not answer; nothing is bound.

        .. code-block:: python

            client = await mongojet.create_client("mongodb://localhost:27017")
            await init(client.get_database("example_db"), document_types=[User])
        """
        bindings = {cls: _compiled(cls, db, timeout) for cls in document_types}
        _refuse_shared_collections(bindings)
        declared = {cls: declared_indexes(cls) for cls in bindings}
        await _hello(db)
        for cls, binding in bindings.items():
            call = Call(binding.target, f"{cls.__name__}: indexes", {}, write=True)
            await ensure_indexes(call, declared[cls])
        for cls, binding in bindings.items():
            bind(cls, binding)
            self._bound[cls] = binding.target.client if close_client else None

    async def close(self) -> None:
        """Unbind every class and close the clients that :func:`init` was given. Idempotent.

        .. code-block:: python

            await close()
        """
        bound, self._bound = self._bound, {}
        for cls in bound:
            bind(cls, None)
        clients = {id(client): client for client in bound.values() if client is not None}
        for client in clients.values():
            await client.close()
        if clients:
            await asyncio.sleep(_EXIT_GRACE)


def _compiled(cls: type[DocumentBase], db: mongojet.Database, timeout: float | None) -> Binding:
    if not (isinstance(cls, type) and issubclass(cls, DocumentBase)):
        raise DefinitionError(f"document_types: {cls!r} is not a document class")
    if cls.__dict__.get("__abstract__"):
        raise DefinitionError(
            f"{cls.__name__} is abstract: name its concrete subclasses in document_types"
        )
    forget_plan(cls)
    plan = plan_of(cls)
    target = Target(
        cls.__name__,
        db,
        cls.__collection_name__ or cls.__name__,
        DECIMAL if plan.decimals else PLAIN,
        timeout,
    )
    return Binding(plan, target, overridden(cls, DocumentBase))


def _refuse_shared_collections(bindings: dict[type[DocumentBase], Binding]) -> None:
    """Related classes on one collection would read, and delete, each other's documents."""
    classes = list(bindings)
    for place, one in enumerate(classes):
        for other in classes[place + 1 :]:
            same = bindings[one].target.name == bindings[other].target.name
            if same and (issubclass(one, other) or issubclass(other, one)):
                raise DefinitionError(
                    f"{one.__name__} and {other.__name__} are related and share the collection "
                    f"{bindings[one].target.name!r}: each would see the other's documents; give "
                    f"one of them another __collection_name__"
                )


async def _hello(db: mongojet.Database) -> None:
    try:
        await db.run_command({"hello": 1})
    except mongojet.PyMongoError as error:
        raise ServerUnavailableError(
            f"the server of the database {db.name!r} does not answer: {error}",
            outcome="not_applied",
        ) from error


_default = Connections()
init = _default.init
close = _default.close
