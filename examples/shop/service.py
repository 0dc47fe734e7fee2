"""What can be done in the shop, whatever calls it."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
from bson import ObjectId
from msgspec import UNSET, UnsetType

import mongospec
from mongospec import Page
from shop.models import DOCUMENTS, Customer, Line, Order, Product, Quantity, Text

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")
DATABASE = "mongospec_shop"


@asynccontextmanager
async def database() -> AsyncGenerator[None]:
    async with mongospec.connect(URI, database=DATABASE, document_types=DOCUMENTS, timeout=30):
        yield


class Wanted(msgspec.Struct):
    sku: str
    quantity: Quantity


class NewOrder(msgspec.Struct):
    customer: ObjectId
    lines: list[Wanted]


class ProductChanges(msgspec.Struct):
    """What is left out stays. ``version`` is that of the product which the change was made for."""

    version: int
    name: Text | UnsetType = UNSET
    price: Decimal | UnsetType = UNSET
    stock: int | UnsetType = UNSET


class SoldOutError(Exception):
    """There is less in stock than was ordered; nothing was ordered."""


async def list_products(after: str | None = None, size: int = 20) -> Page[Product]:
    """Return the most expensive first; each page begins where the one before it ended."""
    return await Product.page({"stock": {"$gt": 0}}, sort=[("price", -1)], size=size, after=after)


async def change_product(id: ObjectId | str, changes: ProductChanges) -> Product:
    product = await Product.get_by_id(id)
    product.version = changes.version  # of what the editor saw, which may be older
    for name in ("name", "price", "stock"):
        if (value := getattr(changes, name)) is not UNSET:
            setattr(product, name, value)
    return await product.save()


async def place_order(new: NewOrder) -> Order:
    """All lines or none. The stock and the order change together, in one transaction."""
    quantities: dict[str, int] = {}
    for line in new.lines:
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity

    async def place() -> Order:
        customer = await Customer.get_by_id(new.customer)
        lines: list[Line] = []
        for sku, quantity in sorted(
            quantities.items()
        ):  # one order for all: none waits in a circle
            product = await Product.get_one({"sku": sku})
            if product.stock < quantity:
                raise SoldOutError(f"{product.stock} of {product.name} are left")
            product.stock -= quantity
            lines.append(Line(product=product, quantity=quantity, price=product.price))
        total = sum((line.price * line.quantity for line in lines), Decimal())
        order = Order(customer=customer, lines=lines, total=total)
        await Product.save_many([line.product for line in lines])
        return await order.insert()

    return await mongospec.run_in_transaction(place)


STATUSES: dict[type[Exception], int] = {
    SoldOutError: 409,
    mongospec.StaleDocumentError: 409,
    mongospec.DuplicateKeyError: 409,
    mongospec.InvalidIdError: 404,
    mongospec.DocumentNotFoundError: 404,
    mongospec.PageTokenError: 400,
    mongospec.DocumentValidationError: 422,
    mongospec.OperationTimeoutError: 504,
    mongospec.ServerUnavailableError: 503,
}


def answer_to(error: Exception) -> tuple[int, dict[str, Any]]:
    """The HTTP status of an error, and a body that tells nothing of the database."""
    status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    detail = str(error)
    if isinstance(error, mongospec.DuplicateKeyError):
        detail = f"taken: {error.key_value}"
    elif isinstance(error, mongospec.StaleDocumentError):
        detail = "changed by somebody else meanwhile; read it again"
    return status, {"detail": detail}
