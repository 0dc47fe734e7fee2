"""What users write with mongospec-testing; checked by mypy and pyright, never run."""

from typing import assert_type

import mongojet

from mongospec_testing import Command, FaultProxy, MaxQueries, MongoServer, QueryLimit


async def the_fixtures_have_types_that_a_test_can_name(
    mongo_server: MongoServer,
    mongo_client: mongojet.Client,
    mongo_db: mongojet.Database,
    mongo_proxy: FaultProxy,
    max_queries: MaxQueries,
) -> None:
    assert_type(mongo_server.uri, str)
    with max_queries(3) as limit:
        assert_type(limit, QueryLimit)
    async with max_queries(3) as limit:
        assert_type(limit.queries, list[Command])
    max_queries("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with mongo_proxy.fail("insert", 189, at="reply") as rule:
        assert_type(rule.hits, list[Command])
