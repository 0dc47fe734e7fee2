"""Schemas of the classes: for MongoDB's validators, and JSON Schema for others."""

from collections.abc import Iterable
from typing import Any

import msgspec

from mongospec_core import MongoDocument, schema_hook
from mongospec_core.extension import DocumentBase, bson_schema, collection_name_of, resolve_names


def schema(document_types: Iterable[type[MongoDocument]]) -> dict[str, dict[str, Any]]:
    """Return the ``$jsonSchema`` of each collection.

    It says what documents written by these classes are like, and refuses what a read by them would refuse,
    as far as ``$jsonSchema`` can say it: it knows nothing of ``__post_init__``, the time of day in a
    ``date``, the text of a ``time``, the keys of a dict and the length of bytes; and a class inside of itself
    is an object of any fields. Fields with a default may be missing.

    :param document_types: the classes; they need not be bound. Of several in a collection, documents are of
        one of them.
    :returns: schemas by the collections' names.
    :raises DefinitionError: a class cannot work.

    .. code-block:: python

        validator = {"$jsonSchema": schema([User])["users"]}
        await db.run_command({"collMod": "users", "validator": validator})
    """
    found: dict[str, list[type[DocumentBase]]] = {}
    types = list(document_types)
    resolve_names(types)
    for cls in types:
        found.setdefault(collection_name_of(cls), []).append(cls)
    return {name: bson_schema(*classes) for name, classes in found.items()}


def json_schema(document_types: Iterable[type[MongoDocument]]) -> dict[str, Any]:
    """Return the JSON Schema of the classes: of the JSON that ``msgspec.json.encode`` makes of documents.

    :param document_types: the classes.
    :returns: a schema, with each class under ``$defs``.
    :raises TypeError: a class has a type that JSON Schema does not know.

    >>> sorted(json_schema([User])["$defs"])
    ['User']
    """
    types = list(document_types)
    resolve_names(types)
    _, components = msgspec.json.schema_components(
        types, schema_hook=schema_hook, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "anyOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in types],
        "$defs": components,
    }
