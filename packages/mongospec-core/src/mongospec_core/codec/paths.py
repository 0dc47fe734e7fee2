"""The paths in a class's documents and their types: a tree, by stored names.

A :class:`Node` is the document, a field or an element. It knows the types that are allowed there
(more than one for a union) and the nodes below. Nodes are shared by type and created when a query
first uses them: a recursive class has an endless tree of few nodes.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from difflib import get_close_matches
from enum import Enum, IntFlag
from functools import cached_property
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
)

import msgspec
from bson import MaxKey, MinKey
from msgspec.structs import FieldInfo

from mongospec_core.codec.annotations import (
    class_of,
    stored_fields,
    tag_of,
    unwrapped,
)
from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.plan import DecHook, codec_of
from mongospec_core.codec.raw_values import key_to_raw, to_raw
from mongospec_core.codec.types import (
    CHECKING,
    NUMBERS,
    PATTERNS,
    SCALARS,
    FieldCodec,
    Kind,
    Scalar,
    kind_of,
)
from mongospec_core.codec.validation import BUILTIN_TYPES, parse_validation_error
from mongospec_core.errors import EncodingError, UnknownFieldError


class StoredAs(NamedTuple):
    """What is stored for instances of a class with its own ``__bson_decoder__``."""

    annotation: Any
    """The type of what is stored: an id's."""
    refusal: Callable[[Any], str | None]
    """Returns why a value cannot stand for an instance; None: the stored type tells it."""
    below: Callable[[str, str], str]
    """The hints for a path to such a value, and for a path that goes on inside it."""


_NOTHING = Scalar((), ())
_ALWAYS = (NoneType, MinKey, MaxKey)
"""What a filter may compare anything to: a missing field, and the ends of a range."""


def _arms(annotation: Any, constrained: bool = False) -> Iterator[tuple[Any, bool]]:
    """Return the types of an annotation, one by one, and whether a ``Meta`` constrains each."""
    tp, metas = unwrapped(annotation)
    constrained = constrained or any(map(_constrains, metas))
    if get_origin(tp) in (Union, UnionType):
        for each in get_args(tp):
            yield from _arms(each, constrained)
    elif tp is not msgspec.UnsetType:
        yield (NoneType if tp is None else tp), constrained


_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")


def _constrains(meta: msgspec.Meta) -> bool:
    return any(getattr(meta, name) is not None for name in _CONSTRAINTS)


