"""Look at what is really stored, past our codec."""

from typing import Any

import mongojet
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from mongospec_core import MongoDocument

DOUBLE, STRING, DOCUMENT, ARRAY, BINARY = 0x01, 0x02, 0x03, 0x04, 0x05
OBJECT_ID, BOOLEAN, DATE, NULL, REGEX = 0x07, 0x08, 0x09, 0x0A, 0x0B
INT32, INT64, DECIMAL128 = 0x10, 0x12, 0x13

_RAW = CodecOptions(document_class=RawBSONDocument)


async def element(
    db: mongojet.Database, collection: str, field: str, filter: dict[str, Any] | None = None
) -> tuple[int, bytes]:
    """The BSON type and the bytes of one field of the one document that matches."""
    found = await db.get_collection(collection, codec_options=_RAW).find_one(
        filter or {}, projection={field: 1, "_id": 0}
    )
    assert found is not None
    start = 5 + len(field.encode()) + 1
    return found.raw[4], found.raw[start:-1]


async def stored(cls: type[MongoDocument], filter: dict[str, Any] | None = None) -> list[Any]:
    """All documents of the class's collection as plain dicts, by ``_id``."""
    cursor = await cls.get_collection().find(filter or {}, sort={"_id": 1})
    return [each async for each in cursor]


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types at every depth."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return all(alike(a, c) and alike(b, d) for (a, b), (c, d) in pairs)
    if isinstance(one, list | tuple):
        return all(map(alike, one, other))
    if isinstance(one, set | frozenset):
        return {type(each) for each in one} == {type(each) for each in other}
    fields = getattr(one, "__struct_fields__", None) or getattr(one, "__dataclass_fields__", ())
    return all(alike(getattr(one, each), getattr(other, each)) for each in fields)
