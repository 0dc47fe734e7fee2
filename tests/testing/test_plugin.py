"""The pytest plugin, used by test suites of its own."""

import re
from pathlib import Path

import pytest

from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from mongospec_testing.wire import ask
from tests.testing.conftest import FakeMongod, Leftovers

pytest_plugins = ["pytester"]

README = Path(__file__).parents[2] / "packages" / "mongospec-testing" / "README.md"

ASYNC = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    # Without plugins that no suite here uses: a run that starts processes takes half of the time.
    unused = "-p no:cacheprovider -p no:hypothesispytest -p no:anyio -p no:faker"
    pytester.makeini(f"[pytest]\nfilterwarnings = error\naddopts = {unused}")
    return pytester


def test_each_test_has_an_empty_database_that_is_dropped_after_it(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        async def test_empty(mongo_db, number):
            assert await mongo_db["things"].count_documents({}) == 0
            await mongo_db["things"].insert_one({"_id": 1})
            with open("names", "a") as file:
                print(mongo_db.name, file=file)
        """
    )
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(passed=2)
    names = (suite.path / "names").read_text().split()
    assert len(set(names)) == 2
    assert not set(names) & databases(mongo_server)


def databases(server: MongoServer) -> set[str]:
    reply = ask(MongoUri.parse(server.uri).addresses[0], {"listDatabases": 1, "nameOnly": True})
    assert reply is not None
    return {each["name"] for each in reply["databases"]}


def test_an_application_that_closes_the_client_breaks_no_other_test(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        async def test_closes(mongo_client, mongo_db):
            await mongo_db["things"].insert_one({"_id": 1})
            await mongo_client.close()
            with open("name", "w") as file:
                print(mongo_db.name, file=file)

        async def test_works(mongo_db):
            await mongo_db["things"].insert_one({"_id": 1})
        """
    )
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(passed=2)
    assert (suite.path / "name").read_text().strip() not in databases(mongo_server)


def test_the_fixtures_need_no_asyncio_plugin(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        import asyncio

        def test_in_a_loop_of_its_own(mongo_db, mongo_proxy):
            asyncio.run(mongo_db["things"].insert_one({"_id": 1}))
            assert mongo_proxy.count("insert") == 1
        """
    )
    result = suite.runpytest_subprocess("-p", "no:asyncio", "--mongo-server", mongo_server.uri)
    result.assert_outcomes(passed=1)


def test_a_run_that_uses_no_fixture_imports_neither_driver_nor_server(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        """
        import sys

        def test_nothing_heavy():
            ours = {name for name in sys.modules if name.startswith("mongospec")}
            assert ours == {"mongospec_testing", "mongospec_testing.plugin"}
            assert not {"bson", "mongojet", "pymongo"} & set(sys.modules)
        """
    )
    plugins = ("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:xdist")
    suite.runpytest_subprocess(*plugins).assert_outcomes(passed=1)


def test_the_option_comes_before_the_setting_and_the_setting_before_the_environment(
    suite: pytest.Pytester, mongo_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile("def test_kind(mongo_server): print('kind is', mongo_server.kind)")
    monkeypatch.setenv("MONGOSPEC_TEST_URI", mongo_server.uri)
    result = suite.runpytest_inprocess("-s", *ASYNC)
    result.stdout.fnmatch_lines(["*kind is uri*"])
    suite.makeini("[pytest]\nmongo_server = mongodb://127.0.0.1:1/")
    result = suite.runpytest_inprocess("-s", *ASYNC)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the given URI names 'mongodb://127.0.0.1:1/'*nothing answers*"])
    result = suite.runpytest_inprocess("-s", "--mongo-server", "uri", *ASYNC)
    result.stdout.fnmatch_lines(["*kind is uri*"])


@pytest.mark.parametrize("kind", ["embedded", "mongod"])
def test_the_server_is_chosen_by_name_and_a_fake_mongod_serves_as_the_embedded_one_does(
    suite: pytest.Pytester, fake_mongod: FakeMongod, leftovers: Leftovers, kind: str
) -> None:
    suite.makepyfile(
        f"""
        async def test_kind(mongo_server, mongo_db, mongo_client):
            assert mongo_server.kind == "{kind}"
            session = await mongo_client.start_session()
            await session.start_transaction()
            await mongo_db["things"].insert_one({{"_id": 1}}, session=session)
            await session.commit_transaction()
            assert await mongo_db["things"].count_documents({{}}) == 1
        """
    )
    result = suite.runpytest_subprocess("--mongo-server", kind, *ASYNC)
    result.assert_outcomes(passed=1)
    assert fake_mongod.starts.exists() == (kind == "mongod")
    assert leftovers.all() == []


def test_the_client_goes_through_the_proxy_exactly_when_the_test_has_one(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.fixture
        def watched(max_queries):
            return max_queries

        async def hello(client):
            return (await client["admin"].run_command({"hello": 1}))["me"]

        async def test_direct(mongo_client, mongo_server):
            assert await hello(mongo_client) in mongo_server.uri

        async def test_named(mongo_client, mongo_proxy):
            assert await hello(mongo_client) in mongo_proxy.uri

        async def test_counted(mongo_client, max_queries, request):
            assert await hello(mongo_client) in request.getfixturevalue("mongo_proxy").uri

        async def test_by_another_fixture(mongo_db, mongo_client, watched, request):
            assert await hello(mongo_client) in request.getfixturevalue("mongo_proxy").uri
            with watched(1):
                await mongo_db["things"].find_one({})

        async def test_too_late(mongo_client, request):
            request.getfixturevalue("mongo_proxy")
        """
    )
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*name it in the test's arguments*"])


