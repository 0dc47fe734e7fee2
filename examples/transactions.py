"""Several writes, all of them or none: transaction() and run_in_transaction().

Transactions need a replica set; one member is enough.
"""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Account(MongoDocument):
    __collection_name__ = "accounts"

    owner: str
    balance: int


class Transfer(MongoDocument):
    __collection_name__ = "transfers"

    sender: str
    receiver: str
    amount: int


class NotEnoughError(Exception):
    pass


async def transfer(sender: str, receiver: str, amount: int) -> Transfer:
    """Withdraw, deposit, note: knows nothing of transactions, runs in the one that it is called in."""
    taken = await Account.find_one_and_update({"owner": sender}, {"$inc": {"balance": -amount}})
    await Account.update_one({"owner": receiver}, {"$inc": {"balance": amount}})
    note = await Transfer(sender=sender, receiver=receiver, amount=amount).insert()
    if taken is None or taken.balance < 0:
        raise NotEnoughError(f"{sender} has not got {amount}")
    return note


async def balance(owner: str) -> int:
    account = await Account.find_one({"owner": owner})
    assert account is not None
    return account.balance


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Account, Transfer], database="mongospec_transactions"
    ):
        await Account.delete_many({})
        await Transfer.delete_many({})
        await Account.insert_many(
            [Account(owner="Alice", balance=100), Account(owner="Bob", balance=50)]
        )

        # Every operation inside the block takes part; there is no session to pass around.
        async with mongospec.transaction():
            await transfer("Alice", "Bob", 20)
        print("Committed:", await balance("Alice"), await balance("Bob"))

        # An exception that leaves the block undoes all of it.
        try:
            async with mongospec.transaction():
                await transfer("Bob", "Alice", 500)
        except NotEnoughError as error:
            print("Undone:", error)
        print("As before:", await balance("Alice"), await balance("Bob"), await Transfer.count())

        # What an aborted transaction inserted was never stored, and the document says so.
        lost = Transfer(sender="Alice", receiver="Bob", amount=1)
        try:
            async with mongospec.transaction():
                await lost.insert()
                raise NotEnoughError
        except NotEnoughError:
            print("The _id of the transfer that was not:", lost.id)

        # Repeats the function if the server says that the transaction may succeed if tried again
        # (another one was writing to the same documents).
        async def ten_from_alice() -> Transfer:
            return await transfer("Alice", "Bob", 10)

        note = await mongospec.run_in_transaction(ten_from_alice)
        print("By run_in_transaction:", note.amount)

        # What has to be stored whatever becomes of the transaction steps out of it.
        try:
            async with mongospec.transaction():
                await transfer("Alice", "Bob", 5)
                with mongospec.outside_transaction():
                    await Transfer(sender="log", receiver="log", amount=0).insert()
                raise NotEnoughError
        except NotEnoughError:
            print("Written outside of it:", await Transfer.count({"sender": "log"}))

        result = await balance("Alice"), await balance("Bob")

    print(f"Alice has {result[0]}, Bob has {result[1]}: no transfer was carried out by half.")


if __name__ == "__main__":
    asyncio.run(main())
