"""What the shop stores."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from mongojet import IndexModel
from msgspec import Meta

from mongospec import MongoDocument

type Text = Annotated[str, Meta(min_length=1, max_length=80)]
type Quantity = Annotated[int, Meta(ge=1, le=1000)]


class Customer(MongoDocument):
    __collection_name__ = "customers"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("email", unique=True)]

    name: Text
    email: Text


class Product(MongoDocument, version_field="version"):
    """Whoever saves one says which version was read: nobody's change is overwritten unseen."""

    __collection_name__ = "products"
    __indexes__: ClassVar[Sequence[IndexModel]] = [
        IndexModel("sku", unique=True),
        IndexModel([("price", -1), ("_id", -1)]),  # what its pages are sorted by
    ]

    sku: Text
    name: Text
    price: Decimal
    stock: Annotated[int, Meta(ge=0)] = 0
    version: int = 0

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ValueError("price must not be below 0")


class Line(msgspec.Struct):
    product: Product  # a reference: stored as its id
    quantity: Quantity
    price: Decimal  # of one, when it was ordered


class Order(MongoDocument):
    __collection_name__ = "orders"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel([("customer", 1), ("placed_at", -1)])]

    customer: Customer
    lines: list[Line]
    total: Decimal
    placed_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


DOCUMENTS: list[type[MongoDocument]] = [Customer, Product, Order]
