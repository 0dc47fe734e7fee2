"""What a document class may say: types, nested Structs, its own kind of id, indexes, a base class."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, ClassVar
from uuid import UUID, uuid4

import msgspec
from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Currency(Enum):
    EURO = "EUR"
    POUND = "GBP"


class Price(msgspec.Struct):
    """A part of a document: a plain Struct, stored inside of it."""

    amount: Decimal
    currency: Currency


class Document(MongoDocument, abstract=True):
    """A base of one's own: its fields and indexes are those of every subclass."""

    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("created_at")]

    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class Archivable(MongoDocument, mixin=True):
    """A mixin: adds its fields to any document class that names it among its bases."""

    archived: bool = False


class Product(Archivable, Document):
    __collection_name__ = "products"  # without it: the name of the class
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("sku", unique=True)]

    sku: str
    price: Price
    stock: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: set[str] = set()
    shelf: str | None = msgspec.field(default=None, name="shelfCode")  # stored as shelfCode


class Country(MongoDocument):
    """A natural key as the id."""

    _id: str  # pyright: ignore[reportGeneralTypeIssues] - required, although the base has a default
    name: str


class Order(MongoDocument):
    """Ids of another type, made by the class."""

    _id: UUID = msgspec.field(default_factory=uuid4)
    product_sku: str


async def main() -> None:
    types: list[type[MongoDocument]] = [Product, Country, Order]
    async with mongospec.connect(URI, document_types=types, database="mongospec_document_models"):
        for cls in types:
            await cls.delete_many({})  # a second run starts anew

        tea = Product(sku="tea-1", price=Price(amount=Decimal("3.90"), currency=Currency.EURO))
        tea.tags |= {"green", "loose"}
        await tea.insert()
        print("The product as it is stored:", tea.dump())

        found = await Product.find_one({"price.amount": {"$lt": Decimal(4)}, "tags": "green"})
        assert found is not None
        assert found == tea
        print("Read back with its types:", found.price)

        await Country(_id="DE", name="Germany").insert()
        print("By its natural key:", await Country.find_by_id("DE"))

        order = await Order(product_sku=tea.sku).insert()
        assert await Order.find_by_id(str(order.id)) == order
        print("By an id from a URL, as text:", order.id)

        tea.stock = -1
        try:
            await tea.save()
        except mongospec.DocumentValidationError as error:
            print("Refused before it was sent:", error)

    print("A product, a country and an order were stored and read back equal.")


if __name__ == "__main__":
    asyncio.run(main())
