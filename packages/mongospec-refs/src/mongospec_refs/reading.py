"""What a read asks for, references included."""

from typing import Any

from bson.codec_options import CodecOptions

from mongospec_core import OptionError
from mongospec_core.extension import (
    Call,
    OnInvalid,
    Plan,
    Projection,
    Reader,
    Reading,
    settle_read,
)
from mongospec_refs.identity import References
from mongospec_refs.resolving import ReferenceReader, resolve


class RefReading(Reading):
    """A read whose references are resolved, *depth* levels deep."""

    __slots__ = ("depth",)

    def __init__(
        self,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        *,
        resolve_refs: bool = True,
        ref_depth: int | None = None,
    ) -> None:
        super().__init__(projection, on_invalid)
        if type(resolve_refs) is not bool:
            raise OptionError(f"resolve_refs={resolve_refs!r}: say True or False")
        if ref_depth is not None and (type(ref_depth) is not int or ref_depth < 0):
            raise OptionError(f"ref_depth={ref_depth!r}: a number of levels, or None for all")
        self.depth = ref_depth if resolve_refs else 0

    def struct_reader(self, plan: Plan[Any], codec: Any, call: Call) -> Reader[Any]:
        """The reader of a document class, or of a smaller Struct with references in it."""
        if not plan.decoders:
            return Reader(plan, codec, on_invalid=self.on_invalid, call=call)
        return RootReader(
            plan,
            codec,
            call,
            depth=self.depth,
            on_invalid=self.on_invalid,
            whole=self.projection is None,
        )


class RootReader[T](ReferenceReader[T]):
    """Reads what a caller asked for, and then what that refers to.

    :param call: the read; None: nothing can be asked for, so references stay unresolved.
    :param whole: the roots are whole documents: references to one of them are this very object.
    :param guest: a hollow document outside of the read that references to its ``_id`` are to be.
    """

    __slots__ = ("_call", "_depth", "_whole")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        call: Call | None,
        *,
        depth: int | None,
        on_invalid: OnInvalid = "raise",
        whole: bool = True,
        guest: Any = None,
    ) -> None:
        super().__init__(plan, codec, References(), on_invalid=on_invalid, guest=guest)
        self._call = call
        self._depth = depth
        self._whole = whole and guest is None
        if guest is not None:
            self.references.know(guest, plan.cls)

    async def load(self, parts: list[bytes]) -> list[T]:
        """The documents of one batch, with the documents that they refer to."""
        documents = self.decode(parts)
        references = self.references
        if references.open and self._depth != 0 and self._call is not None:
            if self._whole:
                references.enter(documents)
            await resolve(self, documents, self._call, self._depth)
        references.close()
        if self._call is not None:
            settle_read(self._call, [*documents, *references.documents()])
        return documents
