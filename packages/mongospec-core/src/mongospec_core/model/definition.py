"""Checks of document classes when they are bound; each error names the class and the way out."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_origin

from bson import Code, Regex

from mongospec_core.codec.annotations import tag_of, type_args, unwrap
from mongospec_core.codec.paths import PathTree
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import DefinitionError, UnknownFieldError, cut, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.family import are_relatives, collection_name_of
from mongospec_core.model.metaclass import is_abstract
from mongospec_core.server.indexes import Declared


def refuse_other_types(cls: Any) -> None:
    """Refuse what is not a document class, and abstract classes."""
    if not (isinstance(cls, type) and issubclass(cls, DocumentBase)):
        raise DefinitionError(f"document_types: {shown(cls)} is not a document class")  # pyright: ignore[reportUnknownArgumentType]
    if is_abstract(cls):
        raise DefinitionError(
            f"{cls.__name__} is abstract: name its concrete subclasses in document_types"
        )


def refuse_what_cannot_be_bound(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse a class whose documents could not be stored or read correctly."""
    _refuse_bad_name(cls)
    _refuse_bad_id_type(cls, plan)
    _refuse_foreign_documents(cls, plan)
    _refuse_bad_version(cls, plan)
    _refuse_bad_shard_key(cls, plan)


def _refuse_bad_name(cls: type[DocumentBase]) -> None:
    name: Any = collection_name_of(cls)
    if not isinstance(name, str) or isinstance(name, Code) or re.search("[$\0\ud800-\udfff]", name):
        raise DefinitionError(
            f"{cls.__name__}.__collection_name__ = {shown(name)} is not a valid collection name"
        )


_NO_IDS = (list, tuple, set, frozenset, re.Pattern, Regex)


def _refuse_bad_id_type(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse arrays and regular expressions, which MongoDB does not accept as an ``_id``."""
    annotation = next(each.type for each in plan.fields if each.name == "_id")
    for each in (unwrap(annotation), *type_args(annotation)):
        if (get_origin(each) or each) in _NO_IDS:
            raise DefinitionError(
                f"{cls.__name__}._id: MongoDB does not accept an array or a regular expression as an _id; "
                f"annotate a scalar or a Struct"
            )


def _refuse_foreign_documents(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse fields typed as document classes that are built on another base."""
    own: Any = cls.__bson_decoder__
    for other in plan.documents:
        if other.__bson_decoder__.__func__ is not own.__func__:
            raise DefinitionError(
                f"{cls.__name__} has a field typed as {other.__name__}, a document class with "
                f"references, but is built on a MongoDocument without: derive both "
                f"from the MongoDocument of mongospec-refs (or of mongospec)"
            )


def _refuse_bad_version(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse other than an int with default 0: documents stored before the class had versions count as 0."""
    name: Any = plan.version_field
    field = next((each for each in plan.fields if each.name == name), None)
    if name is None or (field is not None and unwrap(field.type) is int and field.default == 0):
        return
    raise DefinitionError(
        f"{cls.__name__}: version_field={shown(name)} needs a field that counts from 0; "
        f"declare {cut(name) if isinstance(name, str) else 'version'}: int = 0"
    )


def _refuse_bad_shard_key(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    tree = PathTree(cls, (plan.type,), plan.dec_hook)
    for path in plan.shard_key:
        try:
            tree.at(path)
        except UnknownFieldError as error:
            known = dict.fromkeys((*plan.encode_names, error.suggestion or plan.encode_names[0]))
            raise DefinitionError(
                f"{cls.__name__}.__shard_key__: no document has the field {shown(path)}; use the "
                f"stored names of fields: {', '.join(known)}"
            ) from error


def refuse_unique_for_some(
    declared: Iterable[Declared], relatives: Mapping[type[DocumentBase], Binding]
) -> None:
    """Refuse a unique index on fields that a related class in the collection lacks.

    MongoDB indexes a missing field as null: a second document of that class would be refused.
    """
    for index in declared:
        fields = {path.partition(".")[0] for path in index.document["key"]}
        partial = index.document.keys() & {"partialFilterExpression", "sparse"}
        if partial or not index.document.get("unique"):
            continue
        for cls, binding in relatives.items():
            if fields.isdisjoint(binding.plan.encode_names):
                field = binding.plan.tag[0] if binding.plan.tag else None
                raise DefinitionError(
                    f"{index.owner}.__indexes__: {cls.__name__} has none of the fields of the unique "
                    f"index {index.document['name']!r}, so the second {cls.__name__} would be "
                    f"refused; add sparse=True, or a partialFilterExpression on {field!r}"
                )


def refuse_shared_collections(bindings: Mapping[type[DocumentBase], Binding]) -> None:
    """Refuse related classes that share a collection, unless tags tell their documents apart.

    They would read, and delete, each other's documents.
    """
    classes = list(bindings)
    for place, one in enumerate(classes):
        for other in classes[place + 1 :]:
            name = bindings[one].target.name
            if name != bindings[other].target.name:
                continue
            if are_relatives(one, other):
                tag = tag_of(one)
                if tag is not None and tag == tag_of(other):
                    raise DefinitionError(
                        f"{one.__name__} and {other.__name__} share the collection {name!r} and both "
                        f"have the tag {tag[1]!r}: set another one for one of them by tag="
                    )
                plans = bindings[one].plan, bindings[other].plan
                if len({(each.version, each.shard_key) for each in plans}) > 1:
                    raise DefinitionError(
                        f"{one.__name__} and {other.__name__} share the collection {name!r} and have "
                        f"different version_field= or __shard_key__: declare them at the root"
                    )
            elif issubclass(one, other) or issubclass(other, one):
                base, sub = (other, one) if issubclass(one, other) else (one, other)
                raise DefinitionError(
                    f"{one.__name__} and {other.__name__} are related and share the collection "
                    f"{name!r}: each would see the other's documents; give one of them another "
                    f"__collection_name__, or tell them apart by tags: class "
                    f'{base.__name__}(..., tag_field="kind", tag={base.__name__.lower()!r}), class '
                    f"{sub.__name__}({base.__name__}, tag={sub.__name__.lower()!r})"
                )
