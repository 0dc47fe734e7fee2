"""Schemas for pydantic (and FastAPI) of types that msgspec reads and writes.

It is imported when pydantic asks for a schema: no other module imports pydantic.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# JSON and its schemas are of any type; this module tells the types apart.

import datetime as dt
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, get_args, get_origin

import msgspec
from pydantic import GetJsonSchemaHandler
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    ValidationError,
    core_schema,
)

from mongospec_core.codec import json
from mongospec_core.codec.annotations import (
    class_of,
    declared_fields,
    iter_types,
    resolve_names,
    type_args,
    unwrap,
)
from mongospec_core.codec.class_cache import class_cache
from mongospec_core.codec.plan import Plan, plan_of
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.codec.validation import parse_validation_error


def core_schema_of(tp: Any) -> CoreSchema:
    """Return pydantic's schema to validate, serialize and describe a type that msgspec knows.

    :param tp: a document class, a Struct, an ObjectId, or a container of them (``list[Card]``). A
        tagged document class includes its subclasses.
    """
    cls = unwrap(tp)
    if len(json.family(cls)) > 1:  # no ref: the definitions are those of its members
        return core_schema.no_info_plain_validator_function(
            _validator(_validated, cls),
            metadata={"pydantic_js_functions": [partial(_family_schema, cls)]},
            serialization=_SERIALIZATION,
        )
    return _exact_schema_of(tp)


def _exact_schema_of(tp: Any) -> CoreSchema:
    name, _, _ = _described(tp)
    about: dict[str, Any] = {
        "ref": None if name is None else _ref(tp, name),
        "metadata": {"pydantic_js_functions": [partial(_json_schema, tp)]},
        "serialization": _SERIALIZATION,
    }
    if _holds_whole_documents(tp) and any(map(json.family, get_args(tp))):
        return core_schema.no_info_wrap_validator_function(
            _validator(_validated_page, tp), _items_schema(*get_args(tp)), **about
        )
    return core_schema.no_info_plain_validator_function(_validator(_validated, tp), **about)


def _validator(validate: Callable[..., Any], tp: Any) -> Callable[..., Any]:
    """Return *validate* for a type, with the name that pydantic has in the title of its error."""

    def bound(*given: Any) -> Any:
        return validate(tp, *given)

    bound.__name__ = bound.__qualname__ = _name(tp)
    return bound


def _name(tp: Any) -> str:
    return getattr(class_of(tp), "__name__", "value")


def _holds_whole_documents(tp: Any) -> bool:
    return getattr(get_origin(tp) or tp, "__holds_whole_documents__", False)


def _items_schema(tp: Any) -> CoreSchema:
    items = core_schema.list_schema(core_schema_of(tp))
    fields = {"items": core_schema.typed_dict_field(items, required=False)}
    return core_schema.typed_dict_schema(fields, extra_behavior="allow")


# -- values


def _validated(tp: Any, value: Any) -> Any:
    """Return an instance unchanged, or convert JSON values by msgspec."""
    if isinstance(value, msgspec.Struct) and isinstance(value, class_of(tp)):
        return value
    try:
        return read_json(json.own_class(tp, value), value)
    except (ValueError, ArithmeticError) as error:  # msgspec's is a ValueError
        path, reason = parse_validation_error(error)
        where = [name or (int(n) if n.isdigit() else n) for name, n in _STEPS.findall(path)]
        kind = "missing" if reason.startswith("missing") else "value_error"
        problem = PydanticCustomError(kind, "{reason}", {"reason": reason})
        detail = InitErrorDetails(type=problem, loc=tuple(where), input=_at(value, where))
        raise ValidationError.from_exception_data(_name(tp), [detail]) from None


def _validated_page(tp: Any, value: Any, read_items: Callable[[Any], Any]) -> Any:
    """A page of a family: each of its documents is read as its own class, then the page with them."""
    return _validated(get_origin(tp), read_items(value) if isinstance(value, dict) else value)


_STEPS = re.compile(r"([^.\[\]]+)(?![^\[]*\])|\[([^\]]*)\]")


def _at(value: Any, path: list[Any]) -> Any:
    """Return the value at a path, or at the part of the path that exists."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            break
    return value


def read_json(tp: Any, value: Any) -> Any:
    """Convert JSON values (and others that msgspec accepts) to *tp*.

    :raises msgspec.ValidationError: it does not fit.
    """
    own_hook = getattr(class_of(tp), "dec_hook", None)

    def dec_hook(wanted: type, given: Any) -> Any:
        try:
            return json.dec_hook(wanted, given)
        except NotImplementedError:
            if own_hook is None:
                raise
            return own_hook(wanted, given)

    def read(reader: Any) -> list[Any]:
        ready = value if reader is None else _ready(tp, value, reader)
        return [msgspec.convert(ready, tp, str_keys=True, dec_hook=dec_hook)]

    document = _document_in(tp)
    (made,) = read(None) if document is None else document._read_json(read)
    return made


@class_cache
def _document_in(tp: Any) -> Any:
    """Return a document class inside a type, if any: its documents may be written as their ids."""
    inside = (each for each in iter_types(tp) if each is not unwrap(tp))
    return next((each for each in inside if hasattr(each, "__bson_decoder__")), None)


def _ready(tp: Any, value: Any, reader: Any) -> Any:
    plan = _plan(tp)
    if plan.type is tp:
        return plan.decode(value, reader)
    return plan.decode({"value": value}, reader)["value"]


@class_cache
def _plan(tp: Any) -> Plan[Any]:
    cls = get_origin(tp) or tp
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        return plan_of(tp)
    return plan_of(msgspec.defstruct("Value", [("value", tp)]))


