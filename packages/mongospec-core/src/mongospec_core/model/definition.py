"""What a class must be to be bound; each refusal names the class and the way out."""

import re
from collections.abc import Mapping
from typing import Any, get_origin

from bson import Regex

from mongospec_core.codec.field_codec import type_args, unwrap
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import DefinitionError
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding
from mongospec_core.model.metaclass import is_abstract


def refuse_other_types(cls: Any) -> None:
    """Refuse what is no document class, and classes that are bases only."""
    if not (isinstance(cls, type) and issubclass(cls, DocumentBase)):
        raise DefinitionError(f"document_types: {cls!r} is not a document class")
    if is_abstract(cls):
        raise DefinitionError(
            f"{cls.__name__} is abstract: name its concrete subclasses in document_types"
        )


def refuse_what_cannot_be_bound(cls: type[DocumentBase], plan: Plan[Any]) -> None:
    """Refuse a class that MongoDB, or mongospec, could not keep documents of."""
    _refuse_bad_name(cls)
    _refuse_bad_id_type(cls, plan)
    _refuse_foreign_documents(cls, plan)


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
