"""JSON: hooks for msgspec's JSON functions, and mappings for Litestar.

::

    msgspec.json.encode(users, enc_hook=enc_hook)
    msgspec.json.decode(body, type=User, dec_hook=dec_hook)
    msgspec.json.schema(User, schema_hook=schema_hook)

msgspec writes datetimes, UUIDs, decimals, bytes, enums and Structs itself; the hooks write the
other types that documents hold.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# JSON and its schemas are of any type; this module tells the types apart.

import base64
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
from bson import (
    Binary,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from mongospec_core.errors import shown


def enc_hook(value: Any) -> Any:
    """Encode what msgspec cannot encode itself: an ObjectId becomes its 24 hex digits.

    :param value: the value; msgspec calls this only for types that it does not know.
    :raises NotImplementedError: mongospec does not know its type either.

    >>> msgspec.json.encode(ObjectId("65f0c0ffee65f0c0ffee0001"), enc_hook=enc_hook)
    b'"65f0c0ffee65f0c0ffee0001"'
    """
    for tp in type(value).__mro__:
        if (form := _FORMS.get(tp)) is not None:
            return form.encode(value)
        if tp in (int, str, float):  # a subclass, like UpdateResult, is written as what it is
            return tp(value)
    raise NotImplementedError(f"no JSON for {type(value).__name__}; write it in a hook of your own")


def family(tp: Any) -> list[Any]:
    """Return the classes whose documents are documents of a tagged class, itself among them."""
    is_tagged = hasattr(tp, "__bson_decoder__") and tp.__struct_config__.tag is not None
    return tp._members() if is_tagged else []


def own_class(tp: Any, value: Any) -> Any:
    """Return the class in the family whose tag a JSON document has; *tp* itself if there is none."""
    if isinstance(value, dict):
        for each in family(tp):
            config = each.__struct_config__
            if value.get(config.tag_field) == config.tag:
                return each
    return tp


def dec_hook(tp: type, value: Any) -> Any:
    """Decode what :func:`enc_hook` encoded.

    :param tp: the annotated type.
    :param value: the value in the JSON.
    :raises ValueError: it cannot be read as that type; msgspec turns it into a ValidationError.
    :raises NotImplementedError: mongospec does not know the type.

    >>> msgspec.json.decode(b'"65f0c0ffee65f0c0ffee0001"', type=ObjectId, dec_hook=dec_hook)
    ObjectId('65f0c0ffee65f0c0ffee0001')
    """
    if isinstance(value, tp):
        return value
    form = _FORMS.get(tp)
    if form is None or form.decode is None:
        raise NotImplementedError(f"no JSON for {tp.__name__}; read it in a hook of your own")
    try:
        return form.decode(value)
    except (TypeError, ArithmeticError, re.PatternError, msgspec.ValidationError) as error:
        raise ValueError(f"{shown(value)} is not a valid {tp.__name__}") from error


def _object_id(value: Any) -> ObjectId:
    if isinstance(value, str) and ObjectId.is_valid(value):
        return ObjectId(value)
    raise ValueError(f"{shown(value)} is not a valid ObjectId (24 hex digits)")


def schema_hook(tp: type) -> dict[str, Any]:
    """Return the JSON Schema of what :func:`enc_hook` writes.

    :param tp: a type that msgspec does not know.
    :raises NotImplementedError: mongospec does not know it either.

    >>> schema_hook(ObjectId)["pattern"]
    '^[0-9a-f]{24}$'
    """
    form = _FORMS.get(tp)
    if form is None or form.schema is None:
        raise NotImplementedError(f"no JSON Schema for {tp.__name__}; describe it in your own hook")
    return deepcopy(form.schema)


class _Form(NamedTuple):
    """How the values of a type are written, read and described."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any] | None = None
    schema: dict[str, Any] | None = None


def _pattern(value: Any) -> Any:
    return value.pattern


_FORMS: dict[type, _Form] = {
    ObjectId: _Form(
        str,
        _object_id,
        {
            "type": "string",
            "pattern": "^[0-9a-f]{24}$",
            "examples": ["65f0c0ffee65f0c0ffee0001"],
        },
    ),
    Decimal128: _Form(
        lambda value: str(value.to_decimal()),
        lambda value: Decimal128(Decimal(value)),
        {"type": "string", "format": "decimal"},
    ),
    Binary: _Form(
        lambda value: base64.b64encode(value).decode(),
        lambda value: Binary(base64.b64decode(value, validate=True)),
        {"type": "string", "contentEncoding": "base64"},
    ),
    Int64: _Form(int, lambda value: Int64(msgspec.convert(value, int)), {"type": "integer"}),
    Timestamp: _Form(
        lambda value: value.as_datetime(),
        lambda value: Timestamp(msgspec.convert(value, datetime), 0),
        {"type": "string", "format": "date-time"},
    ),
    Regex: _Form(_pattern, Regex, {"type": "string", "format": "regex"}),
    re.Pattern: _Form(_pattern, re.compile, {"type": "string", "format": "regex"}),
    # Types that a field of type Any may hold:
    DatetimeMS: _Form(int),  # a date that Python's datetime cannot hold, in milliseconds
    DBRef: _Form(lambda value: dict(value.as_doc())),
    MinKey: _Form(lambda _: "MinKey"),
    MaxKey: _Form(lambda _: "MaxKey"),
}


class ForPydantic:
    """Make pydantic and FastAPI read and write a type as msgspec does: ``Annotated[Card, ForPydantic]``.

    For plain Structs, for an ``ObjectId`` (:data:`PydanticObjectId`), and for containers of them.
    A ``msgspec.Meta`` beside it counts: ``Annotated[int, msgspec.Meta(ge=1), ForPydantic]``. Document classes and ``Page`` do not need it. Importing it does not import pydantic.

    .. code-block:: python

        from typing import Annotated
        from pydantic import BaseModel


        class Card(msgspec.Struct):
            name: str


        class Deck(BaseModel):
            cards: list[Annotated[Card, ForPydantic]]


        Deck.model_validate({"cards": [{"name": "Tea"}]}).cards  # [Card(name='Tea')]
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Return pydantic's schema of the type."""
        # Not at the top: pydantic is optional, and is installed if pydantic calls this.
        from mongospec_core.codec import pydantic_schema  # noqa: PLC0415

        return pydantic_schema.core_schema_of(source)


PydanticObjectId = Annotated[ObjectId, ForPydantic]
"""An ``ObjectId`` in pydantic's models and in FastAPI's parameters: 24 hex digits in JSON and in URLs."""

type_encoders: dict[Any, Callable[[Any], Any]] = {tp: each.encode for tp, each in _FORMS.items()}
"""For Litestar's ``type_encoders=``."""
type_decoders: list[tuple[Callable[[Any], bool], Callable[[type, Any], Any]]] = [
    (lambda tp: tp in _FORMS and _FORMS[tp].decode is not None, dec_hook)
]
"""For Litestar's ``type_decoders=``."""
