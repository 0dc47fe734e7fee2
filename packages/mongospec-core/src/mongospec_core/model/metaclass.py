"""The metaclass: keyword-only fields, field mixins and checks of class bodies."""

import warnings
from collections.abc import Callable
from inspect import getattr_static
from typing import Any, Literal, dataclass_transform

import msgspec

from mongospec_core.codec.annotations import (
    annotations_in,
    evaluated,
    is_classvar,
    own_annotations,
    remember,
)
from mongospec_core.errors import DefinitionError, MongospecError, cut, shown

type Namespace = dict[str, Any]


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class DocumentMeta(msgspec.StructMeta):
    """The metaclass of document classes.

    Beyond msgspec's own keywords a class takes

    - ``mixin=True``: the fields in its body are added to every concrete subclass, not to itself, so
      that it can be combined with any other document class;
    - ``abstract=True`` (not inherited): it is only a base, and cannot be bound;
    - ``validate_on_write=False`` (inherited): documents are not checked before a write;
    - ``check_queries=False`` (inherited): queries are not checked against the class;
    - ``version_field="version"`` (inherited): the field that counts the writes of a document;
    - ``validator="error"`` or ``"warn"`` (inherited): the collection has a validator made from the class,
      and the server refuses, or logs, what does not fit.
    """

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: Namespace,
        *,
        mixin: bool = False,
        abstract: bool = False,
        validate_on_write: bool | None = None,
        check_queries: bool | None = None,
        version_field: str | None = None,
        validator: Literal["error", "warn"] | None = None,
        **config: Any,
    ) -> Any:
        config.setdefault("kw_only", True)
        if config.get("array_like"):
            raise DefinitionError(
                f"{name}: a document cannot be array_like, MongoDB stores documents by field name; "
                f"leave array_like out (nested Structs may have it)"
            )
        namespace["__annotations__"] = annotations_in(namespace)
        _refuse_dunders(name, namespace)
        _refuse_plain_hooks(name, namespace)
        fields = _own_fields(namespace)
        if mixin:
            _pop_fields(namespace, fields)
            namespace.setdefault("__post_init__", _refuse_instance(name))
        else:
            _warn_of_hidden(name, bases, fields)
            _add_mixin_fields(bases, namespace)
            _inherit_id(bases, namespace)
        namespace["__abstract__"] = abstract or mixin
        if validator not in (None, "error", "warn"):
            raise DefinitionError(f'{name}: validator={shown(validator)}: use "error" or "warn"')
        shard_key: Any = namespace.get("__shard_key__", ())
        if not isinstance(shard_key, tuple | list):
            one = cut(shard_key) if isinstance(shard_key, str) else "name"
            raise DefinitionError(
                f"{name}.__shard_key__ = {shown(shard_key)} is not a tuple of names; write ({one!r},)"
            )
        said = {
            "__validate_on_write__": validate_on_write,
            "__check_queries__": check_queries,
            "__version_field__": version_field,
            "__validator__": validator,
        }
        namespace.update({key: value for key, value in said.items() if value is not None})
        try:
            cls = super().__new__(mcls, name, bases, namespace, **config)
        except TypeError as error:
            if isinstance(error, MongospecError):
                raise
            if "lay-out conflict" not in str(error):  # msgspec's, of a keyword or an annotation
                raise DefinitionError(f"{name}: {cut(str(error))}") from error
            raise DefinitionError(
                f"{name}: two of its bases have fields of their own, which Python cannot combine; "
                f"declare one of them with mixin=True"
            ) from error
        except ValueError as error:  # a stored name with NUL, a tag that is a field's name, ...
            renamed = [field for field in fields if _stored_as_id(namespace.get(field))]
            way = f"; annotate _id in place of {renamed[0]}, stored as _id" if renamed else ""
            raise DefinitionError(f"{name}: {cut(str(error))}{way}") from error
        _refuse_stored_names(cls)
        if "[" not in name:  # not a generated class
            remember(cls)
        return cls


def _stored_as_id(default: Any) -> bool:
    return getattr(default, "name", None) == "_id"


def is_abstract(cls: type) -> bool:
    """Return whether *cls* is only a base: ``abstract=True``, a mixin, or with abstract methods."""
    return bool(cls.__dict__.get("__abstract__")) or any(
        getattr(getattr_static(cls, name, None), "__isabstractmethod__", False) is True
        for name in dir(cls)
    )


def _own_fields(namespace: Namespace) -> dict[str, Any]:
    annotations = namespace["__annotations__"]
    return {field: tp for field, tp in annotations.items() if not is_classvar(tp)}


def _refuse_dunders(name: str, namespace: Namespace) -> None:
    for field, tp in _own_fields(namespace).items():
        if field.startswith("__") and field.endswith("__"):
            raise DefinitionError(
                f"{name}.{field} is annotated like a field of the document; "
                f"write {field}: ClassVar[{tp if isinstance(tp, str) else '...'}] = ..."
            )


