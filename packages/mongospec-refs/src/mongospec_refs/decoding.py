"""How an id in a field annotated with a document class becomes something that msgspec accepts."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, get_args

import msgspec
from bson import DBRef, ObjectId

from mongospec_core.extension import CHECKING, Plan, bare, misfit, plan_of
from mongospec_refs.hollow import blank

_EXACT = frozenset({ObjectId, str, int, bytes, uuid.UUID, dt.datetime})
"""Types of ids that are alike as raw data and in Python."""
_MOST_BLANKS = 4_096


class IdDecoder:
    """The decoder of fields annotated with one document class."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self._blanks: dict[Any, Any] = {}

    def __call__(self, raw: Any, reader: Any) -> Any:
        if raw is None:  # a class whose _id may be None has no reference of that id
            return None
        if type(raw) in self._exact:
            id_ = raw
            if reader is CHECKING:
                return self._checked(raw)
        else:
            try:
                id_ = self._read(raw)
            except (msgspec.ValidationError, TypeError, ValueError):
                return self._refused(raw)
        if reader is CHECKING:
            return blank(self.cls, id_)
        return reader.references.document(self.cls, raw, id_)

    def _checked(self, id_: Any) -> Any:
        """A check throws its instances away: one for each id will do."""
        document = self._blanks.get(id_)
        if document is None:
            if len(self._blanks) >= _MOST_BLANKS:
                self._blanks.clear()
            document = self._blanks[id_] = blank(self.cls, id_)
        return document

    # Asked for at the first value: when a class is compiled, those that it refers to need not be.

    @cached_property
    def _exact(self) -> frozenset[type]:
        annotation = bare(self._plan.fields[self._place].type)
        return _EXACT.intersection(bare(each) for each in (annotation, *get_args(annotation)))

    @cached_property
    def _plan(self) -> Plan[Any]:
        return plan_of(self.cls)

    @cached_property
    def _place(self) -> int:
        return self._plan.encode_names.index("_id")

    @cached_property
    def _read(self) -> Callable[[Any], Any]:
        return lambda raw: self._plan.convert_field(self._place, raw, CHECKING)

    def _refused(self, raw: Any) -> Any:
        """What msgspec refuses; a plain value it may take for another arm of a union."""
        name = self.cls.__name__
        if isinstance(raw, DBRef):
            return misfit(f"looks like a DBRef; a reference to {name} is stored as the plain _id")
        if isinstance(raw, Mapping):
            return misfit(
                f"looks like an embedded copy of a {name}; a reference is stored as its _id"
            )
        return raw
