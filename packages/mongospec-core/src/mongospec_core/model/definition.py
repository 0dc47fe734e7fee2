"""What a class must be to be bound; each refusal names the class and the way out."""

import re
from collections.abc import Mapping
from typing import Any, get_origin

import msgspec
from bson import Regex

from mongospec_core.codec.annotations import declared_fields
from mongospec_core.codec.field_codec import type_args, unwrap
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import DefinitionError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.metaclass import is_abstract


def refuse_other_types(cls: Any) -> None:
    """Refuse what is no document class, and classes that are bases only."""
    if not (isinstance(cls, type) and issubclass(cls, DocumentBase)):
        raise DefinitionError(f"document_types: {shown(cls)} is not a document class")
    if is_abstract(cls):
        raise DefinitionError(
            f"{cls.__name__} is abstract: name its concrete subclasses in document_types"
        )


def refuse_what_cannot_be_bound(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse a class that MongoDB, or mongospec, could not keep documents of."""
    _refuse_bad_name(cls)
    _refuse_bad_id_type(cls, plan)
    _refuse_foreign_documents(cls, plan)
    _refuse_bad_version(cls, plan)
    _refuse_bad_shard_key(cls, plan)


def _refuse_bad_name(cls: type[DocumentBase]) -> None:
    name: Any = cls.__collection_name__ or cls.__name__
    if not isinstance(name, str) or "$" in name or "\0" in name:
        raise DefinitionError(
            f"{cls.__name__}.__collection_name__ = {name!r} is no name of a collection"
        )


_NO_IDS = (list, tuple, set, frozenset, re.Pattern, Regex)


def _refuse_bad_id_type(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """MongoDB takes no array and no regular expression for an ``_id``."""
    annotation = next(each.type for each in plan.fields if each.name == "_id")
    for each in (unwrap(annotation), *type_args(annotation)):
        if (get_origin(each) or each) in _NO_IDS:
            raise DefinitionError(
                f"{cls.__name__}._id: MongoDB takes no array and no regular expression for an _id; "
                f"annotate a scalar or a Struct"
            )


def _refuse_foreign_documents(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """A class reads fields typed as documents only where it is built on the same base as they."""
    own: Any = cls.__bson_decoder__
    for other in plan.documents:
        if other.__bson_decoder__.__func__ is not own.__func__:
            raise DefinitionError(
                f"{cls.__name__} has a field typed as {other.__name__}, a document class with "
                f"references, but is built on a MongoDocument without: derive both "
                f"from the MongoDocument of mongospec-refs (or of mongospec)"
            )


def _refuse_bad_version(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """A document that was stored before the class had versions counts as version 0."""
    name = plan.version_field
    field = next((each for each in plan.fields if each.name == name), None)
    if name is None or (field is not None and unwrap(field.type) is int and field.default == 0):
        return
    raise DefinitionError(
        f"{cls.__name__}: version_field={name!r} needs a field that counts from 0; "
        f"declare {name}: int = 0"
    )


def _refuse_bad_shard_key(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    if isinstance(cls.__shard_key__, str):
        raise DefinitionError(
            f"{cls.__name__}.__shard_key__ = {cls.__shard_key__!r} is not a tuple of names; "
            f"write ({cls.__shard_key__!r},)"
        )
    for path in plan.shard_key:
        stored = _stored_path(plan.type, path)
        if path.partition(".")[0] not in plan.encode_names or stored != path:
            known = ", ".join(plan.encode_names)
            raise DefinitionError(
                f"{cls.__name__}.__shard_key__: no document has the field {path!r}; it takes the "
                f"names that fields are stored under: {known if stored == path else stored}"
            )


def _stored_path(annotation: Any, path: str) -> str:
    """Return *path* with stored names in place of the Python names in it."""
    name, dot, rest = path.partition(".")
    tp = unwrap(annotation)
    cls: Any = get_origin(tp) or tp
    if not (isinstance(cls, type) and issubclass(cls, msgspec.Struct)):
        if isinstance(cls, type) and issubclass(cls, Mapping):
            return path  # its keys are data
        inside = (_stored_path(each, path) for each in type_args(tp))
        return next((stored for stored in inside if stored != path), path)
    fields = {each.name: each for each in declared_fields(tp)}
    fields |= {each.encode_name: each for each in fields.values()}  # a stored name comes first
    field = fields.get(name)
    if field is None:
        return path
    return field.encode_name + dot + (_stored_path(field.type, rest) if rest else rest)


def refuse_shared_collections(bindings: Mapping[type[DocumentBase], Binding]) -> None:
    """Related classes on one collection would read, and delete, each other's documents."""
    classes = list(bindings)
    for place, one in enumerate(classes):
        for other in classes[place + 1 :]:
            same = bindings[one].target.name == bindings[other].target.name
            if same and (issubclass(one, other) or issubclass(other, one)):
                raise DefinitionError(
                    f"{one.__name__} and {other.__name__} are related and share the collection "
                    f"{bindings[one].target.name!r}: each would see the other's documents; give "
                    f"one of them another __collection_name__"
                )
