"""What of the stored documents does not fit the classes."""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any

import msgspec
from bson import Int64

from mongospec_cli.batches import (
    Position,
    ReadProgress,
    audited_types,
    count,
    last_position,
    read_batches,
)
from mongospec_cli.errors import CommandError
from mongospec_cli.old_documents import changed_fields, decode_batch, is_stable, upgrade_batch
from mongospec_core import InvalidDocument, InvalidIdError, MongoDocument, MongospecError
from mongospec_core.extension import (
    Binding,
    Operation,
    Plan,
    binding_of,
    check_id,
    decode,
    encode,
    split_documents,
    to_raw,
)
from mongospec_refs.graph import any_has_references, references_in
from mongospec_refs.identity_map import key_of
from mongospec_refs.unresolved import real_class

EXAMPLES = 5
"""How many examples a group keeps."""
_GROUPS = 500
"""How many groups of one kind are kept apart; what comes after that is counted by its top-level field."""
_KNOWN = 100_000
"""How many ids of referenced documents are remembered."""
_IDS = 10_000
"""How many ids are asked for at once."""


class Unreadable(msgspec.Struct, kw_only=True):
    """Stored documents that a read refuses, for one reason.

    :param owner: the class's name.
    :param path: where in the documents; empty for the document itself.
    :param reason: what is wrong there.
    :param count: how many documents.
    :param examples: the ``_id`` of a few.
    """

    owner: str
    path: str
    reason: str
    count: int = 0
    examples: list[Any] = []


class OldDocuments(msgspec.Struct, kw_only=True):
    """Stored documents in which ``__upgrade__`` changes the same fields.

    :param owner: the class's name.
    :param fields: the top-level fields that it changes, adds or removes.
    :param stable: whether it leaves its own result as it is. If not, it is not written back.
    :param count: how many documents.
    :param examples: the ``_id`` of a few.
    """

    owner: str
    fields: list[str]
    stable: bool = True
    count: int = 0
    examples: list[Any] = []


class UndeclaredField(msgspec.Struct, kw_only=True):
    """A stored field that the class does not declare.

    :param owner: the class's name.
    :param path: of the field; ``[]`` stands for any element of a list, ``{}`` for any value of a dict.
    :param count: how often it is there.
    :param types: how often with which BSON type.
    :param examples: the ``_id`` of a few documents.
    """

    owner: str
    path: str
    count: int = 0
    types: dict[str, int] = {}
    examples: list[Any] = []


class Dangling(msgspec.Struct, kw_only=True):
    """References to documents that are not there.

    :param owner: the name of the class that refers.
    :param path: the field.
    :param target: the name of the class that is referred to.
    :param count: how many references.
    :param examples: a few: the ``_id`` of the document that refers, and of the one that is missing.
    """

    owner: str
    path: str
    target: str
    count: int = 0
    examples: list[tuple[Any, Any]] = []


class Audited(msgspec.Struct, kw_only=True):
    """How much of a collection was read.

    :param owner: the class's name.
    :param collection: the collection's name.
    :param documents: how many documents were read.
    """

    owner: str
    collection: str
    documents: int = 0


class Audit(msgspec.Struct, kw_only=True):
    """What was found in a database.

    :param database: the database's name.
    :param read: how much was read, of each collection.
    :param unreadable: documents that a read refuses.
    :param dangling: references to what is not there.
    :param old: what ``__upgrade__`` changes whenever it is read.
    :param undeclared: fields that no class declares; a read leaves them out.
    :param finished: whether all was read; otherwise it was broken off, or it failed.
    :param after: the last document that is done if it was broken off, as ``--after`` and
        :meth:`Position.parse` take it; None for a sample, which has no order.
    """

    database: str
    read: list[Audited] = []
    unreadable: list[Unreadable] = []
    dangling: list[Dangling] = []
    old: list[OldDocuments] = []
    undeclared: list[UndeclaredField] = []
    finished: bool = False
    after: str | None = None

    @property
    def fits(self) -> bool:
        """Whether every document can be read and every reference leads somewhere."""
        return not (self.unreadable or self.dangling)


