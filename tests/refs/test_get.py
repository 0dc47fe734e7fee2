"""Reading a document that must be there, and reading one again, with their references."""

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import DocumentNotFoundError, changes
from mongospec_refs import MissingReferenceError, is_resolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.blog import BLOG, Company, Person, Post, Tag, User


class Title(msgspec.Struct):
    title: str
    author: User


async def post() -> Post:
    company = await Company(name="Acme").insert()
    ann = await User(name="Ann", employer=company).insert()
    tea = await Tag(label="tea").insert()
    return await Post(title="Hello", author=ann, tags=[tea]).insert()


async def test_get_one_and_get_by_id_resolve_references(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    stored = await post()
    with mongo_proxy.max_queries(4):
        assert (await Post.get_one({"title": "Hello"})).author.employer == stored.author.employer
    with mongo_proxy.max_queries(3):
        read = await Post.get_by_id(str(stored.id), ref_depth=1)
    assert read.author.name == "Ann"
    assert read.author.employer is not None
    assert not is_resolved(read.author.employer)
    with mongo_proxy.max_queries(1):
        assert not is_resolved((await Post.get_one({}, resolve_refs=False)).author)
    assert (await Post.get_by_id(stored.id, projection=Title)).author.name == "Ann"
    with pytest.raises(DocumentNotFoundError):
        await Post.get_by_id(ObjectId())


async def test_reload_reads_references_again_as_it_is_told(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    stored = await post()
    before = stored.author
    await User.update_many({}, {"$set": {"name": "Anna"}})
    with mongo_proxy.max_queries(4):
        await stored.reload()
    assert (stored.author.name, before.name) == ("Anna", "Ann")
    assert changes(stored) == changes(stored.author) == {}
    with mongo_proxy.max_queries(1):
        await stored.reload(resolve_refs=False)
    assert not is_resolved(stored.author)
    with mongo_proxy.max_queries(3):
        await stored.reload(ref_depth=1)
    assert stored.author.name == "Anna"


async def test_references_to_the_reloaded_document_are_this_object(bind: Bind) -> None:
    await bind(Person)
    ann = await Person(name="Ann").insert()
    bob = await Person(name="Bob", friend=ann).insert()
    await Person.update_by_id(ann.id, {"$set": {"friend": ann.id, "others": [bob.id]}})
    await ann.reload()
    assert ann.friend is ann
    assert ann.others[0].name == "Bob"
    assert ann.others[0].friend is ann
    assert changes(ann) == changes(ann.others[0]) == {}
    ann.name = "Anna"
    await ann.save()
    assert (await Person.get_by_id(bob.id)).friend == ann


async def test_an_unresolved_reference_is_read_by_reload(bind: Bind) -> None:
    await bind(*BLOG)
    stored = await post()
    reference = User.ref(stored.author.id)
    assert await reference.reload() is reference
    assert reference.name == "Ann"
    gone = User.ref(ObjectId())
    with pytest.raises(MissingReferenceError):
        await gone.reload()


async def test_a_document_that_is_gone_keeps_its_references(bind: Bind) -> None:
    await bind(*BLOG)
    stored = await post()
    await Post.delete_many({})
    with pytest.raises(DocumentNotFoundError):
        await stored.reload()
    assert stored.author.name == "Ann"
