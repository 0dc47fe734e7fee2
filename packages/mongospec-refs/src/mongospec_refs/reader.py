"""A reader of documents with references: it collects them, or reads the documents that replace them."""

from collections.abc import Iterable, Mapping
from typing import Any

from bson.codec_options import CodecOptions

from mongospec_core.extension import (
    DECIMAL_CODEC_OPTIONS,
    DocumentBase,
    OnInvalid,
    Plan,
    Reader,
    encode,
    reading_plan,
    set_snapshot,
    snapshot_of,
    with_fields,
)
from mongospec_refs.graph import reference_fields
from mongospec_refs.identity_map import IdentityMap
from mongospec_refs.unresolved import class_of, is_resolved, real_class, set_class


class ReferenceReader[T](Reader[T]):
    """A reader that collects the references of a whole read.

    :ivar joined: whether references may be whole documents, as ``$lookup`` returns them.
    """

    __slots__ = ("joined", "references", "target")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        references: IdentityMap,
        *,
        on_invalid: OnInvalid = "raise",
        target: Any = None,
    ) -> None:
        super().__init__(plan, codec, on_invalid=on_invalid)
        self.references = references
        self.target = target
        self.joined = False

    def read_joined(self, plan: Plan[Any], raw: Mapping[str, Any]) -> Any:
        """Return the document that replaces a reference; one object for one ``_id``.

        :raises DocumentValidationError: it does not fit its class.
        """
        reader = ReferenceReader(reading_plan(plan.cls), DECIMAL_CODEC_OPTIONS, self.references)
        reader.joined = True
        (document,) = reader.decode([encode(raw)])
        return self.references.adopt(document, plan.cls)

    def decode(self, parts: list[bytes]) -> list[T]:
        """Decode as every reader; meanwhile an unresolved target is of its exact class."""
        target = self.target
        if self.joined:  # by a pipeline, which has no target
            documents = super().decode(parts)
            _remember_ids(self.plan, documents)
            return documents
        if target is None or is_resolved(target):
            return super().decode(parts)
        own = class_of(target)
        set_class(target, real_class(target))
        try:
            return super().decode(parts)
        finally:
            set_class(target, own)


def _remember_ids(plan: Plan[Any], documents: Iterable[Any]) -> None:
    """Set the snapshots of documents with joined ones, which are stored as ids."""
    for document in documents:
        form = snapshot_of(document) if isinstance(document, DocumentBase) else None
        if isinstance(form, bytes):
            own = plan if plan.members is None else plan.members[class_of(document)]
            places = {name: own.encode_names.index(name) for name in reference_fields(own.cls)}
            ids = {
                name: own.encode_field(place, getattr(document, own.fields[place].name))
                for name, place in places.items()
            }
            set_snapshot(document, with_fields(form, ids))
