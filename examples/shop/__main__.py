"""Two workers place 100 orders for products of which 55 are in stock."""

import asyncio
import sys
from decimal import Decimal

from shop import service
from shop.models import Customer, Order, Product

ORDERS, STOCK = 100, {"tea": 30, "coffee": 25}


async def work(number: str) -> None:
    """One of the workers: half of all orders, ten at a time."""
    async with service.database():
        customer = await Customer.get_one({"email": "alice@example.com"})
        turns = asyncio.Semaphore(10)

        async def order(sku: str) -> str:
            async with turns:
                wanted = service.Wanted(sku=sku, quantity=1)
                try:
                    await service.place_order(service.NewOrder(customer.id, [wanted]))
                except service.SoldOutError:
                    return "sold out"
                return "placed"

        results = await asyncio.gather(*(order(sku) for sku in ("tea", "coffee") * (ORDERS // 4)))
        print(f"worker {number}: {results.count('placed')} of {len(results)} orders were placed")


async def main() -> None:
    async with service.database():
        for cls in (Customer, Product, Order):
            await cls.delete_many({})
        await Customer(name="Alice", email="alice@example.com").insert()
        await Product.insert_many(
            [
                Product(sku=sku, name=sku.title(), price=Decimal("2.50"), stock=stock)
                for sku, stock in STOCK.items()
            ]
        )
        workers = [
            await asyncio.create_subprocess_exec(sys.executable, "-m", "shop", number)
            for number in "12"
        ]
        assert [await worker.wait() for worker in workers] == [0, 0]

        left = {product.sku: product.stock for product in await Product.find_all()}
        placed = await Order.count_documents({})
        changes = sum([product.version async for product in Product.find()])
        assert (left, placed, changes) == ({"tea": 0, "coffee": 0}, 55, 55)
        print(
            f"{placed} of {ORDERS} orders were placed; nothing is left, and nothing was oversold."
        )


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]) if sys.argv[1:] else main())
