"""Bind document classes to a database, and unbind them."""

import asyncio
import atexit
import time
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from typing import Any

import mongojet

from mongospec_core.codec.annotations import resolve_names, tag_of
from mongospec_core.codec.class_cache import forget_classes
from mongospec_core.codec.codec_options import CODEC_OPTIONS, DECIMAL_CODEC_OPTIONS
from mongospec_core.codec.plan import Plan, forget_plan, plan_of
from mongospec_core.declarations import (
    declared_by_collection,
    declared_collections,
    ensure_declared,
)
from mongospec_core.errors import OperationTimeoutError, OptionError, TransactionError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, bind, binding_of, is_bound
from mongospec_core.model.definition import (
    refuse_other_types,
    refuse_shared_collections,
    refuse_what_cannot_be_bound,
)
from mongospec_core.model.family import (
    are_relatives,
    collection_name_of,
    family_plan,
    scope_of,
)
from mongospec_core.model.hooks import overridden
from mongospec_core.server.client import Target, drain, refuse_after_fork
from mongospec_core.server.driver_text import parse
from mongospec_core.server.indexes import Conflicts, Mode
from mongospec_core.server.operation import Operation
from mongospec_core.server.place import Block, alike, entered, here, refuse_in_block
from mongospec_core.server.timeout import end_of
from mongospec_core.server.transaction_blocks import current, refuse_in_transaction

_LAST_WORDS = 2.0
"""Seconds to wait for operations in flight before their client is closed."""
_PATIENCE = 3.0
"""Seconds that a client gets to close."""
_SELECTION = 30
"""Seconds that the driver looks for a server, unless the URI says otherwise."""
_EXIT_GRACE = 0.02
"""Seconds that the driver's threads need after ``client.close()``; without them a third of short
scripts end in SIGABRT."""


class _Bound:
    """The classes that are bound, and the clients to close with them."""

    def __init__(self) -> None:
        self.classes: dict[type[DocumentBase], mongojet.Client] = {}
        self.clients: dict[int, mongojet.Client] = {}


_bound = _Bound()


async def init(
    db: mongojet.Database,
    document_types: Iterable[type[DocumentBase]],
    *,
    indexes: Mode = "create",
    validators: Mode = "create",
    index_conflicts: Conflicts = "error",
    timeout: float | None = None,
    close_client: bool = True,
) -> None:
    """Bind document classes to a database: all of them, or none.

    Compiles every class, sends ``hello`` to the server, and creates the declared indexes: one
    ``listIndexes`` per collection, and one ``createIndexes`` if some are missing. For a collection with
    a validator or ``__collection_options__`` it sends ``listCollections``, and ``create`` or ``collMod``
    if needed. It may be called several times, for different classes and databases; a class that is
    already bound is bound again.

    :param db: a mongojet database.
    :param document_types: the classes; a subclass of one is bound only if it is listed too.
    :param indexes: ``"create"`` missing ones, ``"check"`` that none is missing, or ``"skip"``;
        likewise collections with ``__collection_options__``.
    :param validators: of classes with ``validator=``: ``"create"`` or change them, ``"check"`` that they
        are as declared, or ``"skip"``.
    :param index_conflicts: ``"error"``, or ``"warn"`` and continue without the index, the options or the
        validator.
    :param timeout: seconds that each operation of these classes may take; None: no limit. Building
        indexes is not bound by it.
    :param close_client: whether :func:`close` closes the database's client.
    :raises DefinitionError: a class cannot work; nothing is bound.
    :raises IndexConflictError: a declared index cannot be created; nothing is bound.
    :raises CollectionConflictError: a collection is not as declared; nothing is bound.
    :raises ServerUnavailableError: the server does not answer; nothing is bound.

    .. code-block:: python

        client = await mongojet.create_client("mongodb://localhost:27017")
        await init(client.get_database("example_db"), document_types=[User])
    """
    refuse_in_transaction("init()")
    refuse_in_block("init()")
    if not isinstance(db, mongojet.Database):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            f"init() takes a mongojet Database, not a {type(db).__name__}; "
            f'get one by client.get_database("NAME")'
        )
    for name, mode in (("indexes", indexes), ("validators", validators)):
        if mode not in ("create", "check", "skip"):
            raise OptionError(f'init({name}={shown(mode)}): use "create", "check" or "skip"')
    if index_conflicts not in ("error", "warn"):
        raise OptionError(f'init(index_conflicts={shown(index_conflicts)}): use "error" or "warn"')
    classes = _listed(document_types)
    resolve_names(classes)
    bindings = {cls: _compiled(cls, db, timeout) for cls in classes}
    others = {
        cls: binding_of(cls)
        for cls in _bound.classes
        if cls not in bindings and is_bound(cls) and _same_database(binding_of(cls).target, db)
    }
    refuse_shared_collections(bindings | others)
    for cls in bindings:
        cls._before_bind(_bound.classes.keys() | bindings.keys())
    declared = declared_by_collection(bindings, others)
    collections = declared_collections(bindings, others)
    _wait_at_exit()
    await _hello(db, timeout)
    await ensure_declared(collections, declared, indexes, validators, index_conflicts)
    for cls, binding in bindings.items():
        bind(cls, binding)
        _bound.classes[cls] = binding.target.client
    _join_families(bindings)
    if close_client:
        _bound.clients[id(db.client)] = db.client