def _written(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=_enc_hook)
    except RecursionError as error:
        raise ValueError(
            f"JSON of a {type(value).__name__}: documents in it lead back to it; write their ids"
        ) from error


def _enc_hook(value: Any) -> Any:
    try:
        return json.enc_hook(value)
    except NotImplementedError:
        if (raw := to_raw(value)) is value:
            raise
        return raw


_SERIALIZATION = core_schema.plain_serializer_function_ser_schema(_written, when_used="json")


# -- JSON Schema: msgspec's own, each class in it a definition of pydantic's


def _ref(tp: Any, name: str) -> str:
    # pydantic takes the name of the definition from it: what stands after the last dot.
    return f"{class_of(tp).__module__}.{name}:{hash(tp)}"


@class_cache
def _described(tp: Any) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """Return msgspec's name of a class, if it has a schema of its own, and that schema.

    The third part are the classes that the schema refers to, by name.
    """
    resolve_names([tp])
    inside = [each for each in iter_types(tp) if isinstance(get_origin(each) or each, type)]
    types = [tp, *(each for each in inside if each not in (tp, msgspec.UnsetType))]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_schema_hook, ref_template="{name}"
    )
    named = {
        s["$ref"]: each for s, each in zip(schemas, types, strict=True) if s.keys() == {"$ref"}
    }
    name: str | None = schemas[0].get("$ref")
    if name is None or unwrap(tp) is not tp:
        return None, schemas[0], named
    if "properties" in (own := components[name]):
        for field in declared_fields(tp):
            _note_dates(field.type, own["properties"][field.encode_name])
    return name, own, named


def _note_dates(annotation: Any, schema: Any) -> None:
    """Describe datetimes with a zone: msgspec says "string", but stored ones always have one."""
    tp, args = unwrap(annotation), type_args(annotation)
    naive = any(getattr(each, "tz", None) is False for each in get_args(annotation))
    if tp is dt.datetime and schema.get("type") == "string" and not naive:
        schema.setdefault("format", "date-time")
    elif "anyOf" in schema:
        for arm in schema["anyOf"]:
            for each in args:
                _note_dates(each, arm)
    elif (
        isinstance(inner := schema.get("items", schema.get("additionalProperties")), dict) and args
    ):
        _note_dates(args[-2 if args[-1] is ... else -1], inner)


def _schema_hook(tp: type) -> dict[str, Any]:
    try:
        return json.schema_hook(tp)
    except NotImplementedError:
        return {"title": tp.__name__}  # a type of the user's own: anything


def _family_schema(cls: Any, _: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    arms = {each: _defined(_exact_schema_of(each), handler) for each in json.family(cls)}
    mapping = {str(each.__struct_config__.tag): arm["$ref"] for each, arm in arms.items()}
    field = cls.__struct_config__.tag_field
    return {
        "anyOf": [*arms.values()],
        "discriminator": {"propertyName": field, "mapping": mapping},
    }


_open: ContextVar[frozenset[str]] = ContextVar("_open", default=frozenset())
"""The definitions that are being made; a type that leads back to one refers to it by name."""


def _json_schema(tp: Any, _: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    name, schema, named = _described(tp)
    token = _open.set(_open.get() | ({_ref(tp, name)} if name is not None else set()))
    try:
        whole = _holds_whole_documents(tp) or name is None
        made: dict[str, Any] = _resolved(schema, named, handler, whole)
    finally:
        _open.reset(token)
    if (
        name is None and "$ref" in made
    ):  # pydantic would write what stands beside it into the definition
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made


def _resolved(
    schema: Any,
    named: Mapping[str, Any],
    handler: GetJsonSchemaHandler,
    whole_documents: bool = False,
) -> Any:
    """Return msgspec's schema with pydantic's definitions of the classes in it."""
    if isinstance(schema, list):
        return [_resolved(each, named, handler, whole_documents) for each in schema]
    if not isinstance(schema, dict):
        return schema
    resolved = {
        key: _resolved(each, named, handler, whole_documents)
        for key, each in schema.items()
        if key != "$ref"
    }
    if "$ref" in schema:
        resolved |= _definition(named[schema["$ref"]], handler, whole_documents)
    # A discriminator; of properties with these names, both are schemas.
    if isinstance(schema.get("propertyName"), str) and "mapping" in schema:
        arms = {
            tag: _definition(named[name], handler, whole_documents)
            for tag, name in resolved.pop("mapping").items()
        }
        if all("$ref" in arm for arm in arms.values()):  # a document's reference has no definition
            resolved["mapping"] = {tag: arm["$ref"] for tag, arm in arms.items()}
    return resolved


def _defined(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """Return a reference to pydantic's definition, which is made now unless it is being made."""
    ref: str | None = schema.get("ref")
    if ref is not None and ref in _open.get():
        return handler(core_schema.definition_reference_schema(ref))
    return handler(core_schema.definitions_schema(schema, []))


def _definition(tp: Any, handler: GetJsonSchemaHandler, whole_documents: bool) -> dict[str, Any]:
    if not hasattr(tp, "__bson_decoder__") or whole_documents:
        return _defined(core_schema_of(tp), handler)
    # A reference can also be read from its id, and an unresolved one is written as its id.
    _, schema, named = _described(tp)
    own: dict[str, Any] = schema["properties"]["_id"]
    arms = [each for each in own.get("anyOf", [own]) if each != {"type": "null"}]
    id_ = _resolved({"anyOf": arms} if len(arms) > 1 else arms[0], named, handler)
    only_id = {"type": "object", "properties": {"_id": id_}, "required": ["_id"]}
    if handler.mode == "serialization":
        return {"anyOf": [_defined(core_schema_of(tp), handler), only_id]}
    return {"anyOf": [id_, only_id, _defined(_exact_schema_of(tp), handler)]}
