"""Check the paths that sorts, projections and indexes name, before anything is sent."""

from collections.abc import Iterable, Mapping
from typing import Any

from mongospec_core.codec.paths import Node, PathTree
from mongospec_core.errors import DefinitionError, FilterValueError, UnknownFieldError
from mongospec_core.operations.filter_checks import check_element, check_filter, is_mapping
from mongospec_core.server.indexes import Declared


def check_sort(tree: PathTree, sort: Mapping[str, Any]) -> None:
    """Check the fields of a sort, in the server's form.

    :raises UnknownFieldError: it names a field that the class does not have.
    """
    for path, direction in sort.items():
        # {"$meta": "textScore"} may have any name, and "$natural" is not a field.
        if not is_mapping(direction) and not str(path).startswith("$"):
            try:
                tree.at(path)
            except UnknownFieldError as error:
                if error.suggestion is None or not path.startswith("-"):
                    raise
                hint = f'did you mean [("{error.suggestion}", -1)]?'
                raise UnknownFieldError(tree.cls, path, error.suggestion, hint) from None


def check_projection(tree: PathTree, projection: Mapping[str, Any]) -> None:
    """Check the fields of a projection.

    :raises UnknownFieldError: it names a field that the class does not have.
    """
    _check_projection(tree, tree.root, projection, "")


def _check_projection(
    tree: PathTree, root: Node, projection: Mapping[str, Any], above: str
) -> None:
    for path, wanted in projection.items():
        if is_mapping(wanted):
            operator = next(iter(wanted), "")
            if not str(operator).startswith("$"):
                node = tree.at(path, root, above)
                _check_projection(tree, node, wanted, f"{above}{path}.")
            elif operator in ("$slice", "$elemMatch"):
                node = tree.at(path, root, above)
                if operator == "$elemMatch" and not node.free:
                    check_element(tree, node, above + path, wanted["$elemMatch"])
        elif isinstance(wanted, int | float):
            tree.at(path, root, above)
        # Other values define a new field: an expression, or a path ("$name").


def check_indexes(tree: PathTree, declared: Iterable[Declared]) -> None:
    """Check the fields of the indexes that a class declares.

    :raises DefinitionError: the class does not have one of them.
    """
    for each in declared:
        try:
            for path in each.document["key"]:
                if path != "$**":
                    tree.at(path.removesuffix(".$**"))
            check_filter(tree, each.document.get("partialFilterExpression", {}))
        except (UnknownFieldError, FilterValueError) as error:
            raise DefinitionError(
                f"{each.owner}.__indexes__: {error} (check_queries=False in the class line lets "
                f"the class have indexes and queries of other fields)"
            ) from error
