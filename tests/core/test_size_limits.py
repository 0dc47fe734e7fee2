"""What is larger than the server takes: cut into several commands, or refused before it is sent."""

import pytest
from pymongo import InsertOne, UpdateOne

from mongospec_core import EncodingError, MongoDocument
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Person


class Heavy(MongoDocument):
    data: bytes
    number: int = 0


async def test_save_many_cuts_its_commands_below_16_megabytes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Heavy)
    heavy = [await Heavy(data=b"").insert() for _ in range(3)]
    for each in heavy:
        each.data = bytes(7_000_000)
    with mongo_proxy.recording() as seen:
        await Heavy.save_many(heavy)
    updates = [each for each in seen if each.name == "update"]
    assert [len(each.body["updates"]) for each in updates] == [2, 1]
    assert await Heavy.count({"data": bytes(7_000_000)}) == 3


async def test_an_operation_over_16_megabytes_is_refused_before_anything_is_sent(
    bind: Bind,
) -> None:
    await bind(Person)
    with pytest.raises(EncodingError, match="nothing was written"):
        await Person.bulk_write(
            [InsertOne({"name": "a"}), UpdateOne({}, {"$set": {"name": "x" * 17_000_000}})]
        )
    assert await Person.count() == 0
