"""Unresolved documents: references to documents that were not read, or do not exist.

An unresolved document is an instance of a generated, field-less subclass (``User[unresolved]``,
``User[missing]``), so that it is an instance of ``User``, and can become a resolved one in place by
a change of its class. It has its ``_id``; its other slots hold ``msgspec.UNSET``, which every msgspec
encoder leaves out, and ``__getattribute__`` guards them.

A *placeholder* is the same object with the exact class, which :func:`msgspec.convert` accepts in a
field during a read. Callers never see one.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn, cast

import msgspec
from msgspec.structs import force_setattr

from mongospec_core.extension import (
    UNKNOWN_CONTENT,
    DocumentBase,
    Place,
    copy_snapshot,
    is_member,
    place_of,
    set_place,
    set_snapshot,
    shown,
)
from mongospec_refs.errors import MissingReferenceError, UnresolvedReferenceError

_WRITES = ("save", "insert", "insert_recursive", "delete", "dump")
"""What an unresolved document cannot do; msgspec's encoders still write it as ``{"_id": ...}``."""


class UnresolvedMixin:
    """The first base of all generated classes."""

    __slots__ = ()
    __real__: ClassVar[type[Any]]
    __closed__: ClassVar[frozenset[str]]
    __missing_target__: ClassVar[bool]

    def __init_subclass__(cls, **config: Any) -> None:
        """Skip the user's own ``__init_subclass__`` for generated classes."""

    def __post_init__(self) -> None:
        """Skip the user's own ``__post_init__``, which would find empty fields."""

    @classmethod
    def _before_write(cls, documents: Sequence[Any]) -> None:
        """Refuse to write or compare unresolved documents as a whole."""
        _refuse(documents[0], "save")

    async def reload(self, **options: Any) -> Any:
        """Read it for the first time."""
        return await cast("Any", self).fetch(**options)

    def __getattribute__(self, name: str) -> Any:
        if name in type(self).__closed__:
            _refuse(self, name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse(self, name)

    def __delattr__(self, name: str) -> None:
        _refuse(self, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(_id={_id(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DocumentBase) or not may_be_one(self, other):
            return NotImplemented
        return same_id(self, other)

    def __hash__(self) -> int:
        return hash(_id(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.setdefault(id(self), cast("Any", self).__copy__())

    def __replace__(self, /, **changes: Any) -> Any:
        _refuse(self, next(iter(changes), "_id"))

    def __reduce__(self) -> tuple[Any, ...]:
        return unresolved, (
            type(self).__real__,
            _id(self),
            type(self).__missing_target__,
            place_of(self),
        )


def _id(document: Any) -> Any:
    return document._id


def _refuse(reference: Any, name: str) -> NoReturn:
    cls = real_class(reference)
    what = f"{class_of(reference).__name__} of _id={shown(_id(reference))}"
    if name in _WRITES and name not in cls.__struct_fields__:
        what = f"{name}() of {what}"
        way = f"{cls.__name__}.delete_by_id() deletes" if name == "delete" else ""
    else:
        what, way = f"{what}: .{name}", ""
    if class_of(reference).__missing_target__:
        raise MissingReferenceError(
            f"{what}: its document is not in the collection {cls.get_collection_name()!r}; "
            f"await .fetch() looks again, is_resolved() is False for it",
            reference,
        )
    advice = way or "await .fetch() reads it"
    raise UnresolvedReferenceError(f"{what}: its document was not read; {advice}", reference)


def is_resolved(document: DocumentBase) -> bool:
    """Return whether a document's fields are there: False for unresolved and for missing references.

    :param document: a document or a reference.

    .. code-block:: python

        post = await Post.find_one({...}, resolve_refs=False)
        is_resolved(post.author)  # False
    """
    return not isinstance(document, UnresolvedMixin)


def class_of(document: object) -> type[Any]:
    """Return ``type(document)``, which type checkers do not narrow."""
    return type(document)


def real_class(document: Any) -> type[Any]:
    """Return the class of a document, resolved or not."""
    cls = class_of(document)
    return cls.__real__ if issubclass(cls, UnresolvedMixin) else cls


def may_be_one(one: Any, other: Any) -> bool:
    """Return whether two documents may be of one class; an unresolved one may be of a subclass."""
    mine, others = real_class(one), real_class(other)
    return mine is others or is_member(mine, others) or is_member(others, mine)


def same_id(one: Any, other: Any) -> bool:
    """Return whether two documents have the same ``_id``; None never equals another."""
    return one._id is not None and one._id == other._id and type(one._id) is type(other._id)


# -- generated classes


def unresolved_class(cls: type[Any], *, missing: bool = False) -> Any:
    """Return ``User[unresolved]`` or ``User[missing]``, generated once."""
    name = "__missing_class__" if missing else "__unresolved_class__"
    made = cls.__dict__.get(name)
    if made is None:
        made = _generated(cls, missing=missing)
        type.__setattr__(cls, name, made)
    return made


def _generated(cls: type[Any], *, missing: bool) -> Any:
    word = "missing" if missing else "unresolved"
    config = cls.__struct_config__
    namespace: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": f"{cls.__qualname__}[{word}]",
        "__doc__": None,
        "__collection_name__": cls.get_collection_name(),
        "__real__": cls,
        "__missing_target__": missing,
        "__closed__": frozenset({*cls.__struct_fields__, *_WRITES} - {"_id"}),
        "__empty__": dict.fromkeys(
            [each for each in cls.__struct_fields__ if each != "_id"], msgspec.UNSET
        ),
    }
    # The tag would be derived from the new name; the JSON of a reference has its real class.
    options = {"tag": config.tag, "tag_field": config.tag_field} if config.tag is not None else {}
    generate: Any = type(cls)
    return generate(f"{cls.__name__}[{word}]", (UnresolvedMixin, cls), namespace, **options)


# -- instances

_TRACKED: list[Any] = []
"""msgspec does not track objects without containers in the garbage collector; one that is filled in
place may become part of a cycle, so it is created with a container in it."""


def unresolved(cls: type[Any], id: Any, missing: bool = False, place: Place | None = None) -> Any:
    """Return an unresolved document of *cls*."""
    made = unresolved_class(cls, missing=missing)
    document = made(_id=_TRACKED, **made.__empty__)
    force_setattr(document, "_id", id)
    set_snapshot(document, UNKNOWN_CONTENT)
    if place is not None:
        set_place(document, place)
    return document


def placeholder(cls: type[Any], id: Any) -> Any:
    """Return an exact instance of *cls* with nothing but its ``_id``, for :func:`msgspec.convert`."""
    document = unresolved(cls, id)
    object.__setattr__(document, "__class__", cls)
    return document


def set_class(document: Any, cls: type[Any]) -> None:
    """Change a placeholder or unresolved document to its exact class, or to one of its generated ones."""
    object.__setattr__(document, "__class__", cls)


def fill(document: Any, source: Any) -> None:
    """Copy the class and everything else of *source* to a placeholder or unresolved document."""
    cls = class_of(source)
    for name in cls.__struct_fields__:
        force_setattr(document, name, getattr(source, name))
    copy_snapshot(document, source)
    if class_of(document) is not cls:
        set_class(document, cls)