def test_max_queries_fails_the_test_that_sends_more(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        async def test_within(mongo_db, max_queries):
            with max_queries(1):
                await mongo_db["things"].find_one({})

        async def test_too_many(mongo_db, max_queries):
            async with max_queries(1):
                await mongo_db["things"].find_one({"name": "Ada"})
                await mongo_db["things"].find_one({"name": "Ben"})
        """
    )
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*2 queries were sent, 1 allowed*", "*find things*Ada*"])


def test_what_a_test_leaves_stalled_or_open_holds_up_nothing_and_does_nothing(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    before = databases(mongo_server)
    suite.makepyfile(
        """
        import asyncio

        async def test_a_write(mongo_db, mongo_proxy):
            rule = mongo_proxy.stall("insert")
            task = asyncio.create_task(mongo_db["things"].insert_one({}))
            await rule.reached()
            task.cancel()

        async def test_everything(mongo_db, mongo_proxy):
            rule = mongo_proxy.stall(monitoring=True)
            task = asyncio.create_task(mongo_db["things"].insert_one({}))
            await rule.reached()
            task.cancel()

        async def test_a_transaction(mongo_db, mongo_client):
            await mongo_db["things"].insert_one({})
            session = await mongo_client.start_session()
            await session.start_transaction()
            await mongo_db["things"].insert_one({}, session=session)
        """
    )
    result = suite.runpytest_inprocess(
        "--mongo-server", mongo_server.uri, "-o", "faulthandler_timeout=20", *ASYNC
    )
    result.assert_outcomes(passed=3)
    assert result.duration < 10
    assert databases(mongo_server) <= before


def test_a_predicate_that_raises_fails_its_test(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(
        """
        async def test_it(mongo_db, mongo_proxy):
            mongo_proxy.delay("find", 0, where=lambda command: command.nothing)
            await mongo_db["things"].find_one({})
        """
    )
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(failed=1, errors=1)  # the query, and the proxy's own word at the end
    result.stdout.fnmatch_lines(["*a rule of the proxy failed: AttributeError*"])


def test_the_tests_in_the_readme_pass(suite: pytest.Pytester, mongo_server: MongoServer) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    suite.makepyfile(**{f"test_block_{n}": block for n, block in enumerate(tests)})
    result = suite.runpytest_inprocess("--mongo-server", mongo_server.uri, *ASYNC)
    result.assert_outcomes(passed=4)


def test_workers_have_a_server_each_and_leave_nothing(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    suite.makepyfile(WORKERS)
    result = suite.runpytest_subprocess("--mongo-server", "embedded", "-n", "2", *ASYNC)
    result.assert_outcomes(passed=8)
    lines = [line.split() for line in (suite.path / "seen").read_text().splitlines()]
    assert len({name for name, _ in lines}) == 8
    assert len({uri for _, uri in lines}) == 2
    assert leftovers.all() == []


def test_workers_that_share_a_server_share_no_database(
    suite: pytest.Pytester, mongo_server: MongoServer
) -> None:
    suite.makepyfile(WORKERS)
    result = suite.runpytest_subprocess("--mongo-server", mongo_server.uri, "-n", "2", *ASYNC)
    result.assert_outcomes(passed=8)
    lines = [line.split() for line in (suite.path / "seen").read_text().splitlines()]
    names = {name for name, _ in lines}
    assert len(names) == 8
    assert {uri for _, uri in lines} == {mongo_server.uri}
    assert not names & databases(mongo_server)


WORKERS = """
    import pytest

    @pytest.mark.parametrize("number", range(8))
    async def test_it(mongo_db, mongo_server, number):
        await mongo_db["things"].insert_one({"_id": 1})
        assert await mongo_db["things"].count_documents({}) == 1
        with open("seen", "a") as file:
            print(mongo_db.name, mongo_server.uri, file=file)
"""