class Node:
    """One position in a document: the document itself, a field or an element.

    :ivar annotations: its declared types; more than one if several classes have the field.
    :ivar free: whether anything is allowed here and below.
    :ivar asked: types of values that a filter may compare it to without a further check.
    :ivar ordered: the same for comparisons by order.
    :ivar written: types of values that a read accepts without a further check.
    :ivar summands: types of the numbers that may be added to it.
    """

    def __init__(
        self, tree: "PathTree", annotations: tuple[Any, ...], *, whole: bool = False
    ) -> None:
        self.tree = tree
        self._whole = whole  # the documents themselves, not their ids in a field
        self.annotations = annotations
        self.free: bool = False
        self.stand_ins: list[StoredAs] = []
        self.scalars: set[Any] = set()
        self._documents: list[Any] = []
        self._values: list[Any] = []
        self._elements: list[Any] = []
        self._rows: list[tuple[Any, ...]] = []
        self._choices: list[Any] = []
        asked: set[type] = {NoneType}
        written: set[type] = set()
        summands: set[type] = set()
        for annotation in annotations:
            for arm, constrained in _arms(annotation):
                scalar = self._add(arm)
                asked.update(scalar.asked)
                summands.update(scalar.summands)
                if not constrained and len(annotations) == 1:
                    written.update(scalar.written)
        for stored in self.stand_ins:
            for arm, _ in _arms(stored.annotation):
                asked.update(self._add(arm).asked)
        for element in self._elements:  # a condition on a list applies to its elements as well
            asked.update(
                *(SCALARS.get(get_origin(arm) or arm, _NOTHING).asked for arm, _ in _arms(element))
            )
        self.asked: frozenset[type] = frozenset(asked)
        self.written: frozenset[type] = frozenset(written)
        self.summands: frozenset[type] = frozenset(summands)
        ordered = self.asked.union(*map(_types_of_choice, self._choices))
        self.ordered: frozenset[type] = (
            ordered if ordered.isdisjoint(NUMBERS) else ordered.union(NUMBERS)
        )

    def _add(self, arm: Any) -> Scalar:
        """Note what is allowed below a type; return what its values may be."""
        cls: Any = get_origin(arm) or arm
        own = (cls,) if cls is arm else ()
        match Kind.DOCUMENT if self._whole else kind_of(arm):
            case Kind.SCALAR:
                self.scalars.add(cls)
                if cls is dt.time:
                    self._choices.append(cls)
                return SCALARS[cls]
            case Kind.LITERAL:
                self._choices.append(arm)
            case Kind.ENUM:
                self._choices.append(cls)
                if issubclass(cls, IntFlag):
                    self.scalars.add(int)
                return Scalar((), own, own)
            case Kind.ID if hasattr(cls, "__bson_stored_as__"):
                self.stand_ins.append(cls.__bson_stored_as__())
                return Scalar((), own, own)
            case Kind.DOCUMENT:
                self._documents.append(arm)
                return Scalar((), own)
            case Kind.ROW:
                self._rows.append(tuple(each.type for each in stored_fields(arm)))
                return Scalar((), own) if issubclass(cls, msgspec.Struct) else _NOTHING
            case Kind.MAPPING:
                self._values.append((get_args(arm) or (Any, Any))[-1])
            case Kind.ARRAY:
                self._elements.append((get_args(arm) or (Any,))[0])
            case Kind.ID | Kind.REGISTERED | Kind.ANYTHING | Kind.OTHER:
                self.free = True
        return _NOTHING

    # -- below

    @cached_property
    def members(self) -> tuple[tuple[FieldInfo, ...], ...]:
        """The fields of each class whose documents are allowed here."""
        return tuple(map(stored_fields, self._documents))

    @cached_property
    def fields(self) -> "dict[str, Node]":
        """The nodes below, by stored names: the fields of every class that is allowed here."""
        found: dict[str, dict[Any, None]] = {}
        for each in self.members:
            for member in each:
                found.setdefault(member.encode_name, {})[member.type] = None
        nodes = {name: self.tree.node(tuple(types)) for name, types in found.items()}
        if self._whole and "_id" in nodes:  # what is written there is never taken unseen
            nodes["_id"] = Node(self.tree, nodes["_id"].annotations)
            nodes["_id"].written = frozenset()
        return nodes

    @cached_property
    def required(self) -> frozenset[str]:
        """The names of the fields that every document here must have."""
        needed = [{each.encode_name for each in one if each.required} for one in self.members]
        if not needed or self._values:
            return frozenset()
        return frozenset(set[str].intersection(*needed)) - self.tags

    @cached_property
    def tags(self) -> frozenset[str]:
        """The names that tell the classes of documents here apart."""
        return frozenset(tag[0] for each in self._documents if (tag := tag_of(class_of(each))))

    @cached_property
    def is_document(self) -> bool:
        """Whether only documents of known fields, or scalars, are allowed here."""
        return not (self.free or self._values or self._elements or self._rows)

    @cached_property
    def values(self) -> "Node | None":
        """The node of a dict's values; None if no dict is allowed here."""
        return self.tree.node(tuple(self._values)) if self._values else None

    @cached_property
    def each(self) -> "Node | None":
        """The elements of a list of any length."""
        return self.tree.node(tuple(self._elements)) if self._elements else None

    @cached_property
    def rows(self) -> "tuple[tuple[Node, ...], ...]":
        """The elements of tuples, one by one."""
        return tuple(tuple(self.tree.node((each,)) for each in row) for row in self._rows)

    @cached_property
    def element(self) -> "Node | None":
        """The node of any element, of any kind of list."""
        nodes = [each for row in self.rows for each in row]
        return self.tree.union([self.each, *nodes] if self.each else nodes)

    def member(self, name: str) -> "Node | None":
        """Return the node of a field of a document here."""
        return self if self.free else self.fields.get(name) or self.values

    def child(self, name: str) -> "Node | None":
        """Return the node one step down a path (a name, an index, ``$``); None if there is none."""
        if self.free:
            return self
        found = [each for each in (self.fields.get(name), self.values) if each is not None]
        if self.element is not None:
            if name.isdecimal():
                found += [self.each] if self.each else []
                found += [row[int(name)] for row in self.rows if int(name) < len(row)]
            elif name.startswith("$"):
                found.append(self.element)
            elif (below := self.element.child(name)) is not None:
                found.append(below)
        return self.tree.union(found)

    # -- values

    def holds(self, value: Any, *, ordered: bool = False) -> bool:
        """Return whether a stored document may have *value* here: by types, not by constraints.

        :param ordered: whether it is compared by order, for which only the type matters.
        """
        tp = type(value)
        if self.free or tp in _ALWAYS or tp in (self.ordered if ordered else self.asked):
            return True
        if self.refusal(value) is not None:
            return False
        if tp in PATTERNS:
            return self.is_text or (self.element is not None and self.element.holds(value))
        if isinstance(value, list | tuple | Set):
            return self._holds_list(value) or (self.each is not None and self.each.holds(value))
        raw = to_raw(value)
        if isinstance(raw, Mapping) and self._holds_document(value, raw):
            return True
        if type(raw) is not tp:
            return self.holds(raw, ordered=ordered)
        return self._is_choice(raw) or (
            self.element is not None and self.element.holds(raw, ordered=ordered)
        )

    @cached_property
    def is_text(self) -> bool:
        """Whether a text may be stored here, so that a regular expression can match."""
        return str in self.ordered

    def _holds_list(self, value: Collection[Any]) -> bool:
        if self.each is not None and all(map(self.each.holds, value)):
            return True
        return any(
            len(row) == len(value) and all(n.holds(v) for n, v in zip(row, value, strict=True))
            for row in self.rows
        )

    def _holds_document(self, value: Any, raw: Mapping[str, Any]) -> bool:
        if not self._documents and self.values is None:
            return False
        items = value if isinstance(value, Mapping) else raw
        return self.required <= raw.keys() and all(
            (below := self.member(key_to_raw(name))) is not None and below.holds(each)
            for name, each in items.items()
        )

    def _is_choice(self, raw: Any) -> bool:
        """Return whether it is a value of an Enum or a Literal, or a time."""
        if type(raw) in NUMBERS and raw == raw // 1:
            raw = int(raw)  # MongoDB compares numbers of all types
        for each in self._choices:
            try:
                msgspec.convert(raw, each)
            except msgspec.ValidationError:
                continue
            return True
        return False

    def refusal(self, value: Any) -> str | None:
        """Return why a value is not allowed here, if the class of the field explains it."""
        for each in self.stand_ins:
            if (reason := each.refusal(value)) is not None:
                return reason
        if self.element is None:
            return None
        items = value if isinstance(value, list | tuple | Set) else [value]
        return next(filter(None, map(self.element.refusal, items)), None)

    @cached_property
    def _codecs(self) -> list[tuple[Any, FieldCodec]]:
        return [(each, codec_of(each, self.tree.dec_hook)) for each in self.annotations]

    def unfit(self, value: Any, *, stored: bool = False) -> tuple[str, str] | None:
        """Return where and why a read would refuse *value* if it were stored here, else None.

        :param stored: whether *value* is already stored data, not a value to be written.
        """
        if type(value) in self.written or self.free:
            return None
        if (reason := self.refusal(value)) is not None:
            return "", reason
        why: tuple[str, str] | None = None
        for annotation, codec in self._codecs:
            try:
                written = value if stored or codec.encode is None else codec.encode(value)
                raw = value if stored else _as_read(written, value)
                ready = raw if raw is None or codec.decode is None else codec.decode(raw, CHECKING)
                msgspec.convert(
                    ready,
                    annotation,
                    builtin_types=BUILTIN_TYPES,
                    str_keys=True,
                    dec_hook=self.tree.dec_hook,
                )
            except msgspec.ValidationError as error:
                why = why or parse_validation_error(error)
            else:
                return None
        return why

    def __str__(self) -> str:
        """Return the types as text: ``int``, ``list[str]``."""
        return " or ".join(dict.fromkeys(map(_described, self.annotations)))


