"""Optimistic locking with a version field: nobody overwrites what he has not seen."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument, StaleDocumentError

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Account(MongoDocument, version_field="version"):
    __collection_name__ = "accounts"

    owner: str
    balance: int
    version: int = 0


async def withdraw(owner: str, amount: int) -> Account:
    """Read, decide, write; start again if another one wrote in between."""
    while True:
        account = await Account.get_one({"owner": owner})
        if account.balance < amount:
            raise ValueError(f"{owner} has only {account.balance}")
        account.balance -= amount
        try:
            return await account.save()
        except StaleDocumentError:
            continue


async def withdraw_at_once(owner: str, amount: int) -> Account | None:
    """The same without a loop: the condition stands in the filter."""
    return await Account.find_one_and_update(
        {"owner": owner, "balance": {"$gte": amount}}, {"$inc": {"balance": -amount}}
    )


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Account], database="mongospec_atomic_updates"
    ):
        await Account.delete_many({})
        await Account(owner="Alice", balance=100).insert()

        results = await asyncio.gather(
            *(withdraw("Alice", 10) for _ in range(12)), return_exceptions=True
        )
        refused = [each for each in results if isinstance(each, ValueError)]
        print(f"12 withdrawals of 10 at once: {12 - len(refused)} done, {len(refused)} refused")

        account = await Account.get_one({"owner": "Alice"})
        print("Afterwards:", account)

        await Account.update_one({"owner": "Alice"}, {"$set": {"balance": 100}})
        try:
            account.balance = 1_000_000
            await account.save()  # it was read before the update, which raised the version
        except StaleDocumentError as error:
            print(f"Nothing was saved: version {error.expected} is not the stored one any more")

        taken = await asyncio.gather(*(withdraw_at_once("Alice", 30) for _ in range(5)))
        print("5 withdrawals of 30 at once:", sum(each is not None for each in taken), "done")

        await account.reload()

    print(f"The balance is {account.balance} at version {account.version}: no update was lost.")


if __name__ == "__main__":
    asyncio.run(main())
