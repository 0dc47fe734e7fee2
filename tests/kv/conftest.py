"""A project's base document, as applications have it, and stores over it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import mongojet
import msgspec
import pytest

import mongospec_core
from mongospec_core import MongoDocument
from mongospec_kv import KVStore

type Bind = Callable[..., Awaitable[None]]


class Document(MongoDocument, abstract=True):
    __indexes__ = [{"key": {"created_at": 1}}]

    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    revision: int = 7

    def __pre_save__(self) -> None:
        raise AssertionError("entries are not saved")

    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        update.setdefault("$set", {}).setdefault("updated_at", datetime.now(UTC))
        return update


class AppStorage(KVStore, Document):
    __collection_name__ = "app_storage"


class PlainStore(KVStore):
    """A store without a base of its own."""


@pytest.fixture
async def bind(mongo_db: mongojet.Database) -> AsyncIterator[Bind]:
    """Bind classes to the test's database."""

    async def init(*classes: type[MongoDocument], **options: Any) -> None:
        await mongospec_core.init(mongo_db, list(classes), close_client=False, **options)

    yield init
    await mongospec_core.close()


@pytest.fixture
async def store(bind: Bind) -> type[AppStorage]:
    """The store of the README, bound."""
    await bind(AppStorage)
    return AppStorage


@pytest.fixture
async def plain(bind: Bind) -> type[PlainStore]:
    """A store without a base, bound."""
    await bind(PlainStore)
    return PlainStore
