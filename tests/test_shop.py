"""The shop of ``examples/shop``: the same over FastAPI and over Litestar, and two workers at once."""

import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import AsyncTestClient

from mongospec_testing import MongoServer
from tests.subprocesses import without_coverage

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(params=["fastapi_app", "litestar_app"])
async def client(
    request: pytest.FixtureRequest, mongo_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Any]:
    """A client of the shop, which is empty."""
    monkeypatch.syspath_prepend(EXAMPLES)
    service = importlib.import_module("shop.service")
    monkeypatch.setattr(service, "URI", mongo_server.uri)
    monkeypatch.setattr(service, "DATABASE", f"shop_{os.getpid()}")
    app = importlib.import_module(f"shop.{request.param}").app
    async with served(app) as client:
        models = importlib.import_module("shop.models")
        try:
            yield client
        finally:
            await models.Order.get_collection().database.drop()


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[Any]:
    if type(app).__name__ == "Litestar":
        async with AsyncTestClient(app) as client:
            yield client
    else:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            yield client


async def created(client: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = await client.post(path, json=body)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def test_an_order_takes_from_the_stock_and_keeps_its_prices(client: Any) -> None:
    alice = await created(client, "/customers", {"name": "Alice", "email": "alice@example.com"})
    tea = {"sku": "tea", "name": "Tea", "price": "2.50", "stock": 3}
    tea = await created(client, "/products", tea)
    wanted = {"customer": alice["_id"], "lines": [{"sku": "tea", "quantity": 2}]}
    placed = await created(client, "/orders", wanted)
    assert placed["total"] == "5.00"

    path = f"/products/{tea['_id']}"
    reply = await client.patch(path, json={"version": 1, "price": "3.00"})
    assert (reply.status_code, reply.json()["stock"]) == (200, 1)
    order = (await client.get(f"/orders/{placed['_id']}")).json()
    assert order["customer"]["name"] == "Alice"
    assert [(line["price"], line["product"]["price"]) for line in order["lines"]] == [
        ("2.50", "3.00")
    ]


async def test_more_than_there_is_cannot_be_ordered(client: Any) -> None:
    alice = await created(client, "/customers", {"name": "Alice", "email": "alice@example.com"})
    for sku, stock in (("tea", 3), ("coffee", 1)):
        product = {"sku": sku, "name": sku.title(), "price": "1", "stock": stock}
        await created(client, "/products", product)
    lines = [{"sku": "tea", "quantity": 2}, {"sku": "coffee", "quantity": 2}]
    reply = await client.post("/orders", json={"customer": alice["_id"], "lines": lines})
    assert (reply.status_code, reply.json()) == (409, {"detail": "1 of Coffee are left"})
    page = (await client.get("/products")).json()
    assert {product["sku"]: product["stock"] for product in page["items"]} == {
        "tea": 3,
        "coffee": 1,
    }


async def test_the_second_of_two_editors_is_told(client: Any) -> None:
    tea = {"sku": "tea", "name": "Tea", "price": "2.50", "stock": 3}
    tea = await created(client, "/products", tea)
    path = f"/products/{tea['_id']}"
    first = await client.patch(path, json={"version": 0, "name": "Green tea"})
    second = await client.patch(path, json={"version": 0, "price": "9.99"})
    assert (first.status_code, first.json()["version"]) == (200, 1)
    assert (second.status_code, second.json()["detail"]) == (
        409,
        "changed by somebody else meanwhile; read it again",
    )


async def test_pages_go_on_where_the_last_one_ended(client: Any) -> None:
    for price in range(1, 6):
        product = {"sku": str(price), "name": "Thing", "price": str(price), "stock": 1}
        await created(client, "/products", product)
    page = (await client.get("/products", params={"size": 2})).json()
    await created(client, "/products", {"sku": "9", "name": "Dear", "price": "9", "stock": 1})
    seen = [product["sku"] for product in page["items"]]
    while page["next"] is not None:
        page = (await client.get("/products", params={"size": 2, "after": page["next"]})).json()
        seen += [product["sku"] for product in page["items"]]
    assert seen == ["5", "4", "3", "2", "1"]


async def test_what_is_refused_has_its_status(client: Any) -> None:
    alice = await created(client, "/customers", {"name": "Alice", "email": "alice@example.com"})
    tea = {"sku": "tea", "name": "Tea", "price": "2.50", "stock": 3}
    tea = await created(client, "/products", tea)
    unknown = "65f0c0ffee65f0c0ffee0001"
    replies = [
        await client.post("/customers", json={"name": "Eve", "email": "alice@example.com"}),
        await client.post("/customers", json={"name": "Eve"}),
        await client.post("/products", json={"sku": "x", "name": "X", "price": "-1"}),
        await client.get(f"/orders/{unknown}"),
        await client.get("/products", params={"after": "nonsense"}),
        await client.patch(f"/products/{tea['_id']}", json={"version": 0, "stock": -1}),
        await client.post(
            "/orders", json={"customer": alice["_id"], "lines": [{"sku": "tea", "quantity": 0}]}
        ),
        await client.post(
            "/orders", json={"customer": alice["_id"], "lines": [{"sku": "milk", "quantity": 1}]}
        ),
    ]
    refused = {400, 422}  # Litestar and FastAPI call a body that does not fit by these
    statuses = [reply.status_code for reply in replies]
    assert statuses[0] == 409
    assert {*statuses[1:3], statuses[6]} <= refused
    assert [*statuses[3:6], statuses[7]] == [404, 400, 422, 404]


async def test_two_workers_sell_what_there_is_and_no_more(mongo_server: MongoServer) -> None:
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-m", "shop"],
        cwd=EXAMPLES,
        env=without_coverage({**os.environ, "MONGODB_URI": mongo_server.uri}),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (process.returncode, process.stderr) == (0, "")
    *workers, total = process.stdout.splitlines()
    assert total == "55 of 100 orders were placed; nothing is left, and nothing was oversold."
    said = [re.findall(r"worker (\d): (\d+) of 50 ", each) for each in workers]
    assert {number for ((number, _),) in said} == {"1", "2"}
    assert sum(int(placed) for ((_, placed),) in said) == 55  # so each of them sold 5 at least


def test_the_shop_is_small_enough_to_read() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (EXAMPLES / "shop").glob("*.py"))
    assert lines <= 500
