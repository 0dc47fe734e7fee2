"""Values that are not exactly what their field says, and what becomes of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import pytest

from mongospec_core import DocumentValidationError, MongoDocument, changes
from tests.conftest import Bind


class FrozenDatetime(datetime):
    """What a library that freezes the clock returns."""


class Loss(float):
    """Like numpy.float64."""


class Money(Decimal):
    """An amount."""


class Text(str):  # noqa: SLOT000
    """A text that shows itself otherwise."""

    def __str__(self) -> str:
        return "something else"


class Run(MongoDocument):
    at: datetime
    loss: float = 0.0
    cost: Decimal = Decimal(0)
    name: str = ""
    losses: list[float] = []


class Shop(MongoDocument):
    opens: Annotated[datetime, msgspec.Meta(tz=False)]
    closes: list[Annotated[datetime, msgspec.Meta(tz=False)]] = []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("fold", [0, 1])
async def test_a_datetime_around_a_clock_change_equals_what_is_read(
    bind: Bind, zone: str, fold: int
) -> None:
    await bind(Run)
    for month in range(1, 13):
        for day in range(1, 29, 9):
            for hour in (1, 2):
                local = datetime(2026, month, day, hour, 30, fold=fold, tzinfo=ZoneInfo(zone))
                assert Run(at=local).dump()["at"] == local.astimezone(UTC)
    for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1)):
        for hour in (1, 2):
            local = datetime(2026, month, day, hour, 30, fold=fold, tzinfo=ZoneInfo(zone))
            run = await Run(at=local).insert()
            assert await Run.find_by_id(run.id) == run
            assert run.at == local.astimezone(UTC)
            assert changes(run) == {}


async def test_subclasses_of_what_bson_has_are_stored_as_what_they_are(bind: Bind) -> None:
    await bind(Run)
    at = FrozenDatetime(2026, 3, 1, 12, tzinfo=UTC)
    run = Run(at=at, loss=Loss(0.5), cost=Money("1.5"), name=Text("a"), losses=[Loss(2.0)])
    await run.insert()
    read = await Run.find_by_id(run.id)
    assert read is not None
    assert (read.at, read.loss, read.cost, read.losses) == (at, 0.5, Decimal("1.5"), [2.0])
    assert read.name == "a"
    assert type(read.at) is datetime


async def test_an_aware_datetime_is_refused_where_the_field_has_no_zone(bind: Bind) -> None:
    await bind(Shop)
    shop = Shop(opens=datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Berlin")))
    with pytest.raises(DocumentValidationError, match=r"Shop\.opens .*datetime with a time zone"):
        await shop.insert()
    assert await Shop.count() == 0
    shop.opens = datetime(2026, 7, 1, 9)
    await shop.insert()
    assert await Shop.find_by_id(shop.id) == shop


class Laps(MongoDocument):
    counts: dict[timedelta, int] = {}


async def test_timedelta_keys_come_back_as_they_were(bind: Bind) -> None:
    await bind(Laps)
    laps = await Laps(counts={timedelta(seconds=90): 1, timedelta(milliseconds=-5): 2}).insert()
    assert await Laps.find_by_id(laps.id) == laps
