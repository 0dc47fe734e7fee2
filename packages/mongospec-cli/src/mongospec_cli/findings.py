"""What an audit finds."""

from typing import Any

import msgspec


class Unreadable(msgspec.Struct, kw_only=True):
    """Stored documents that a read refuses, for one reason.

    :param owner: the class's name.
    :param path: where in the documents; empty for the document itself.
    :param reason: what is wrong there.
    :param count: how many documents.
    :param examples: the ``_id`` of a few.
    """

    owner: str
    path: str
    reason: str
    count: int = 0
    examples: list[Any] = []


class OldDocuments(msgspec.Struct, kw_only=True):
    """Stored documents in which ``__upgrade__`` changes the same fields.

    :param owner: the class's name.
    :param fields: the top-level fields that it changes, adds or removes.
    :param stable: whether it leaves its own result as it is. If not, it is not written back.
    :param count: how many documents.
    :param examples: the ``_id`` of a few.
    """

    owner: str
    fields: list[str]
    stable: bool = True
    count: int = 0
    examples: list[Any] = []


class LaxValue(msgspec.Struct, kw_only=True):
    """Stored values that a read accepts, but that are not what the class would write.

    :param owner: the class's name.
    :param path: where in the documents; ``[]`` stands for any element of a list, ``{}`` for any value of a
        dict.
    :param stored: the BSON type of what is stored.
    :param written: that of what the class would write.
    :param count: how many values.
    :param examples: the ``_id`` of a few documents.
    """

    owner: str
    path: str
    stored: str
    written: str
    count: int = 0
    examples: list[Any] = []


class UndeclaredField(msgspec.Struct, kw_only=True):
    """A stored field that the class does not declare.

    :param owner: the class's name.
    :param path: of the field; ``[]`` stands for any element of a list, ``{}`` for any value of a dict.
    :param count: how often it is there.
    :param types: how often with which BSON type.
    :param examples: the ``_id`` of a few documents.
    """

    owner: str
    path: str
    count: int = 0
    types: dict[str, int] = {}
    examples: list[Any] = []


class Dangling(msgspec.Struct, kw_only=True):
    """References to documents that do not exist.

    :param owner: the name of the class that refers.
    :param path: the field.
    :param target: the name of the class that is referred to.
    :param count: how many references.
    :param examples: a few: the ``_id`` of the document that refers, and of the one that is missing.
    """

    owner: str
    path: str
    target: str
    count: int = 0
    examples: list[tuple[Any, Any]] = []


class Audited(msgspec.Struct, kw_only=True):
    """How much of a collection was read.

    :param owner: the class's name.
    :param collection: the collection's name.
    :param documents: how many documents were read.
    """

    owner: str
    collection: str
    documents: int = 0


class Audit(msgspec.Struct, kw_only=True):
    """What was found in a database.

    :param database: the database's name.
    :param read: how much was read, of each collection.
    :param unreadable: documents that a read refuses.
    :param dangling: references to documents that do not exist.
    :param old: what ``__upgrade__`` changes whenever it is read.
    :param lax: values that are not what the class would write.
    :param undeclared: fields that no class declares; a read leaves them out.
    :param finished: whether all was read; otherwise it was broken off, or it failed.
    :param after: the last document that is done if it was broken off, as ``--after`` and
        :meth:`Position.parse` take it; None for a sample, which has no order.
    """

    database: str
    read: list[Audited] = []
    unreadable: list[Unreadable] = []
    dangling: list[Dangling] = []
    old: list[OldDocuments] = []
    lax: list[LaxValue] = []
    undeclared: list[UndeclaredField] = []
    finished: bool = False
    after: str | None = None

    @property
    def fits(self) -> bool:
        """Whether every document can be read and every reference leads somewhere."""
        return not (self.unreadable or self.dangling)