async def audit(
    document_types: Iterable[type[MongoDocument]],
    *,
    sample: int | None = None,
    after: Position | None = None,
    rate: float | None = None,
    into: Audit | None = None,
    on_progress: Callable[[ReadProgress], object] | None = None,
) -> Audit:
    """Read the stored documents of bound classes, and tell what does not fit; change nothing.

    They are read by the readers that finders use, in batches of 1,000 by ``_id``; a batch, the next one
    and what was found are all that is kept in memory. ``__pre_find__`` is not called: all documents
    count.

    :param document_types: bound classes.
    :param sample: read so many documents of each collection, which the server picks at random.
    :param after: go on after this document; the classes before its own are left out.
    :param rate: read no more documents a second than this.
    :param into: add to this result, which is complete up to the last progress if this is cancelled.
    :param on_progress: called after each batch.
    :returns: what was found; at most 500 groups of each kind and class, each with a few examples.
    :raises NotBoundError: a class is not bound.
    :raises CommandError: *sample* and *after* are given, or *after* names no class.
    :raises OperationError: a read failed.

    .. code-block:: python

        async with connect(uri, document_types=[User], indexes="skip"):
            print((await audit([User], sample=10_000)).fits)
    """
    if sample is not None and after is not None:
        raise CommandError("a sample has no order: use either --sample or --after")
    types = audited_types(document_types, after)
    found = into or Audit(database="")
    found.finished = False
    for cls in types:
        auditor = _Auditor(cls, found)
        total = await count(auditor.binding, sample)
        start = after if after is not None and after.owner == cls.__name__ else None
        batches = read_batches(cls, "audit", sample=sample, after=start, rate=rate)
        async with aclosing(batches):
            async for parts in batches:
                await auditor.examine(parts)
                position = last_position(cls, parts) if sample is None else None
                found.after = None if position is None else str(position)
                if on_progress is not None:
                    done = auditor.read.documents
                    on_progress(
                        ReadProgress(
                            owner=cls.__name__, documents=done, total=total, position=position
                        )
                    )
    found.finished, found.after = True, None
    return found


class _Auditor:
    """Examines the documents of one class."""

    def __init__(self, cls: type[MongoDocument], found: Audit) -> None:
        self.cls = cls
        self.binding: Binding = binding_of(cls)
        target = self.binding.target
        found.database = target.database.name
        self.read = Audited(owner=cls.__name__, collection=target.name)
        found.read.append(self.read)
        self._unreadable = _Groups(found.unreadable)
        self._dangling = _Groups(found.dangling)
        self._old = _Groups(found.old)
        self._undeclared = _Groups(found.undeclared)
        options = {"resolve_refs": False} if "resolve_refs" in cls.__read__.parameters else {}
        self._read = cls.__read__(None, self._note_unreadable, **options)
        self._refers = any_has_references(self.binding.plan)
        self._there: set[tuple[type, Hashable]] = set()  # documents that are there
        self._declared = _Declared.of_class(self.binding)

    async def examine(self, parts: Sequence[bytes]) -> None:
        documents = await self._read.reader(self.binding).load(list(parts), None)
        raws = decode_batch(parts, self.binding.target.codec)
        upgraded = upgrade_batch(self.binding, parts, raws)
        for part, raw, now in zip(parts, raws, upgraded, strict=True):
            if raw is None or now is None:
                continue
            if self.binding.plan.upgrade is not None:
                self._note_old(part, raw, now)
            self._declared.walk(now, "", partial(self._note_undeclared, raw.get("_id")))
        if self._refers:
            await self._follow(documents)
        self.read.documents += len(parts)

    def _note_unreadable(self, failure: InvalidDocument, raw: Mapping[str, Any]) -> None:
        path = _general(failure.path)
        group = self._unreadable.group(
            (path, failure.reason),
            (_top(path), "other reasons"),
            lambda path, reason: Unreadable(owner=self.cls.__name__, path=path, reason=reason),
        )
        _add(group, failure.id)

    def _note_old(self, part: bytes, before: dict[str, Any], after: dict[str, Any]) -> None:
        try:
            fields = changed_fields(part, before, after)
        except MongospecError:  # it made what BSON cannot hold, and a read refuses
            return
        if fields:
            stable = is_stable(self.binding, after)
            group = self._old.group(
                (tuple(fields), stable),
                (("other fields",), stable),
                lambda fields, stable: OldDocuments(
                    owner=self.cls.__name__, fields=list(fields), stable=stable
                ),
            )
            _add(group, before.get("_id"))

    def _note_undeclared(self, id: Any, path: str, value: Any) -> None:
        group = self._undeclared.group(
            (path,),
            (_top(path),),
            lambda path: UndeclaredField(owner=self.cls.__name__, path=path),
        )
        _add(group, id)
        name = type_name(value)
        group.types[name] = group.types.get(name, 0) + 1

    # -- references

    async def _follow(self, documents: Sequence[Any]) -> None:
        references: list[tuple[Any, str, type[Any], Any, tuple[type, Hashable]]] = []
        wanted: dict[type[Any], dict[Hashable, Any]] = defaultdict(dict)
        if len(self._there) > _KNOWN:
            self._there.clear()
        for document in documents:
            for each in references_in(document):
                cls = real_class(each.document)
                raw = to_raw(each.document._id)
                key = key_of(raw)
                references.append((document, each.path, cls, raw, (cls, key)))
                if (cls, key) not in self._there:
                    wanted[cls][key] = raw
        for cls, ids in wanted.items():
            asked = [raw for raw in ids.values() if _may_be_id(cls, raw)]
            for start in range(0, len(asked), _IDS):
                there = await self._stored(cls, asked[start : start + _IDS])
                self._there.update((cls, key_of(raw)) for raw in there)
        for document, path, cls, raw, key in references:
            if key not in self._there:  # asked for again in the next batch: it may come to be
                self._note_dangling(document, _general(path), cls, raw)

    async def _stored(self, cls: type[Any], ids: list[Any]) -> list[Any]:
        """Those of *ids* that documents of a class have."""
        binding = binding_of(cls)
        name = f"{self.cls.__name__}: audit: {cls.__name__}"
        options = {"projection": {"_id": 1}, "batch_size": len(ids) + 1}
        call = Operation(binding.target, name, options, write=False).without_timeout()
        batch = await call.send("find_many", encode(binding.scoped({"_id": {"$in": ids}})))
        return [decode(part)["_id"] for part in split_documents(batch)]

    def _note_dangling(self, document: Any, path: str, cls: type[Any], raw: Any) -> None:
        group = self._dangling.group(
            (path, cls.__name__),
            (_top(path), cls.__name__),
            lambda path, target: Dangling(owner=self.cls.__name__, path=path, target=target),
        )
        _add(group, (to_raw(document._id), raw))


