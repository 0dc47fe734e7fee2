"""Which database operations go to: that of ``init()``, or in a block that of :func:`using`."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mongojet

from mongospec_core.errors import OptionError
from mongospec_core.server.client import ClientState, state_of
from mongospec_core.server.driver import client_of

used: bool = False
"""Whether :func:`using` was ever called: until then, nobody has to ask where a document is from."""


def tenants_exist() -> bool:
    """Whether documents may be of several databases."""
    return used


class Place:
    """A database, as what a document was read from or written to remembers it.

    :ivar name: the database's name; None: it may be any, as of a reference that was made by hand.
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str | None, state: ClientState | None = None) -> None:
        self.name: str | None = name
        self.state: ClientState | None = state  # of a pickled document it is not known

    def __repr__(self) -> str:
        return f"the database {self.name!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.name,)


ANYWHERE = Place(None)


class Block:
    """One block of :func:`using`: its database, and what was bound to it in the block."""

    __slots__ = ("bindings", "database", "place")

    def __init__(self, database: mongojet.Database) -> None:
        self.database: mongojet.Database = database
        self.place: Place = Place(database.name, state_of(client_of(database)))
        self.bindings: dict[Any, Any] = {}


_block: ContextVar[Block | None] = ContextVar("mongospec_using", default=None)

block: Callable[[], Block | None] = _block.get
"""The block of :func:`using` that operations are in here, or None."""


def here() -> Place | None:
    """The database of the block that this is in; None outside of blocks."""
    current = _block.get()
    return None if current is None else current.place


def alike(one: Place | None, other: Place | None) -> bool:
    """Whether two blocks are of one database."""
    if one is None or other is None:
        return one is other
    return one.name == other.name and one.state is other.state


@contextmanager
def entered(own: Block) -> Generator[None]:
    """Let operations in the block of code go to the database of *own*."""
    global used  # noqa: PLW0603 - the process is what it is about
    used = True
    before = _block.get()
    _block.set(own)
    try:
        yield
    finally:
        _block.set(before)  # by assignment, as in transactions


def refuse_in_block(what: str) -> None:
    """Refuse what binds classes where they are bound for a moment only.

    :raises OptionError: this is in a block of :func:`using`.
    """
    if _block.get() is not None:
        raise OptionError(f"{what} cannot be called in a using() block")