def _types_of_choice(choice: Any) -> set[type]:
    if choice is dt.time:
        return {str}
    values = get_args(choice) or [each.value for each in choice]
    return {type(to_raw(each)) for each in values}


def _as_read(raw: Any, value: Any) -> Any:
    """Return what a read of a written value would find."""
    try:
        return decode(encode({"": to_raw(value) if raw is value else raw}))[""]
    except EncodingError:
        return raw  # names the reason why it cannot be written


def _described(annotation: Any) -> str:
    tp, _ = unwrapped(annotation)
    origin, args = get_origin(tp), get_args(tp)
    if origin in (Union, UnionType):
        hidden = (NoneType, msgspec.UnsetType)
        return " | ".join(_described(each) for each in args if each not in hidden)
    if origin is Literal:
        return " | ".join(map(repr, args))
    if isinstance(tp, type) and issubclass(tp, Enum):
        return f"{tp.__name__} ({', '.join(repr(each.value) for each in tp)})"
    name = getattr(origin or tp, "__name__", str(tp))
    inside = ", ".join("..." if each is ... else _described(each) for each in args)
    return f"{name}[{inside}]" if inside else name


class PathTree:
    """The paths of a class's documents.

    :param cls: the class that errors name.
    :param annotations: the types of the documents: the class itself, or every class of its family.
    """

    def __init__(self, cls: type, annotations: tuple[Any, ...], dec_hook: DecHook | None) -> None:
        self.cls = cls
        self.dec_hook = dec_hook
        self.known_projections: set[Any] = set()
        self._annotations = annotations
        self._nodes: dict[tuple[Any, ...], Node] = {}

    @cached_property
    def root(self) -> Node:
        """The document itself."""
        return Node(self, self._annotations, whole=True)

    @cached_property
    def fields(self) -> dict[str, Node]:
        """The nodes of a document's own fields, by stored names."""
        return self.root.fields

    def node(self, annotations: tuple[Any, ...]) -> Node:
        """Return the node of *annotations*."""
        try:
            found = self._nodes.get(annotations)
        except TypeError:  # a Literal of something unhashable
            return Node(self, annotations)
        if found is None:
            found = self._nodes[annotations] = Node(self, annotations)
        return found

    def union(self, nodes: Iterable[Node]) -> Node | None:
        """Return one node for the types of several; None if there are none."""
        different = list(dict.fromkeys(nodes))
        if len(different) < 2:
            return different[0] if different else None
        return self.node(tuple(each for node in different for each in node.annotations))

    def at(self, path: str, start: Node | None = None, above: str = "") -> Node:
        """Return the node at a path.

        :param start: the node that the path starts from; None: the document.
        :param above: the path to *start*, for errors: ``"items."``.
        :raises UnknownFieldError: no document of the class has the path.
        """
        node = start or self.root
        names = (path if type(path) is str else key_to_raw(path)).split(".")
        for place, name in enumerate(names):
            below = node.fields.get(name) if node.is_document else node.child(name)
            if below is None:
                before = above + "".join(f"{each}." for each in names[:place])
                raise self._unknown(node, before, names[place:])
            node = below
        return node

    def check_names(self, node: Node, value: Any, path: str) -> None:
        """Refuse names in an embedded document that are not fields of its class.

        :raises UnknownFieldError: there are such names.
        """
        if node.free:
            return
        if isinstance(value, Mapping):
            for key, each in value.items():
                name = key_to_raw(key)
                below = node.member(name)
                if below is not None:
                    self.check_names(below, each, f"{path}.{name}")
                elif node.fields:
                    raise self._unknown(node, f"{path}.", [name])
        if isinstance(value, Mapping | list | tuple) and node.element is not None:
            for each in [value] if isinstance(value, Mapping) else value:
                self.check_names(node.element, each, path)

    def _meant(self, node: Node, path: str, rest: list[str]) -> str:
        """Return the path that may have been meant: *path* and the steps in *rest*."""
        if rest:
            try:
                self.at(".".join(rest), node, f"{path}.")
            except UnknownFieldError as error:
                return error.suggestion or f"{path}.{'.'.join(rest)}"
        return ".".join([path, *rest])

    def _unknown(self, node: Node, above: str, names: list[str]) -> UnknownFieldError:
        """Return the error for a path: *above* is known, the first of *names* is not."""
        name = names[0]
        path = above + ".".join(names)
        inside = node if node.fields or node.element is None else node.element
        python = {each.name: each.encode_name for one in inside.members for each in one}
        if "_id" in inside.fields:
            python.setdefault("id", "_id")
        stored = python.get(name)
        close = get_close_matches(name, [*inside.fields, *python], 1)
        meant = stored or (python.get(close[0], close[0]) if close else None)
        suggestion = None
        if meant is not None:
            suggestion = self._meant(inside.fields[meant], f"{above}{meant}", names[1:])
        if inside.stand_ins:
            hint = inside.stand_ins[0].below(above.removesuffix("."), ".".join(names))
        elif stored is not None:
            hint = f'it is stored as "{suggestion}"'
        elif suggestion is not None:
            hint = f'did you mean "{suggestion}"?'
        elif inside.fields:
            hint = f"it has {', '.join(above + each for each in inside.fields)}"
        else:
            hint = f'"{above.removesuffix(".")}" is {node}, with nothing below it'
        return UnknownFieldError(self.cls, path, suggestion, hint)
