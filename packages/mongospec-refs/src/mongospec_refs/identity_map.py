"""The documents of one read: one object for each ``_id`` of a class."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, get_args

import msgspec
from bson import Code, DBRef, ObjectId, Regex

from mongospec_core import DocumentValidationError, InvalidIdError
from mongospec_core.extension import (
    CHECKING,
    DocumentBase,
    Plan,
    as_id,
    own_class,
    plan_of,
    reading_plan,
    rejected,
    to_raw,
    unwrap,
)
from mongospec_refs.graph import replace_stand_ins
from mongospec_refs.unresolved import class_of, fill, placeholder, set_class, unresolved_class


def key_of(raw: Any) -> Hashable:
    """Return a raw ``_id`` as a key that is equal only for ids that are equal in MongoDB.

    For Python ``True`` and ``1`` are one key; documents as ids differ by the order of fields. An
    ObjectId's bytes are compared by C code, unlike ObjectIds.
    """
    if type(raw) is ObjectId:
        return raw.binary
    if isinstance(raw, bool | bytes):
        return type(raw), raw
    if isinstance(raw, dict):
        return dict, tuple((name, key_of(each)) for name, each in raw.items())
    if isinstance(raw, list):
        return list, tuple(key_of(each) for each in raw)
    if isinstance(raw, Regex | Code):
        return type(raw), repr(raw)
    return raw  # type: ignore[no-any-return]  # other BSON values are hashable


def key_of_document(document: Any) -> Hashable:
    """Return the key of a document's ``_id``."""
    id_ = document._id
    return id_.binary if type(id_) is ObjectId else key_of(to_raw(id_))


type Wanted = dict[type[Any], dict[Hashable, Any]]
"""Placeholders that a query will fill, by class and key."""


class IdentityMap:
    """All references of one read, by their ids.

    A reference is *open* until a query asks for it. Those that a query found are filled in place;
    :meth:`finish` makes the others unresolved, after the last conversion.

    A placeholder is of the class that its field is annotated with. If its document turns out to be of a
    subclass (of one family), it cannot become that document; :meth:`put_in_place` replaces it.
    """

    __slots__ = ("_known", "_stand_ins", "missing", "open", "unresolved")

    def __init__(self) -> None:
        self._known: Wanted = defaultdict(dict)
        self._stand_ins: dict[int, tuple[Any, Any]] = {}
        self.open: Wanted = {}
        self.missing: list[Any] = []
        self.unresolved: list[Any] = []

    def document(self, cls: type[Any], raw: Any, id_: Any) -> Any:
        """Return the object for an id, a new one being an open placeholder."""
        key: Hashable = raw.binary if type(raw) is ObjectId else key_of(raw)
        known = self._known[cls]
        document = known.get(key)
        if document is None:
            document = known[key] = placeholder(cls, id_)
            self.open.setdefault(cls, {})[key] = document
        return document

    def add(self, document: Any, cls: type[Any]) -> None:
        """Use this object for references to its id."""
        self._known[cls][key_of_document(document)] = document

    def adopt(self, document: Any, cls: type[Any]) -> Any:
        """Return the object for a document that came with the read; references to its id are it."""
        key = key_of_document(document)
        if class_of(document) is not cls:
            known = self.document(cls, to_raw(document._id), document._id)
            self.open.get(cls, {}).pop(key, None)
            self._stand_in(known, self._known[class_of(document)].setdefault(key, document))
            return known
        known = self._known[cls].setdefault(key, document)
        if known is not document and self.open.get(cls, {}).pop(key, None) is not None:
            fill(known, document)
        return known

    def adopt_roots(self, documents: list[Any]) -> None:
        """Use the roots of the read for references to them."""
        for place, document in enumerate(documents):
            if not isinstance(document, DocumentBase):
                continue  # a value from the caller's on_invalid
            cls, key = class_of(document), key_of_document(document)
            known = self._known[cls].setdefault(key, document)
            if known is not document:
                fill(known, document)
                documents[place] = known
                self.open.get(cls, {}).pop(key, None)

    def documents(self) -> Iterable[Any]:
        """Return all documents, resolved or not."""
        for known in self._known.values():
            yield from known.values()

    def take_open(self) -> Wanted:
        """Return the open references, and mark them as no longer open."""
        for cls in self.open:
            for member in reading_plan(cls).members or ():
                if member is not cls and member in self._known:
                    self._match(cls, self._known[member])
        wanted = {cls: documents for cls, documents in self.open.items() if documents}
        self.open = {}
        return wanted

    def _match(self, cls: type[Any], known: Mapping[Hashable, Any]) -> None:
        """Resolve open references of *cls* whose documents are already known."""
        waiting = self.open[cls]
        for key in waiting.keys() & known.keys():
            if key not in self.open.get(class_of(known[key]), ()):
                self._stand_in(waiting.pop(key), known[key])

    def fill(self, wanted: Wanted, cls: type[Any], found: Iterable[Any]) -> None:
        """Fill placeholders with the documents that a query found, and remove them from *wanted*."""
        waiting = wanted[cls]
        if reading_plan(cls).members is not None:
            self._fill_of_family(wanted, cls, found)
            return
        for document in found:
            stub = waiting.pop(key_of_document(document), None)
            if stub is not None:
                fill(stub, document)

    def _fill_of_family(self, wanted: Wanted, cls: type[Any], found: Iterable[Any]) -> None:
        for document in found:
            key, own = key_of_document(document), class_of(document)
            stub = wanted[cls].pop(key, None)
            if stub is None:
                continue
            if own is cls:
                fill(stub, document)
                continue
            known = self._known[own].setdefault(key, document)
            for others in (wanted.get(own, {}), self.open.get(own, {})):
                if others.pop(key, None) is not None:
                    fill(known, document)
            self._stand_in(stub, known)

    def _stand_in(self, waiting: Any, document: Any) -> None:
        self._stand_ins[id(waiting)] = waiting, document  # keeps the id from being reused

    def put_in_place(self, roots: Iterable[Any]) -> None:
        """Replace placeholders by their documents, in *roots* and in each other."""
        if self._stand_ins:
            documents = {key: document for key, (_, document) in self._stand_ins.items()}
            for holder in (*roots, *self.documents()):
                replace_stand_ins(holder, documents)

    def finish(self) -> None:
        """Make placeholders that were not filled unresolved."""
        for cls, documents in self.take_open().items():
            for document in documents.values():
                set_class(document, unresolved_class(cls))
        for document in self.unresolved:
            set_class(document, unresolved_class(class_of(document)))
        for document in self.missing:
            set_class(document, unresolved_class(class_of(document), missing=True))
        self.unresolved, self.missing = [], []


