"""The graph that hangs together by references: every loaded document once, without recursion."""

from collections.abc import Iterable
from typing import Any

from mongospec_core.extension import DocumentBase
from mongospec_refs.hollow import is_resolved
from mongospec_refs.shapes import links_of


def loaded(roots: Iterable[Any]) -> list[Any]:
    """The documents that can be reached from *roots*, these included; each once.

    A document comes after those that it refers to (in a cycle, after those that can be), siblings in
    the order of the fields. Hollow documents are none of them.
    """
    found: list[Any] = []
    seen: set[int] = set()
    todo = [(root, False) for root in reversed(list(roots))]
    while todo:
        document, left = todo.pop()
        if left:
            found.append(document)
        elif id(document) not in seen:
            seen.add(id(document))
            todo.append((document, True))
            todo += [(each, False) for each in reversed(references_of(document))]
    return found


def references_of(document: Any) -> list[Any]:
    """The loaded documents that *document* refers to itself."""
    return [
        link.document
        for link in links_of(document)
        if isinstance(link.document, DocumentBase) and is_resolved(link.document)
    ]
