"""Servers that do not let everybody in: what errors say, and that they never say a password."""

import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import mongojet
import pytest

from benchmarks.load import Server
from mongospec_core import MongoDocument, MongospecError, OperationError, connect, instrument
from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from tests.guarded_server import SECRET, guarded_server


class Entry(MongoDocument):
    text: str = ""


def all_shown_by(error: BaseException) -> str:
    """All that an error can show of itself, its causes included."""
    texts = ["".join(traceback.format_exception(error))]
    each: BaseException | None = error
    while each is not None:
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        each = each.__cause__ or each.__context__
    with suppress(Exception):
        texts.append(repr(pickle.dumps(error)))
    return "\n".join(texts)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its user ``all`` may do everything, ``reader`` may only read."""
    roles = {"all": {"role": "readWrite", "db": "app"}, "reader": {"role": "read", "db": "app"}}
    with guarded_server(tmp_path_factory.mktemp("guarded"), roles) as server:
        yield server


def uri_of(server: Server, user: str, password: str = SECRET) -> str:
    return f"mongodb://{user}:{password}@{server.address}/app?authSource=app&serverSelectionTimeoutMS=3000"


async def test_a_user_with_the_password_is_let_in(guarded: Server) -> None:
    async with connect(uri_of(guarded, "all"), document_types=[Entry]):
        await Entry(text="a").insert()
        assert await Entry.count({"text": "a"}) == 1


@pytest.mark.parametrize(("user", "password"), [("all", "wr0ng-w0rd"), ("nobody", SECRET)])
async def test_a_wrong_user_or_password_is_named_as_the_cause(
    guarded: Server, user: str, password: str
) -> None:
    with pytest.raises(OperationError, match="authentication failed") as caught:
        async with connect(uri_of(guarded, user, password), document_types=[Entry]):
            pass
    assert (caught.value.code, caught.value.outcome) == (18, "not_applied")
    assert password not in all_shown_by(caught.value)


async def test_a_write_without_the_right_is_not_applied(guarded: Server) -> None:
    async with connect(uri_of(guarded, "reader"), document_types=[Entry], indexes="skip"):
        entry = Entry(text="b")
        with pytest.raises(OperationError) as caught:
            await entry.insert()
        assert (caught.value.code, caught.value.outcome) == (13, "not_applied")
        assert entry.id is None
        assert await Entry.count({"text": "b"}) == 0


@pytest.mark.parametrize(
    "rest",
    [
        "@127.0.0.1:1/app?serverSelectionTimeoutMS=200",
        "@127.0.0.1:notaport/app",
        "@127.0.0.1:1/app?w=-5",
        "@127.0.0.1:1/app?readPreference=nonsense",
        "@127.0.0.1:1/app?authMechanism=nonsense",
        "@@127.0.0.1:1/app",
        "@{server}/app?serverSelectionTimeoutMS=2000",
    ],
)
async def test_no_error_no_log_and_no_observer_has_the_password(
    mongo_server: MongoServer, rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    observed: list[dict[str, object]] = []

    @contextmanager
    def observer(attributes: dict[str, object]) -> Iterator[None]:
        observed.append(attributes)
        yield

    address = MongoUri.parse(mongo_server.uri).addresses[0]
    uri = f"mongodb://someone:{SECRET}{rest.format(server=address)}"
    with (
        pytest.raises((MongospecError, mongojet.PyMongoError, ValueError)) as caught,
        instrument(observer),
    ):
        async with connect(uri, document_types=[Entry], timeout=3):
            await Entry.count()
    assert SECRET not in all_shown_by(caught.value)
    assert SECRET not in caplog.text
    assert SECRET not in repr(observed)
