"""What all tests share. The servers and databases come from mongospec-testing's pytest plugin."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import mongojet
import pytest

from mongospec_core import MongoDocument, close, init
from mongospec_core.codec import codec_options

# A naive datetime is warned of where local time is not UTC: the tests say themselves where it is not.
os.environ["TZ"] = "UTC"
time.tzset()

type Bind = Callable[..., Awaitable[mongojet.Database]]


@pytest.fixture(autouse=True)
def registered_encoders() -> Iterator[None]:
    """What a test registers is forgotten at its end."""
    registered, hidden = dict(codec_options._registered), set(codec_options._hidden)
    yield
    if codec_options._registered != registered:
        codec_options._registered.clear()
        codec_options._registered.update(registered)
        codec_options._hidden.clear()
        codec_options._hidden.update(hidden)
        codec_options._forget_encoders()


@pytest.fixture
async def bind(mongo_db: mongojet.Database) -> AsyncIterator[Bind]:
    """``await bind(User, Post)``: bind classes to this test's database, until its end."""

    async def bound(*classes: type[MongoDocument], **options: Any) -> mongojet.Database:
        await init(mongo_db, classes, close_client=False, **options)
        return mongo_db

    yield bound
    await close()