@cache
def _wait_at_exit() -> None:
    """Wait for the driver's threads in scripts that never call close(), or end by an error."""
    atexit.register(time.sleep, _EXIT_GRACE)


@contextmanager
def using(database: mongojet.Database) -> Generator[None]:
    """Send all operations of bound classes in the block to *database*.

    They use the collections of the same names, as do those of tasks that are started in the block;
    references, cascades, key-value stores, cursors and transactions included. Of nested blocks the
    inner one counts. The classes must be bound by ``init()``, to any database.

    A document belongs to the database that it was read from or written to, and so does a reference to it:
    to write it, to delete it or to refer to it in another database is refused. A cursor is read in a
    block of the database in which it was created. A transaction has one database: start it in the block.

    :param database: a mongojet database, of any client.
    :raises OptionError: *database* is something else.
    :raises TransactionError: this is in a transaction of another database.

    .. code-block:: python

        with using(client["example_db"]):
            await User(name="Alice", email="alice@example.com").insert()
    """
    if not isinstance(database, mongojet.Database):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            f"using() takes a mongojet Database, not {shown(database)}; "
            f'get one by client.get_database("NAME")'
        )
    own = Block(database)
    if current() is not None and not alike(own.place, here()):
        raise TransactionError(
            f"using({database.name!r}): this transaction was started for another database; start it in "
            f"the block, or step out by outside_transaction()"
        )
    with entered(own):
        yield


async def create_indexes(
    database: mongojet.Database,
    document_types: Iterable[type[DocumentBase]] | None = None,
    *,
    index_conflicts: Conflicts = "error",
) -> None:
    """Create the indexes of bound classes in another database, for :func:`using` it.

    Sends one ``listIndexes`` per collection, and one ``createIndexes`` if some are missing, like
    :func:`init`; declared options and validators of collections are created as well.

    :param database: a mongojet database, of any client.
    :param document_types: bound classes; None: all that are bound.
    :param index_conflicts: ``"error"``, or ``"warn"`` and continue without the index.
    :raises NotBoundError: a class is not bound.
    :raises IndexConflictError: a declared index cannot be created.
    :raises CollectionConflictError: a collection is not as declared.
    :raises TransactionError: in a transaction.

    .. code-block:: python

        await create_indexes(client["example_db"])
    """
    refuse_in_transaction("create_indexes()")
    with using(database):
        found = [cls for cls in _bound.classes if is_bound(cls)]
        bindings = {
            cls: binding_of(cls)
            for cls in (found if document_types is None else _listed(document_types))
        }
        declared = declared_by_collection(bindings, {})
        collections = declared_collections(bindings, {})
        await ensure_declared(collections, declared, "create", "create", index_conflicts)


async def close() -> None:
    """Unbind every class and close the clients that :func:`init` was given. Idempotent.

    Operations in flight get a few seconds to end.

    .. code-block:: python

        await close()
    """
    classes, _bound.classes = _bound.classes, {}
    clients, _bound.clients = _bound.clients, {}
    for cls in classes:
        bind(cls, None)
    forget_classes()
    await _close_clients(clients.values())


@asynccontextmanager
async def connect(
    uri: str,
    *,
    document_types: Iterable[type[DocumentBase]],
    database: str | None = None,
    indexes: Mode = "create",
    validators: Mode = "create",
    index_conflicts: Conflicts = "error",
    timeout: float | None = None,
) -> AsyncGenerator[mongojet.Database]:
    """Create a client, call :func:`init`, and :func:`close` at the end: for apps, workers and scripts.

    On exit, the classes that were bound here are unbound and the client is closed.

    :param uri: ``"mongodb://host:27017/example_db"``.
    :param database: the database's name; None: the one in the URI.
    :raises OptionError: the URI cannot be used, or neither it nor *database* names a database.

    The other parameters are :func:`init`'s. With *timeout*, the driver's ``serverSelectionTimeoutMS``
    is a little less, unless the URI sets it: an error then says why no server can be reached.

    .. code-block:: python

        async with connect("mongodb://localhost:27017/app", document_types=[User]) as db:
            await User(name="Alice", email="alice@example.com").insert()
    """
    refuse_after_fork("connect()")
    _wait_at_exit()
    if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"connect(): the URI is a str, not {shown(uri)}")
    if database is not None and not isinstance(database, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"connect(): database={shown(database)} is not the name of a database")
    types = _listed(document_types)
    try:
        client = await mongojet.create_client(_with_selection_timeout(uri, timeout))
    except (ValueError, mongojet.PyMongoError) as error:
        reason = parse(str(error)).kind
        if reason.startswith("I/O error"):  # the driver does not say of which file
            reason = f"tlsCertificateKeyFile: {reason}"
        raise OptionError(f"connect(): the URI cannot be used: {reason}") from error
    try:
        db = _database(client, database)
        await init(
            db,
            types,
            indexes=indexes,
            validators=validators,
            index_conflicts=index_conflicts,
            timeout=timeout,
            close_client=False,
        )
        try:
            yield db
        finally:
            for cls in types:
                if is_bound(cls) and binding_of(cls).target.client is client:
                    bind(cls, None)
                    _bound.classes.pop(cls, None)
            if not _bound.classes:
                forget_classes()
    finally:
        await _close_clients([client])