def _refuse_plain_hooks(name: str, namespace: Namespace) -> None:
    for hook in ("__pre_update__", "__pre_find__", "__upgrade__"):
        if hook in namespace and not isinstance(namespace[hook], classmethod | staticmethod):
            raise DefinitionError(
                f"{name}.{hook} is called on the class; put @classmethod above it"
            )


def _refuse_stored_names(cls: Any) -> None:
    for field, stored in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        if "." in stored or "\0" in stored or stored.startswith("$"):
            raise DefinitionError(
                f"{cls.__name__}.{field} would be stored as {stored!r}, which MongoDB reads as a "
                f"path or an operator; give it another name in msgspec.field(name=...) or rename"
            )


def _warn_of_hidden(name: str, bases: tuple[type, ...], fields: dict[str, Any]) -> None:
    """Warn if a field hides an inherited method or attribute of the same name."""
    for field in fields:
        for base in bases:
            hidden = getattr(base, field, None)
            if field in getattr(base, "__struct_fields__", ()) or hidden is None:
                continue
            if not callable(hidden) and not isinstance(hidden, property):
                continue
            owner = next(cls for cls in base.__mro__ if field in cls.__dict__)
            kind = owner.__dict__[field]
            way = (
                f"super({name}, {name}).{field}(...)"
                if isinstance(kind, classmethod)
                else f"super({name}, document).{field}"
            )
            warnings.warn(
                f"the field {name}.{field} hides {owner.__name__}.{field}; "
                f"that one is still there as {way}",
                UserWarning,
                stacklevel=3,
            )
            break


# -- field mixins: two Structs that both add fields cannot be combined in CPython


def _pop_fields(namespace: Namespace, fields: dict[str, Any]) -> None:
    """Move a mixin's fields out of its body, for its concrete subclasses."""
    annotations = namespace["__annotations__"]
    namespace["__annotations__"] = {k: v for k, v in annotations.items() if k not in fields}
    namespace["__mixin_fields__"] = {
        field: (tp, namespace.pop(field, msgspec.NODEFAULT)) for field, tp in fields.items()
    }


def _add_mixin_fields(bases: tuple[type, ...], namespace: Namespace) -> None:
    """Add the fields of all mixins among the bases, unless the class has them already."""
    annotations = namespace["__annotations__"]
    given = {field for base in bases for field in getattr(base, "__struct_fields__", ())}
    for base in bases:
        for cls in base.__mro__:
            for field, (tp, default) in cls.__dict__.get("__mixin_fields__", {}).items():
                if field in annotations or (field in given and field != "_id"):
                    continue
                annotations[field] = _elsewhere(tp, cls)
                if default is not msgspec.NODEFAULT and field not in namespace:
                    namespace[field] = default


def _inherit_id(bases: tuple[Any, ...], namespace: Namespace) -> None:
    """Take the type and default of ``_id`` from the base that declares its own, if there are several.

    msgspec would take the default of the first base, even if that one does not declare ``_id``.
    """
    if len(bases) < 2 or "_id" in namespace["__annotations__"]:
        return
    owners = {base: _owner_of_id(base) for base in bases if hasattr(base, "__struct_fields__")}
    own = [
        base
        for base, owner in owners.items()
        if not any(other is not owner and issubclass(other, owner) for other in owners.values())
    ]
    if not own or own[0] is bases[0]:
        return
    base, owner = own[0], owners[own[0]]
    namespace["__annotations__"]["_id"] = _elsewhere(own_annotations(owner)["_id"], owner)
    defaults = (msgspec.NODEFAULT,) * len(base.__struct_fields__) + base.__struct_defaults__
    default = defaults[base.__struct_fields__.index("_id") - len(base.__struct_fields__)]
    if default is not msgspec.NODEFAULT:
        namespace["_id"] = default


def _elsewhere(annotation: Any, cls: type) -> Any:
    """Return an annotation of *cls* for use in another module, where its names may be unknown."""
    try:
        return evaluated(annotation, cls)
    except NameError:  # by the name of a document class, later
        return annotation


def _owner_of_id(base: type) -> Any:
    return next(cls for cls in base.__mro__ if "_id" in own_annotations(cls))


def _refuse_instance(name: str) -> Callable[[Any], None]:
    def refuse(self: Any) -> None:
        if "__mixin_fields__" in type(self).__dict__:
            raise DefinitionError(
                f"{name} is a mixin and has no documents of its own; "
                f"subclass it: class My{name}({name}, Document): ..."
            )
        found = [cls.__dict__.get("__post_init__") for cls in type(self).__mro__]
        after = next(filter(None, found[found.index(refuse) + 1 :]), None)
        if after is not None:  # of a base beside the mixin
            after(self)

    return refuse