_EXACT = frozenset({ObjectId, str, int, bytes, uuid.UUID, dt.datetime})
"""Types of ids that are the same in raw data and in Python."""
_MOST_PLACEHOLDERS = 4_096


class IdDecoder:
    """The decoder of fields annotated with one document class."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self._exact: frozenset[type] | None = None
        self._placeholders: dict[Any, Any] = {}

    def __call__(self, raw: Any, reader: Any) -> Any:
        exact = self._exact
        if exact is None:
            exact = self._exact = self._exact_types()
        if type(raw) in exact:
            if reader is CHECKING:
                return self._checked(raw)
            return reader.references.document(self.cls, raw, raw)
        if raw is None:  # None is not a reference, even if an _id may be None
            return None
        try:
            id_ = self._read(raw)
        except (msgspec.ValidationError, TypeError, ValueError):
            return self._refused(raw, reader)
        if reader is CHECKING:
            return placeholder(self.cls, id_)
        return reader.references.document(self.cls, raw, id_)

    def _checked(self, id_: Any) -> Any:
        """Return one instance per id: checks discard it."""
        document = self._placeholders.get(id_)
        if document is None:
            if len(self._placeholders) >= _MOST_PLACEHOLDERS:
                self._placeholders.clear()
            document = self._placeholders[id_] = placeholder(self.cls, id_)
        return document

    # At the first value, because referenced classes may be compiled later than this one.

    def _exact_types(self) -> frozenset[type]:
        annotation = unwrap(self._plan.fields[self._place].type)
        return _EXACT.intersection(unwrap(each) for each in (annotation, *get_args(annotation)))

    @cached_property
    def _plan(self) -> Plan[Any]:
        return plan_of(self.cls)

    @cached_property
    def _place(self) -> int:
        return self._plan.encode_names.index("_id")

    @cached_property
    def _read(self) -> Callable[[Any], Any]:
        return lambda raw: self._plan.convert_field(self._place, raw, CHECKING)

    def _refused(self, raw: Any, reader: Any) -> Any:
        """Return what msgspec refuses; it may accept a plain value for another type of a union."""
        if getattr(reader, "reads_json", False):
            return self._of_json(raw, reader)
        name = self.cls.__name__
        if isinstance(raw, DBRef):
            return rejected(f"looks like a DBRef; a reference to {name} is stored as the plain _id")
        joined = isinstance(raw, Mapping) and getattr(reader, "joined", False)
        if joined and raw.get("_id") is None:
            return rejected(f"a copy of a {name} without its _id")
        if joined:
            try:
                return reader.read_joined(self._plan, raw)
            except DocumentValidationError:
                if hasattr(self.cls, "__upgrade__"):
                    return rejected(f"a document that is not read as a {name}")
                return self._plan.decode(raw, reader)  # msgspec reports what does not fit
        if isinstance(raw, Mapping):
            return rejected(
                f"looks like an embedded copy of a {name}; a reference is stored as its _id"
            )
        return raw

    def _of_json(self, raw: Any, reader: Any) -> Any:
        """Decode JSON: an id as text, a reference as ``{"_id": id}``, or an embedded document."""
        if isinstance(raw, dict) and raw.keys() != {"_id"}:
            if (own := own_class(self.cls, raw)) is not self.cls:
                return rejected(
                    f"an embedded {own.__name__}, a subclass of {self.cls.__name__}; use its _id"
                )
            return self._plan.decode(raw, reader)
        try:
            id_ = as_id(self._plan, raw["_id"] if isinstance(raw, dict) else raw)
        except InvalidIdError as error:
            return rejected(str(error).partition(": ")[2])
        return reader.references.document(self.cls, to_raw(id_), id_)
