"""The shop on FastAPI: ``fastapi run shop/fastapi_app.py``, from ``examples/``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, Query, Request
from fastapi.responses import JSONResponse

from mongospec import ForPydantic, Page, PydanticObjectId
from shop import service
from shop.models import Customer, Order, Product


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    async with service.database():
        yield


app = FastAPI(title="Shop", lifespan=lifespan)


@app.post("/customers", status_code=201)
async def create_customer(customer: Annotated[Customer, Body()]) -> Customer:
    return await customer.insert()


@app.post("/products", status_code=201)
async def create_product(product: Annotated[Product, Body()]) -> Product:
    return await product.insert()


@app.get("/products")
async def list_products(
    after: str | None = None, size: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[Product]:
    return await service.list_products(after, size)


@app.patch("/products/{id}")
async def change_product(
    id: PydanticObjectId, changes: Annotated[service.ProductChanges, ForPydantic, Body()]
) -> Product:
    return await service.change_product(id, changes)


@app.post("/orders", status_code=201)
async def place_order(new: Annotated[service.NewOrder, ForPydantic, Body()]) -> Order:
    return await service.place_order(new)


@app.get("/orders/{id}")
async def read_order(id: PydanticObjectId) -> Order:
    return await Order.get_by_id(id)


async def answer(_: Request, error: Exception) -> JSONResponse:
    status, body = service.answer_to(error)
    return JSONResponse(body, status_code=status)


for cls in service.STATUSES:
    app.exception_handler(cls)(answer)
