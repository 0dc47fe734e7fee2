"""Document classes for a database that has documents already, from a sample of them."""

import keyword
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import bson
import mongojet
from bson import Binary
from bson.raw_bson import RawBSONDocument

from mongospec_cli.bson_types import type_name
from mongospec_core import MongoDocument
from mongospec_core.extension import DECIMAL_CODEC_OPTIONS, encode, to_operation_error
from mongospec_refs.identity_map import key_of

_SCALARS = {
    "string": "str",
    "bool": "bool",
    "int": "int",
    "long": "int",
    "double": "float",
    "objectId": "ObjectId",
    "date": "datetime",
    "decimal": "Decimal",
    "uuid": "UUID",
    "binData": "bytes",
}
_PLAIN = {"str", "bool", "int", "float"}
"""What a union may have together."""
_IMPORTS = {
    "Any": "from typing import Any",
    "Literal": "from typing import Literal",
    "datetime": "from datetime import datetime",
    "Decimal": "from decimal import Decimal",
    "UUID": "from uuid import UUID",
    "ObjectId": "from bson import ObjectId",
    "msgspec": "import msgspec",
}
_CHOICES = 8
"""How many different texts are taken for a choice of them."""
_REPEATS = 5
"""How often each of them must be there, on average."""
_FIELDS = 60
"""A document with more names than that is taken for a dict."""
_VALUES = 20_000
"""How many different values are kept, to find what they refer to."""
_CHOICE = re.compile(r"[A-Za-z][\w -]{0,30}")


async def new_models(database: mongojet.Database, *, sample: int = 1_000) -> str:
    """Write document classes for the collections of a database, from a sample of their documents.

    A field that is missing in some documents gets a default; documents inside become Structs; few texts
    that are there again and again become a ``Literal``; an id becomes a reference if a document of one
    collection has each of the sampled values as its ``_id``. What differs too much becomes ``Any``. It
    is a start: read it, and let ``audit`` tell what of all documents does not fit.

    :param database: a database of a mongojet client.
    :param sample: how many documents of each collection are read.
    :returns: the source of a module.
    :raises OperationError: a read failed.

    .. code-block:: python

        print(await new_models(client["shop"]))
    """
    try:
        return await _source(database, sample)
    except mongojet.PyMongoError as error:
        raise to_operation_error(error, f"new_models of {database.name!r}", write=False) from error


async def _source(database: mongojet.Database, sample: int) -> str:
    listed = await database.run_command({"listCollections": 1, "cursor": {"batchSize": 100_000}})
    names = sorted(
        each["name"]
        for each in listed["cursor"]["firstBatch"]
        if each.get("type", "collection") == "collection" and not each["name"].startswith("system.")
    )
    shapes: dict[str, _Shape] = {}
    for name in names:
        shapes[name] = shape = _Shape()
        pipeline: list[dict[str, Any]] = [{"$sample": {"size": sample}}]
        cursor = await database[name].aggregate(pipeline)
        async for document in cursor:
            # As the classes will read it: the driver's own types are others.
            stored = bson.encode(document, codec_options=DECIMAL_CODEC_OPTIONS)
            shape.add(bson.decode(stored, DECIMAL_CODEC_OPTIONS))  # pyright: ignore[reportUnknownMemberType]
    writer = _Writer(names)
    for shape in shapes.values():
        for path, each in shape.ids(""):
            each.target = await _target(database, names, path, each)
    for name, shape in shapes.items():
        writer.write_document(name, shape)
    return writer.source()


async def _target(
    database: mongojet.Database, names: Iterable[str], path: str, shape: "_Shape"
) -> str | None:
    """The collection that has all of the values as ids; one that the field is named for comes first."""
    wanted = re.sub(
        r"_?ids?$", "", path.removesuffix("._id").rpartition(".")[2], flags=re.IGNORECASE
    )
    named = [name for name in names if _class_name(name).lower() == _class_name(wanted).lower()]
    kinds = shape.kinds.keys() - {"null"}
    others = [name for name in names if name not in named] if kinds <= {"objectId", "uuid"} else []
    values = list(shape.values.values())
    # Encoded here: the driver's own codec knows no UUID.
    asked: Any = RawBSONDocument(encode({"_id": {"$in": values}}))
    found: list[str] = []
    for name in (*named, *others):
        there = await database[name].count_documents(asked)
        if there == len(values):
            found.append(name)
            if name in named:
                break
    return found[0] if len(found) == 1 else None


