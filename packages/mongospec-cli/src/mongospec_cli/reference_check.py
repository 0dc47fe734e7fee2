"""References to documents that do not exist."""

# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from mongospec_cli.findings import Dangling
from mongospec_cli.groups import Groups, general, top
from mongospec_core import MongoDocument
from mongospec_core.extension import (
    Operation,
    binding_of,
    decode,
    encode,
    split_documents,
    to_raw,
)
from mongospec_refs.graph import references_in
from mongospec_refs.identity_map import key_of
from mongospec_refs.resolve import may_exist
from mongospec_refs.unresolved import real_class

_KNOWN = 100_000
"""How many ids of referenced documents are remembered."""
_IDS = 10_000
"""How many ids are asked for at once."""


class ReferenceCheck:
    """Looks up what the documents of one class refer to.

    :param found: what dangles is added to it.
    """

    def __init__(self, cls: type[MongoDocument], found: list[Dangling]) -> None:
        self.cls = cls
        self._groups = Groups(found)
        self._there: set[tuple[type, Hashable]] = set()  # documents that are there

    async def follow(self, documents: Sequence[Any]) -> None:
        """Look up the references of a batch."""
        references: list[tuple[Any, str, type[Any], Any, tuple[type, Hashable]]] = []
        wanted: dict[type[Any], dict[Hashable, Any]] = defaultdict(dict)
        if len(self._there) > _KNOWN:
            self._there.clear()
        for document in documents:
            for each in references_in(document):
                cls = real_class(each.document)
                raw = to_raw(each.document._id)
                key = key_of(raw)
                references.append((document, each.path, cls, raw, (cls, key)))
                if (cls, key) not in self._there:
                    wanted[cls][key] = raw
        for cls, ids in wanted.items():
            asked = [raw for raw in ids.values() if may_exist(cls, raw)]
            for start in range(0, len(asked), _IDS):
                there = await self._stored(cls, asked[start : start + _IDS])
                self._there.update((cls, key_of(raw)) for raw in there)
        for document, path, cls, raw, key in references:
            if key not in self._there:  # asked for again in the next batch: it may come to be
                self._note(document, general(path), cls, raw)

    async def _stored(self, cls: type[Any], ids: list[Any]) -> list[Any]:
        """Return those of *ids* that documents of a class have."""
        binding = binding_of(cls)
        name = f"{self.cls.__name__}: audit: {cls.__name__}"
        options = {"projection": {"_id": 1}, "batch_size": len(ids) + 1}
        call = Operation(binding.target, name, options, write=False).without_timeout()
        batch = await call.send("find_many", encode(binding.scoped({"_id": {"$in": ids}})))
        return [decode(part)["_id"] for part in split_documents(batch)]

    def _note(self, document: Any, path: str, cls: type[Any], raw: Any) -> None:
        self._groups.add(
            (path, cls.__name__),
            (top(path), cls.__name__),
            lambda path, target: Dangling(owner=self.cls.__name__, path=path, target=target),
            (to_raw(document._id), raw),
        )