def _may_be_id(cls: type[Any], raw: Any) -> bool:
    try:
        check_id(cls, raw)
    except InvalidIdError:
        return False
    return True


# -- groups


class _Groups:
    """Groups of what is alike, of which there are not too many."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found
        self._by_key: dict[tuple[Any, ...], Any] = {}

    def group(
        self, key: tuple[Any, ...], otherwise: tuple[Any, ...], make: Callable[..., Any]
    ) -> Any:
        """The group of *key*; that of *otherwise* if there are too many."""
        group = self._by_key.get(key)
        if group is None:
            if len(self._by_key) >= _GROUPS:
                key = otherwise
                group = self._by_key.get(key)
            if group is None:
                group = self._by_key[key] = make(*key)
                self._found.append(group)
        return group


def _add(group: Any, example: Any) -> None:
    group.count += 1
    if len(group.examples) < EXAMPLES:
        group.examples.append(example)


def _general(path: str) -> str:
    """A path without the numbers of a list's elements."""
    return re.sub(r"\[\d+\]|\[\.\.\.\]", "[]", path)


def _top(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


# -- declared fields

_TYPES = {
    str: "string",
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    type(None): "null",
    dict: "object",
    list: "array",
    bytes: "binData",
}


def type_name(value: Any) -> str:
    """The BSON type of a decoded value."""
    cls = type(value)
    name = cls.__name__
    other = {"datetime": "date", "Decimal128": "decimal", "Binary": "binData", "UUID": "binData"}
    return _TYPES.get(cls) or other.get(name, name[:1].lower() + name[1:])


type _Tell = Callable[[str, Any], object]


class _Declared:
    """The fields that are declared at one place of a document, and in what is below it.

    :param node: of the class's tree of paths.
    """

    def __init__(self, node: Any, known: dict[Any, "_Declared"]) -> None:
        self._node = node
        self._known = known
        known[node] = self

    @classmethod
    def of_class(cls, binding: Binding) -> "_Declared | _DeclaredNames":
        """What a class and its family declare; without checked queries, only the fields' names."""
        if binding.paths is None:
            plan: Plan[Any] = binding.plan
            plans = plan.members.values() if plan.members else (plan,)
            return _DeclaredNames({name for each in plans for name in _names_of(each)})
        return cls(binding.paths.root, {})

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self._node.fields)

    @cached_property
    def below(self) -> list[tuple[str, "_Declared"]]:
        """The fields with something below them, where there may be fields that are not declared."""
        pairs = [(name, self._of(node)) for name, node in self._node.fields.items()]
        return [(name, each) for name, each in pairs if each is not None]

    @cached_property
    def values(self) -> "_Declared | None":
        return self._of(self._node.values)

    @cached_property
    def elements(self) -> "_Declared | None":
        return self._of(self._node.each)

    def _of(self, node: Any) -> "_Declared | None":
        if node is None or node.free or not (node.members or node.values or node.each):
            return None
        return self._known.get(node) or _Declared(node, self._known)

    def walk(self, value: Any, path: str, tell: _Tell) -> None:
        """Call *tell* with the path and the value of each field that is not declared."""
        if type(value) is list:
            if self.elements is not None:
                for each in value:
                    self.elements.walk(each, f"{path}[]", tell)
        elif type(value) is dict:
            if self._node.values is not None:
                if self.values is not None:
                    for each in value.values():
                        self.values.walk(each, f"{path}.{{}}", tell)
                return
            if not self._node.members:
                return
            prefix = f"{path}." if path else ""
            if not value.keys() <= self.names:
                for name in value.keys() - self.names:
                    tell(prefix + name, value[name])
            for name, below in self.below:
                if (each := value.get(name)) is not None:
                    below.walk(each, prefix + name, tell)


class _DeclaredNames:
    """The names of the top-level fields that are declared."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def walk(self, value: Any, path: str, tell: _Tell) -> None:
        """Call *tell* with each field that is not declared."""
        for name in value.keys() - self._names:
            tell(name, value[name])


def _names_of(plan: Plan[Any]) -> list[str]:
    return [*plan.encode_names, *(() if plan.tag is None else (plan.tag[0],))]
