"""Indexes, options and validators that classes declare: collected by their collections, and created."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.collection_options import (
    DeclaredCollection,
    declared_collection,
    ensure_collection,
)
from mongospec_core.model.definition import refuse_unique_for_some
from mongospec_core.model.family import are_relatives
from mongospec_core.operations.path_checks import check_indexes
from mongospec_core.server.client import Target
from mongospec_core.server.indexes import (
    Conflicts,
    Declared,
    Mode,
    declared_indexes,
    ensure_indexes,
    merged,
)
from mongospec_core.server.operation import Operation


def declared_by_collection(
    bindings: dict[type[DocumentBase], Binding], others: dict[type[DocumentBase], Binding]
) -> list[tuple[Target, Sequence[Declared]]]:
    """Return the indexes that classes declare, by their collections.

    :param others: classes beside them in the database, of which some may be relatives.
    :raises DefinitionError: they contradict each other, or their classes.
    """
    targets = {binding.target.name: binding.target for binding in bindings.values()}
    declared: dict[str, list[Declared]] = defaultdict(list)
    for cls, binding in bindings.items():
        found = declared_indexes(cls)
        if binding.paths is not None:
            check_indexes(binding.paths, found)
        relatives = {
            each: other
            for each, other in (others | bindings).items()
            if each is not cls and are_relatives(each, cls)
        }
        refuse_unique_for_some(found, relatives)
        declared[binding.target.name] += found
    return [(targets[name], merged(found)) for name, found in declared.items()]


def declared_collections(
    bindings: dict[type[DocumentBase], Binding], others: dict[type[DocumentBase], Binding]
) -> list[tuple[Target, DeclaredCollection]]:
    """Return the options and validators that classes declare, by their collections; none without any.

    :param others: classes beside them in the database, of which some may be in the same collections.
    :raises DefinitionError: they contradict each other, or their classes.
    """
    targets = {binding.target.name: binding.target for binding in bindings.values()}
    found: list[tuple[Target, DeclaredCollection]] = []
    for name, target in targets.items():
        inside = [cls for cls, each in (bindings | others).items() if each.target.name == name]
        if (declared := declared_collection(inside)) is not None:
            found.append((target, declared))
    return found


async def ensure_declared(
    collections: Iterable[tuple[Target, DeclaredCollection]],
    declared: Iterable[tuple[Target, Sequence[Declared]]],
    mode: Mode,
    validators: Mode,
    conflicts: Conflicts,
) -> None:
    """Create or check the collections and indexes that were declared.

    :raises CollectionConflictError, IndexConflictError: they are not as declared.
    """
    for target, collection in collections:  # first: an index creates a collection without options
        call = Operation(target, f"{collection.owner}: collection", {}, write=True)
        await ensure_collection(call, collection, mode, validators, conflicts)
    for target, wanted in declared:
        owners = ", ".join(dict.fromkeys(each.owner for each in wanted))
        call = Operation(target, f"{owners}: indexes", {}, write=True)
        await ensure_indexes(call, wanted, mode, conflicts)