_KINDS = {UUID: "uuid", Binary: "subtype"}
"""Kinds beside BSON's types; a bytes field would write a Binary, with its own subtype, as another one."""


class _Shape:
    """What stands at one place of the sampled documents."""

    def __init__(self) -> None:
        self.count = 0
        self.kinds: Counter[str] = Counter()
        self.texts: set[str] = set()
        self.values: dict[Any, Any] = {}
        self.fields: dict[str, _Shape] = {}
        self.elements: _Shape | None = None
        self.target: str | None = None

    def add(self, value: Any) -> None:
        self.count += 1
        name = _KINDS.get(type(value)) or type_name(value)  # pyright: ignore[reportUnknownArgumentType]
        self.kinds[name] += 1
        if name == "object":
            for key, each in value.items():
                self.fields.setdefault(key, _Shape()).add(each)
        elif name == "array":
            self.elements = self.elements or _Shape()
            for each in value:
                self.elements.add(each)
        elif name != "null" and len(self.values) <= _VALUES:
            self.values[key_of(value)] = value
        if name == "string" and len(self.texts) <= _CHOICES:
            self.texts.add(value)

    def ids(self, path: str) -> Iterable[tuple[str, "_Shape"]]:
        """The fields that may be references, with their paths; never a document's own id."""
        kinds = self.kinds.keys() - {"null"}
        one_kind = len(kinds) == 1 and kinds <= {"objectId", "uuid", "string", "int", "long"}
        if one_kind and path != "_id" and len(self.values) <= _VALUES:
            yield path, self
        for name, each in self.fields.items():
            yield from each.ids(f"{path}.{name}" if path else name)
        if self.elements is not None:
            yield from self.elements.ids(path)


