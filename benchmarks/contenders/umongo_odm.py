"""uMongo: marshmallow schemas over Motor. Updates and bulk writes are the driver's own; references are fetched one by one."""

import datetime as dt
from typing import Any

import marshmallow as ma
from motor.motor_asyncio import AsyncIOMotorClient
from umongo import Document, EmbeddedDocument, fields, validate
from umongo.abstract import BaseField
from umongo.frameworks import MotorAsyncIOInstance

from benchmarks.contenders.plain import plain_person
from benchmarks.data import Raw

instance = MotorAsyncIOInstance()


class BinaryField(BaseField, ma.fields.Raw):
    """The package has no field for bytes."""


@instance.register
class Address(EmbeddedDocument):
    street = fields.StringField(required=True)
    city = fields.StringField(required=True)
    postcode = fields.StringField(required=True)


@instance.register
class Person(Document):
    class Meta:
        collection_name = "people"

    name = fields.StringField(required=True)
    email = fields.StringField(required=True)
    age = fields.IntegerField(required=True)
    score = fields.FloatField(required=True)
    active = fields.BooleanField(required=True)
    level = fields.StringField(required=True, validate=validate.OneOf(["base", "gold"]))
    address = fields.EmbeddedField(Address, required=True)
    tags = fields.ListField(fields.StringField(), required=True)
    visits = fields.DictField(fields.StringField(), fields.IntegerField(), required=True)
    created = fields.AwareDateTimeField(required=True, default_timezone=dt.UTC)
    picture = BinaryField(required=True)
    nickname = fields.StringField(allow_none=True)


class Contender:
    async def open(self, uri: str) -> None:
        self.client: Any = AsyncIOMotorClient(uri, tz_aware=True)
        instance.set_db(self.client["bench"])

    async def close(self) -> None:
        self.client.close()

    def make(self, raw: Raw) -> Any:
        return Person(**{**raw, "address": Address(**raw["address"])})

    plain = staticmethod(plain_person)

    def find_one(self, identity: Any) -> Any:
        return Person.find_one({"_id": identity})

    def insert_one(self, document: Any) -> Any:
        return document.commit()

    def save(self, document: Any, name: str, age: int) -> Any:
        document.name, document.age = name, age
        return document.commit()

    def find_all(self) -> Any:
        return Person.find().to_list(None)

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in Person.find():  # noqa: B007
            count += 1
        return count, each
