# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# What stands in a field is of any type; this module tells the types apart.
"""The documents of one read: one object for each ``_id`` of a class."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from bson import ObjectId

from mongospec_core.extension import DocumentBase, to_raw
from mongospec_refs.hollow import blank, class_of, fill, hollow_class, turn


def key_of(raw: Any) -> Hashable:
    """A raw ``_id`` as a key that keeps apart what MongoDB keeps apart.

    Python takes ``True`` and ``1`` for one key; documents as ids differ by the order of fields.
    """
    if isinstance(raw, bool):
        return bool, raw
    if isinstance(raw, dict):
        return dict, tuple((name, key_of(each)) for name, each in raw.items())
    if isinstance(raw, list):
        return list, tuple(key_of(each) for each in raw)
    return raw  # type: ignore[no-any-return]  # what BSON has besides is hashable


def key_of_document(document: Any) -> Hashable:
    """The key of a document's ``_id``."""
    id_ = document._id
    return id_ if type(id_) is ObjectId else key_of(to_raw(id_))


type Wanted = dict[type[Any], dict[Hashable, Any]]
"""By class and key: blank documents that a query shall fill."""


class References:
    """Every reference met in one read, and what became of it.

    A reference is *open* until it is asked for. Those that a query brought are filled in place;
    :meth:`close` makes the others hollow, once nothing is converted any more.
    """

    __slots__ = ("_known", "missing", "open", "unresolved")

    def __init__(self) -> None:
        self._known: Wanted = defaultdict(dict)
        self.open: Wanted = {}
        self.missing: list[Any] = []
        self.unresolved: list[Any] = []

    def document(self, cls: type[Any], raw: Any, id_: Any) -> Any:
        """The object for an id; a new one is blank and open."""
        key: Hashable = raw if type(raw) is ObjectId else key_of(raw)
        known = self._known[cls]
        document = known.get(key)
        if document is None:
            document = known[key] = blank(cls, id_)
            self.open.setdefault(cls, {})[key] = document
        return document

    def know(self, document: Any, cls: type[Any]) -> None:
        """References to this id are this object."""
        self._known[cls][key_of_document(document)] = document

    def enter(self, documents: list[Any]) -> None:
        """Take the roots of the read in: references to one of them are this root."""
        for place, document in enumerate(documents):
            if not isinstance(document, DocumentBase):
                continue  # what the caller's on_invalid put there
            cls, key = class_of(document), key_of_document(document)
            known = self._known[cls].setdefault(key, document)
            if known is not document:
                fill(known, document)
                documents[place] = known
                self.open.get(cls, {}).pop(key, None)

    def documents(self) -> Iterable[Any]:
        """All of them, whatever became of them."""
        for known in self._known.values():
            yield from known.values()

    def take_open(self) -> Wanted:
        """The open references, which are open no longer."""
        wanted = {cls: documents for cls, documents in self.open.items() if documents}
        self.open = {}
        return wanted

    @staticmethod
    def fill(wanted: Wanted, cls: type[Any], found: Iterable[Any]) -> None:
        """Fill blanks with the documents that a query brought, and strike them off *wanted*."""
        for document in found:
            waiting = wanted[cls].pop(key_of_document(document), None)
            if waiting is not None:
                fill(waiting, document)

    def close(self) -> None:
        """Make hollow what was not filled."""
        for cls, documents in self.take_open().items():
            for document in documents.values():
                turn(document, hollow_class(cls))
        for document in self.unresolved:
            turn(document, hollow_class(class_of(document)))
        for document in self.missing:
            turn(document, hollow_class(class_of(document), missing=True))
        self.unresolved, self.missing = [], []