class _Writer:
    """Writes the classes of a module."""

    def __init__(self, collections: Iterable[str]) -> None:
        self._taken: set[str] = {*_IMPORTS, "MongoDocument"}
        self._class_of = {name: self._free(_class_name(name)) for name in collections}
        self._used: set[str] = set()
        self._classes: list[str] = []

    def source(self) -> str:
        lines = sorted(_IMPORTS[name] for name in self._used)
        standard = [each for each in lines if not each.startswith(("from bson", "import msgspec"))]
        other = [each for each in lines if each not in standard]
        other.append("from mongospec import MongoDocument")
        head = ['"""Document classes, from a sample of the database."""', "\n".join(standard)]
        body = "\n\n\n".join([*self._classes])
        return "\n\n".join([*filter(None, head), "\n".join(other)]) + f"\n\n\n{body}\n"

    def write_document(self, collection: str, shape: _Shape) -> None:
        name = self._class_of[collection]
        lines = [f"    __collection_name__ = {collection!r}", ""]
        id_ = shape.fields.pop("_id", None)
        if id_ is not None and id_.kinds.keys() != {"objectId"}:
            kinds = id_.kinds.keys()
            annotation = self._use("Any") if "object" in kinds else self._annotation(id_, "")
            lines.append(f"    _id: {annotation}{'' if annotation == 'Any' else ' | None'} = None")
        lines += self._fields(shape, name)
        self._write(f"class {name}(MongoDocument):", lines)

    def _write(self, head: str, lines: list[str]) -> None:
        self._classes.append("\n".join([head, *lines]).rstrip())

    def _fields(self, shape: _Shape, owner: str) -> list[str]:
        lines: list[str] = []
        taken: set[str] = set()
        for stored, each in shape.fields.items():
            if "." in stored or stored.startswith("$") or not stored:
                lines.append(f"    # {stored!r} cannot be a field")
                continue
            name = _field_name(stored, taken)
            taken.add(name)
            annotation, default = self._declared(each, shape, f"{owner}{_camel(stored)}")
            if name != stored:
                self._used.add("msgspec")
                more = "" if default is None else f", default{_default(default)}"
                lines.append(f"    {name}: {annotation} = msgspec.field(name={stored!r}{more})")
            else:
                lines.append(
                    f"    {name}: {annotation}{'' if default is None else f' = {default}'}"
                )
        return lines

    def _declared(self, shape: _Shape, outer: _Shape, name: str) -> tuple[str, str | None]:
        """A field's annotation, and its default if there is one."""
        annotation = self._annotation(shape, name)
        missing = shape.count < outer.kinds["object"]
        if annotation == "Any":
            return annotation, "None" if missing or shape.kinds["null"] else None
        if missing and annotation.startswith("list[") and not shape.kinds["null"]:
            return _quoted(annotation), "[]"
        if missing or shape.kinds["null"]:
            return _quoted(f"{annotation} | None"), "None"
        return _quoted(annotation), None

    def _annotation(self, shape: _Shape, name: str) -> str:
        """Return the type of the values, without None."""
        if shape.target is not None:
            return f"{self._class_of[shape.target]}{_REFERENCE}"
        kinds = shape.kinds.keys() - {"null"}
        if kinds == {"object"}:
            return self._document(shape, name)
        if kinds == {"array"}:
            assert shape.elements is not None
            inner = self._annotation(shape.elements, name)
            nullable = shape.elements.kinds["null"] and inner != "Any"
            return f"list[{inner} | None]" if nullable else f"list[{inner}]"
        if kinds == {"string"} and _is_choice(shape):
            return f"{self._use('Literal')}[{', '.join(map(repr, sorted(shape.texts)))}]"
        types = {_SCALARS.get(kind, "Any") for kind in kinds}
        if not types or "Any" in types or (len(types) > 1 and not types <= _PLAIN):
            return self._use("Any")
        return " | ".join(self._use(each) for each in sorted(types))

    def _document(self, shape: _Shape, name: str) -> str:
        odd = any(not key.isidentifier() for key in shape.fields)
        if not shape.fields or odd or len(shape.fields) > _FIELDS:
            values = _Shape()
            for each in shape.fields.values():
                values.kinds += each.kinds
            scalar = not values.kinds.keys() & {"object", "array", "null"}
            inner = self._annotation(values, name) if scalar else self._use("Any")
            return f"dict[str, {inner}]"
        self._use("msgspec")
        own = self._free(name)
        self._write(f"class {own}(msgspec.Struct, kw_only=True):", self._fields(shape, own))
        return own

    def _use(self, name: str) -> str:
        if name in _IMPORTS:
            self._used.add(name)
        return name

    def _free(self, name: str) -> str:
        number, free = 2, name
        while free in self._taken:
            free, number = f"{name}{number}", number + 1
        self._taken.add(free)
        return free


_REFERENCE = "\0"
"""Stands after a document class's name, which may come later in the module: it is quoted then."""


def _quoted(annotation: str) -> str:
    if _REFERENCE not in annotation:
        return annotation
    return f'"{annotation.replace(_REFERENCE, "")}"'


def _default(default: str) -> str:
    return "_factory=list" if default == "[]" else f"={default}"


def _is_choice(shape: _Shape) -> bool:
    texts = shape.texts
    often = shape.kinds["string"] >= _REPEATS * len(texts)
    return often and 2 <= len(texts) <= _CHOICES and all(map(_CHOICE.fullmatch, texts))


def _camel(text: str) -> str:
    parts = re.split(r"[^A-Za-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text))
    return "".join(each[:1].upper() + each[1:] for each in parts)


def _class_name(collection: str) -> str:
    """``blog_posts`` -> ``BlogPost``."""
    name = _camel(collection)
    for plural, single in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ss", "ss"), ("s", "")):
        if name.lower().endswith(plural) and len(name) > len(plural) + 1:
            name = name[: -len(plural)] + single
            break
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"Collection{name}"


def _field_name(stored: str, taken: set[str]) -> str:
    """The attribute for a stored name: that name, unless Python or the class has another use for it."""
    name = re.sub(r"\W", "_", stored, flags=re.ASCII).lstrip("_") or "field"
    if name[0].isdigit():
        name = f"field_{name}"
    while (
        keyword.iskeyword(name) or hasattr(MongoDocument, name) or name in taken or name in _BUILTIN
    ):
        name += "_"
    return name


_BUILTIN = {"str", "bool", "int", "float", "bytes", "list", "dict", *_IMPORTS}
"""What annotations after the field would no longer mean."""
