"""Pages of documents that refer to others."""

import msgspec
import pytest

from mongospec_core import PageTokenError
from mongospec_refs import is_resolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.blog import BLOG, Company, Post, User


class Title(msgspec.Struct):
    title: str
    author: User


async def posts() -> User:
    ann = await User(name="Ann", employer=await Company(name="Acme").insert()).insert()
    bob = await User(name="Bob").insert()
    await Post.insert_many([Post(title=f"{n:02}", author=ann if n % 2 else bob) for n in range(10)])
    return ann


async def test_a_page_resolves_its_references_and_no_others(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    await posts()
    with mongo_proxy.max_queries(3):
        page = await Post.page(sort="title", size=3)
    assert [(each.title, each.author.name) for each in page.items] == [
        ("00", "Bob"),
        ("01", "Ann"),
        ("02", "Bob"),
    ]
    assert page.items[0].author is page.items[2].author
    with mongo_proxy.max_queries(3):
        page = await Post.page(sort="title", size=1, after=page.next)
    assert page.items[0].author.employer is not None
    with mongo_proxy.max_queries(2), mongo_proxy.recording() as seen:
        page = await Post.page(sort="title", size=1, after=page.previous, ref_depth=1)
    assert (page.items[0].title, page.items[0].author.name) == ("02", "Bob")
    assert len(seen[1].body["filter"]["_id"]["$in"]) == 1  # not the author of the page after it
    with mongo_proxy.max_queries(1):
        page = await Post.page(size=1, resolve_refs=False)
    assert not is_resolved(page.items[0].author)
    assert (await Post.page(size=1, sort="title", projection=Title)).items[0].author.name == "Bob"


async def test_a_filter_and_a_sort_may_be_about_references(bind: Bind) -> None:
    await bind(*BLOG)
    ann = await posts()
    found: list[str] = []
    token = None
    while token or not found:
        page = await Post.page({"author": ann}, sort=[("author", -1)], size=2, after=token)
        found += [each.title for each in page.items]
        token = page.next
    assert sorted(found) == ["01", "03", "05", "07", "09"]
    bob = await User.get_one({"name": "Bob"})
    page = await Post.page({"author": ann}, size=2)
    assert len((await Post.page({"author": ann.id}, size=2, after=page.next)).items) == 2
    with pytest.raises(PageTokenError):
        await Post.page({"author": bob}, size=2, after=page.next)
