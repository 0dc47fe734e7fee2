"""Where the server comes from."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import mongojet
import pytest

from mongospec_testing import MongoServer, ServerNotAvailableError
from mongospec_testing.sources import embedded
from mongospec_testing.sources.embedded import EXECUTABLE
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask
from tests.testing.conftest import SECANTUSD, FakeMongod

NOWHERE = "mongodb://127.0.0.1:1/"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a server, by URI or on the PATH."""
    monkeypatch.delenv("MONGOSPEC_TEST_URI", raising=False)
    monkeypatch.delenv("MONGOSPEC_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if find_spec("secantus") is None:
        add_secantusd(tmp_path)


def add_secantusd(folder: Path, before: str = "") -> None:
    """Put the embedded server's program into a folder; *before* is what a shell runs first."""
    assert SECANTUSD is not None
    program = folder / EXECUTABLE
    program.write_text(f'#!/bin/sh\n{before}\nexec "{SECANTUSD}" "$@"\n')
    program.chmod(0o755)


async def write_in_transaction(uri: str) -> None:
    """Commits one transaction and aborts another; only the first leaves its document."""
    client = await mongojet.create_client(uri)
    collection = client["transactions"]["things"]
    await collection.insert_one({"_id": "before"})
    for name in ("committed", "aborted"):
        session = await client.start_session()
        await session.start_transaction()
        await collection.insert_one({"_id": name}, session=session)
        await (session.commit_transaction() if name == "committed" else session.abort_transaction())
    assert {each["_id"] for each in await collection.find_many({})} == {"before", "committed"}
    await client["transactions"].drop()
    await client.close()


async def test_the_session_server_takes_transactions(mongo_server: MongoServer) -> None:
    await write_in_transaction(mongo_server.uri)


async def test_the_embedded_server_has_transactions_and_fail_points(bare: None) -> None:
    with MongoServer("embedded") as server:
        assert server.kind == "embedded"
        await write_in_transaction(server.uri)
        client = await mongojet.create_client(server.uri)
        fail = {"failCommands": ["find"], "errorCode": 96}
        await client["admin"].run_command(
            {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": fail}
        )
        with pytest.raises(mongojet.PyMongoError, match="Error code 96"):
            await client["x"]["y"].find_one({})
        await client.close()


@pytest.mark.skipif(find_spec("secantus") is None, reason="secantusdb is not installed here")
def test_what_is_set_in_the_embedded_server_is_there() -> None:
    [name, value] = re.findall(r"^transactions\.(\w+) = (.+)$", embedded.LAUNCH, re.MULTILINE)[0]
    package = find_spec("secantus")
    assert package is not None and package.origin is not None
    source = Path(package.origin).with_name("transactions.py").read_text(encoding="utf-8")
    [default] = re.findall(rf"^{name} = (.+)$", source, re.MULTILINE)
    assert default != value
    assert source.count(name) > 1  # it is used


async def test_a_fake_mongod_on_the_path_is_made_a_primary_that_takes_transactions(
    fake_mongod: FakeMongod,
) -> None:
    with MongoServer() as server:
        assert server.kind == "mongod"
        port = int(server.uri.rpartition(":")[2].strip("/"))
        hello = ask(Address("127.0.0.1", port), {"hello": 1})
        assert hello is not None
        assert (hello["setName"], hello["isWritablePrimary"]) == ("rs0", True)
        await write_in_transaction(server.uri)
    [line] = fake_mongod.command_lines()
    assert re.fullmatch(
        rf"--dbpath \S*mongospec-\w+ --port {port} --bind_ip 127.0.0.1 --replSet rs0 --oplogSize 64 "
        r"--wiredTigerCacheSizeGB 0.25 --setParameter enableTestCommands=1 --nounixsocket",
        line,
    )


def test_a_fake_mongod_whose_port_was_taken_is_started_again_on_another(
    fake_mongod: FakeMongod,
) -> None:
    fake_mongod.exit_first_with(48)
    with MongoServer("mongod") as server:
        first, second = fake_mongod.command_lines()
        assert f":{second.split('--port ')[1].split()[0]}/" in server.uri
        assert first != second


def test_a_fake_mongod_that_ends_is_an_error_with_its_status_and_last_words(
    fake_mongod: FakeMongod,
) -> None:
    fake_mongod.exit_first_with(14)
    with pytest.raises(ServerNotAvailableError, match=r"status 14[\s\S]*exit 14 was asked for"):
        MongoServer("mongod").start()
    assert len(fake_mongod.command_lines()) == 1


def test_a_mongod_that_cannot_be_run_is_an_error_that_names_it(
    bare: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "mongod"
    broken.write_bytes(b"\x7fELF but not quite")
    broken.chmod(0o755)
    monkeypatch.setenv("MONGOSPEC_MONGOD", str(broken))
    with pytest.raises(ServerNotAvailableError, match=f"{broken}.* could not be started: .*Exec"):
        MongoServer("mongod").start()


async def test_a_uri_is_taken_as_it_is_and_its_server_left_running(
    mongo_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOSPEC_TEST_URI", mongo_server.uri)
    for source in (None, "uri", mongo_server.uri):
        with MongoServer(source) as server:
            assert (server.kind, server.uri) == ("uri", mongo_server.uri)
    await write_in_transaction(mongo_server.uri)


def test_a_uri_where_nothing_answers_is_an_error_that_hides_the_password() -> None:
    with pytest.raises(ServerNotAvailableError, match="nothing answers there") as caught:
        MongoServer("mongodb://user:secret@127.0.0.1:1/?tls=false").start()
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_uri_of_something_else_is_an_error_that_says_how_one_begins() -> None:
    with pytest.raises(ServerNotAvailableError, match="starts with mongodb://"):
        MongoServer("postgres://localhost/").start()


def test_the_variable_comes_before_a_mongod_on_the_path(
    fake_mongod: FakeMongod, mongo_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOSPEC_TEST_URI", mongo_server.uri)
    with MongoServer() as server:
        assert server.kind == "uri"
    assert not fake_mongod.starts.exists()


def test_without_uri_and_mongod_the_embedded_server_is_taken(bare: None) -> None:
    with MongoServer() as server:
        assert server.kind == "embedded"


def test_a_secantusd_on_the_path_is_found_where_its_package_is_not_installed(
    bare: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    add_secantusd(tmp_path, before=f'echo "$@" > "{tmp_path}/started"')
    with MongoServer() as server:
        assert server.kind == "embedded"
        assert "--config" in (tmp_path / "started").read_text()


def test_where_secantusdb_has_no_wheel_the_error_names_only_ways_that_work(
    no_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "NEWEST_PYTHON", (3, 12))
    with pytest.raises(ServerNotAvailableError) as caught:
        MongoServer("embedded").start()
    said = str(caught.value)
    assert f"no wheel for Python {sys.version_info[0]}.{sys.version_info[1]};" in said
    for way in ("uv tool install --python 3.13", "a mongod", "Docker", "MONGOSPEC_TEST_URI"):
        assert way in said
    assert "pip install" not in said
    with pytest.raises(ServerNotAvailableError) as caught:
        MongoServer().start()
    assert "mongospec-testing[embedded]" not in str(caught.value)


@pytest.fixture
def no_server(bare: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has none of the servers."""
    (tmp_path / EXECUTABLE).unlink(missing_ok=True)
    for module in ("embedded", "docker"):
        monkeypatch.setattr(f"mongospec_testing.sources.{module}.find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("source", "way_out"),
    [
        ("uri", "MONGOSPEC_TEST_URI is not set; set it"),
        ("mongod", "no mongod on the PATH.*install MongoDB"),
        (
            "embedded",
            r"secantusdb is not installed.*no secantusd-py.*; pip install 'mongospec-testing\[embedded\]'",
        ),
        ("docker", r"testcontainers is not installed; pip install 'mongospec-testing\[docker\]'"),
    ],
)
def test_a_source_that_is_not_there_says_what_is_missing_and_how_to_get_it(
    no_server: None, monkeypatch: pytest.MonkeyPatch, source: str, way_out: str
) -> None:
    monkeypatch.setattr(embedded, "NEWEST_PYTHON", sys.version_info[:2])
    with pytest.raises(ServerNotAvailableError, match=way_out):
        MongoServer(source).start()
    with pytest.raises(ServerNotAvailableError, match=way_out):  # listed among all the others
        MongoServer().start()


def test_a_mongod_named_by_the_variable_that_is_no_program_is_an_error(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOSPEC_MONGOD", "/no/such/mongod")
    with pytest.raises(ServerNotAvailableError, match="MONGOSPEC_MONGOD names '/no/such/mongod'"):
        MongoServer("mongod").start()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"'mongo' is not a source .*uri, mongod, embedded, docker"
    ):
        MongoServer("mongo")


def test_a_server_that_does_not_run_has_no_uri(mongo_server: MongoServer) -> None:
    server = MongoServer(mongo_server.uri)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.uri
    with server, pytest.raises(RuntimeError, match="running already"):
        server.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.kind
    server.stop()


def test_a_stopped_server_can_be_started_again(mongo_server: MongoServer) -> None:
    server = MongoServer(mongo_server.uri)
    for _ in range(2):
        with server:
            assert server.uri == mongo_server.uri
