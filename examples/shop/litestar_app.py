"""The same shop on Litestar: ``litestar --app shop.litestar_app:app run``, from ``examples/``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

import mongospec
from mongospec import Page
from shop import service
from shop.models import Customer, Order, Product


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncGenerator[None]:
    async with service.database():
        yield


@post("/customers")
async def create_customer(data: JSONBody[Customer]) -> Customer:
    return await data.insert()


@post("/products")
async def create_product(data: JSONBody[Product]) -> Product:
    return await data.insert()


@get("/products")
async def list_products(
    after: FromQuery[str | None] = None,
    size: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> Page[Product]:
    return await service.list_products(after, size)


@patch("/products/{id:str}")
async def change_product(id: FromPath[str], data: JSONBody[service.ProductChanges]) -> Product:
    return await service.change_product(id, data)


@post("/orders")
async def place_order(data: JSONBody[service.NewOrder]) -> Order:
    return await service.place_order(data)


@get("/orders/{id:str}")
async def read_order(id: FromPath[str]) -> Order:
    return await Order.get_by_id(id)


def answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    status, body = service.answer_to(error)
    return Response(body, status_code=status)


app = Litestar(
    [create_customer, create_product, list_products, change_product, place_order, read_order],
    lifespan=[lifespan],
    type_encoders=mongospec.type_encoders,
    type_decoders=mongospec.type_decoders,
    exception_handlers=dict.fromkeys(service.STATUSES, answer),
    openapi_config=None,  # see ../web_app.py for ids in Litestar's OpenAPI
    logging_config=None,
)
