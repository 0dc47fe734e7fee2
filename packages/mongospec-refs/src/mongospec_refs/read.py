"""A read of documents, and then of those that they refer to."""

from typing import Any, override

from bson.codec_options import CodecOptions

from mongospec_core import OptionError
from mongospec_core.extension import (
    DECIMAL_CODEC_OPTIONS,
    Binding,
    OnInvalid,
    Operation,
    Plan,
    Projection,
    Read,
    Reader,
    settle_read,
    shown,
)
from mongospec_refs.graph import refuse_projection_into_references
from mongospec_refs.identity_map import IdentityMap
from mongospec_refs.reader import ReferenceReader
from mongospec_refs.resolve import resolve


class ReferenceRead(Read):
    """A read whose references are resolved, *depth* levels deep.

    :param target: a document outside of the read that references to its ``_id`` are to be.
    :param resolve_refs: with False, references stay unresolved.
    :param ref_depth: how many levels of references are resolved; None: all.
    """

    __slots__ = ("_target", "depth")
    parameters = frozenset({"resolve_refs", "ref_depth"})

    def __init__(
        self,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        *,
        target: Any = None,
        pipeline: bool = False,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
    ) -> None:
        super().__init__(projection, on_invalid, pipeline=pipeline)
        self._target = target
        if type(resolve_refs) is not bool:
            raise OptionError(f"resolve_refs={shown(resolve_refs)}: use True or False")
        if ref_depth is not None and (type(ref_depth) is not int or ref_depth < 0):
            raise OptionError(f"ref_depth={shown(ref_depth)}: a number of levels, or None for all")
        self.depth = ref_depth if resolve_refs else 0

    @override
    def check(self, binding: Binding) -> None:
        if isinstance(self.projection, type):
            # A class is hashable, but mypy does not know it for this metaclass.
            each: Any
            for each in binding.plan.members or (binding.plan.cls,):
                refuse_projection_into_references(each, self.projection)
        super().check(binding)

    @override
    def struct_reader(self, binding: Binding, plan: Plan[Any], codec: Any) -> Reader[Any]:
        """Return the reader of a document class, or of a smaller Struct with references in it."""
        if not plan.decoders:
            return Reader(plan, codec, on_invalid=self.on_invalid)
        reader = RootReader(
            plan,
            DECIMAL_CODEC_OPTIONS if self.pipeline else codec,
            depth=self.depth,
            on_invalid=self.on_invalid,
            whole=self.projection is None,
            target=self._target,
        )
        reader.joined = self.pipeline
        return reader


class RootReader[T](ReferenceReader[T]):
    """Reads the documents of a query, and then those that they refer to.

    :param whole: the roots are whole documents: references to one of them are this very object.
    :param target: a document outside of the read that references to its ``_id`` are to be.
    """

    __slots__ = ("_depth", "_whole")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        *,
        depth: int | None = 0,
        on_invalid: OnInvalid = "raise",
        whole: bool = True,
        target: Any = None,
    ) -> None:
        super().__init__(plan, codec, IdentityMap(), on_invalid=on_invalid, target=target)
        self._depth = depth
        self._whole = whole and target is None
        if target is not None:
            self.references.add(target, plan.cls)

    async def load(self, parts: list[bytes], call: Operation | None) -> list[T]:
        """Return the documents of one batch, with the documents that they refer to."""
        documents = self.decode(parts)
        references = self.references
        if references.open and self._depth != 0 and call is not None:
            if self._whole:
                references.adopt_roots(documents)
            await resolve(self, documents, call, self._depth)
        references.put_in_place(documents)
        references.finish()
        if call is not None:
            settle_read(call, [*documents, *references.documents()])
        return documents


class JsonReader(RootReader[Any]):
    """Reads JSON, in which a reference may be a whole document."""

    __slots__ = ()
    reads_json = True