def _with_selection_timeout(uri: str, timeout: float | None) -> str:
    """Return the URI with a server selection timeout below *timeout*, so that its error has the reason."""
    end_of(timeout)  # refuses what is not a number of seconds
    if timeout is None or timeout > _SELECTION or "serverselectiontimeoutms=" in uri.lower():
        return uri
    milliseconds = max(1, int(max(timeout * 0.9, timeout - 0.5) * 1000))
    start, question, options = uri.partition("?")
    slash = "" if "/" in start.partition("://")[2] else "/"
    more = f"&{options}" if question and options else ""
    return f"{start}{slash}?serverSelectionTimeoutMS={milliseconds}{more}"


def _database(client: mongojet.Client, name: str | None) -> mongojet.Database:
    try:
        return client.get_database(name)  # pyright: ignore[reportUnknownMemberType]
    except ValueError as error:
        raise OptionError(
            'connect(): the URI does not name a database; write "mongodb://host/NAME" or database="NAME"'
        ) from error


async def _close_clients(clients: Iterable[mongojet.Client]) -> None:
    closed = [_close_client(client) for client in clients]
    if closed:
        await asyncio.gather(*closed)
        await asyncio.sleep(_EXIT_GRACE)


async def _close_client(client: mongojet.Client) -> None:
    await drain(client, _LAST_WORDS)
    with suppress(TimeoutError):  # a server that hangs keeps the driver's monitor waiting
        async with asyncio.timeout(_PATIENCE):
            await client.close()


def _compiled(cls: type[DocumentBase], db: mongojet.Database, timeout: float | None) -> Binding:
    forget_plan(cls)
    plan = plan_of(cls)
    refuse_what_cannot_be_bound(cls, plan)
    return _binding(plan, db, timeout)


def _binding(plan: Plan[Any], db: mongojet.Database, timeout: float | None) -> Binding:
    cls: Any = plan.cls
    codec = DECIMAL_CODEC_OPTIONS if plan.decimals else CODEC_OPTIONS
    target = Target(cls.__name__, db, collection_name_of(cls), codec, timeout)
    hooks = overridden(cls, DocumentBase)
    for member in plan.members or ():
        hooks |= overridden(member, DocumentBase) & {"__pre_save__"}
    return Binding(plan, target, hooks, scope_of(cls))


def _join_families(new: Collection[type]) -> None:
    """Make bound classes of a family also read the documents of those that are bound now."""
    bound = {cls: binding_of(cls) for cls in _bound.classes if is_bound(cls)}
    for cls, binding in bound.items():
        if tag_of(cls) is None or not any(are_relatives(cls, each) for each in new):
            continue
        database, timeout = binding.target.database, binding.target.timeout
        beside = [each for each in bound if _same_database(bound[each].target, database)]
        bind(cls, _binding(family_plan(cls, beside), database, timeout))


def _listed(document_types: Any) -> list[Any]:
    if isinstance(document_types, type):
        raise OptionError(f"document_types is a list of classes: [{document_types.__name__}]")
    if isinstance(document_types, Mapping):
        raise OptionError("document_types is a list of classes; pass the values() of a dict")
    if isinstance(document_types, str):
        raise OptionError(
            f"document_types={shown(document_types)} is not a list of classes; find the classes of a "
            f"package by collect_document_types({shown(document_types)})"
        )
    if not hasattr(document_types, "__iter__"):
        raise OptionError(f"document_types is a list of classes, not {shown(document_types)}")
    classes = list(document_types)
    for cls in classes:
        refuse_other_types(cls)
    return classes


def _same_database(target: Target, db: mongojet.Database) -> bool:
    return target.client is db.client and target.database.name == db.name


async def _hello(db: mongojet.Database, timeout: float | None) -> None:
    target = Target("init", db, "$cmd", CODEC_OPTIONS, timeout)
    try:
        await Operation(target, f"init of {db.name!r}", {}, write=False).command({"hello": 1})
    except OperationTimeoutError as error:
        raise OperationTimeoutError(
            f"{error}; if no server is there, the driver says so after the serverSelectionTimeoutMS "
            f"of the URI: make it less than the timeout",
            outcome=error.outcome,
        ) from error
