"""The database that operations go to: that of ``init()``, or that of a :func:`using` block."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mongojet

from mongospec_core.errors import OptionError
from mongospec_core.server.client import ClientState, state_of
from mongospec_core.server.driver import client_of

used: bool = False
"""Whether :func:`using` was ever called: until then, the origin of documents is not checked."""


def tenants_exist() -> bool:
    """Return whether documents may belong to several databases."""
    return used


class Place:
    """The database that a document was read from or written to.

    :ivar name: the database's name; None: any, for a reference that was made by hand.
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str | None, state: ClientState | None = None) -> None:
        self.name: str | None = name
        self.state: ClientState | None = state  # unknown for a pickled document

    def __repr__(self) -> str:
        return f"the database {self.name!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.name,)


ANYWHERE = Place(None)


class Block:
    """One block of :func:`using`: its database, and the bindings to it."""

    __slots__ = ("bindings", "database", "place")

    def __init__(self, database: mongojet.Database) -> None:
        self.database: mongojet.Database = database
        self.place: Place = Place(database.name, state_of(client_of(database)))
        self.bindings: dict[Any, Any] = {}


_block: ContextVar[Block | None] = ContextVar("mongospec_using", default=None)

block: Callable[[], Block | None] = _block.get
"""The current block of :func:`using`, or None."""


def here() -> Place | None:
    """Return the database of the current block; None outside of blocks."""
    current = _block.get()
    return None if current is None else current.place


def alike(one: Place | None, other: Place | None) -> bool:
    """Return whether two blocks have the same database."""
    if one is None or other is None:
        return one is other
    return one.name == other.name and one.state is other.state


@contextmanager
def entered(own: Block) -> Generator[None]:
    """Send operations in the block of code to the database of *own*."""
    global used  # noqa: PLW0603 - it is a state of the process
    used = True
    before = _block.get()
    _block.set(own)
    try:
        yield
    finally:
        _block.set(before)  # by assignment, as in transactions


def refuse_in_block(what: str) -> None:
    """Refuse to bind classes in a :func:`using` block, whose bindings are temporary.

    :raises OptionError: this is in a block of :func:`using`.
    """
    if _block.get() is not None:
        raise OptionError(f"{what} cannot be called in a using() block")
