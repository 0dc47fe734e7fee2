"""References at the JSON edge, and in Structs smaller than the document."""

from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import OptionError, changes, dec_hook, enc_hook, schema_hook
from mongospec_refs import MongoDocument, is_resolved, to_builtins
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import BLOG, Byline, Company, Person, Post, Tag, User


async def saved_post(bind: Bind) -> Post:
    await bind(*BLOG)
    user = await User(name="Alice", employer=await Company(name="c").insert()).insert()
    tag = await Tag(label="t").insert()
    await Post(title="Hello", author=user, tags=[tag]).insert()
    (post,) = await Post.find_all()
    return post


def encoded(document: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document, enc_hook=enc_hook))


async def test_resolved_references_are_embedded(bind: Bind) -> None:
    post = await saved_post(bind)
    employer = post.author.employer
    assert employer is not None
    assert encoded(post) == {
        "_id": str(post.id),
        "title": "Hello",
        "author": {
            "_id": str(post.author.id),
            "name": "Alice",
            "age": 0,
            "employer": {"_id": str(employer.id), "name": "c", "owner": None},
        },
        "reviewer": None,
        "tags": [{"_id": str(post.tags[0].id), "label": "t"}],
    }
    assert to_builtins(post) == encoded(post)


async def test_unresolved_and_missing_references_are_their_ids(bind: Bind) -> None:
    post = await saved_post(bind)
    tag = post.tags[0]
    await tag.delete()
    (missing,) = await Post.find_all()
    (unresolved,) = await Post.find_all(resolve_refs=False)
    assert encoded(missing)["tags"] == [{"_id": str(tag.id)}]
    assert encoded(unresolved)["author"] == {"_id": str(post.author.id)}
    assert encoded(unresolved)["tags"] == [{"_id": str(tag.id)}]
    assert to_builtins(unresolved) == encoded(unresolved)


async def test_what_was_encoded_is_decoded_and_never_written_by_a_cascade(bind: Bind) -> None:
    post = await saved_post(bind)
    data = msgspec.json.encode(post, enc_hook=enc_hook)
    decoded = msgspec.json.decode(data, type=Post, dec_hook=dec_hook)
    assert decoded == post and decoded.author.name == "Alice"
    decoded.author.name = "from outside"
    decoded.title = "from outside"
    await decoded.save(upsert=False)
    assert (await stored(Post))[0]["title"] == "from outside"
    assert (await stored(User))[0]["name"] == "Alice"


async def test_an_id_alone_is_no_embedded_document(bind: Bind) -> None:
    (await saved_post(bind))
    (post,) = await Post.find_all(resolve_refs=False)
    data = msgspec.json.encode(post, enc_hook=enc_hook)
    with pytest.raises(msgspec.ValidationError, match=r"name.*\$\.author"):
        msgspec.json.decode(data, type=Post, dec_hook=dec_hook)


def test_the_schema_describes_embedded_references() -> None:
    schema = msgspec.json.schema(Post, schema_hook=schema_hook)
    definitions = schema["$defs"]
    assert definitions.keys() == {"Post", "User", "Tag", "Company"}
    assert definitions["Post"]["properties"]["author"] == {"$ref": "#/$defs/User"}
    assert definitions["Post"]["properties"]["tags"]["items"] == {"$ref": "#/$defs/Tag"}


async def test_ids_are_safe_on_cycles(bind: Bind) -> None:
    await bind(Person)
    a = await Person(name="a").insert()
    b = await Person(name="b", friend=a).insert()
    a.friend, a.others = b, [a, b]
    await a.save()
    (read,) = await Person.find_all({"name": "a"})
    assert to_builtins(read, refs="id") == {
        "_id": str(a.id),
        "name": "a",
        "friend": str(b.id),
        "others": [str(a.id), str(b.id)],
    }
    assert read.friend is not None and read.friend.name == "b"  # it was left as it is
    with pytest.raises(ValueError, match='refs="id"'):
        to_builtins(read)


class Nested(MongoDocument, rename="camel", omit_defaults=True, tag="nested"):
    main_author: User
    by_line: Byline
    by_name: dict[str, list[User]] = {}
    left_out: int = 3


async def test_ids_stand_wherever_references_do(bind: Bind) -> None:
    await bind(User, Company, Nested)
    user = await User(name="a").insert()
    line = Byline(author=user)
    document = Nested(main_author=user, by_line=line, by_name={"x": [user, user]})
    id_ = str(user.id)
    assert to_builtins(document, refs="id") == {
        "type": "nested",
        "mainAuthor": id_,
        "byLine": {"author": id_, "role": "author"},
        "byName": {"x": [id_, id_]},
    }
    assert document.by_line.author is user and document._id is None
    with pytest.raises(OptionError, match="refs='both'"):
        to_builtins(document, refs="both")  # type: ignore[arg-type]


# -- smaller than the document


class PostCard(msgspec.Struct):
    title: str
    author: User


class Credits(msgspec.Struct):
    _id: ObjectId
    by_line: Byline


async def test_a_typed_projection_resolves_its_references(bind: Bind, max_queries: Any) -> None:
    post = await saved_post(bind)
    with max_queries(3) as seen:
        cards = await Post.find_all(projection=PostCard)
    assert isinstance(cards[0], PostCard) and cards[0].author == post.author
    assert cards[0].author.employer is not None and cards[0].author.employer.name == "c"
    assert seen.commands[0].body["projection"] == {"title": 1, "author": 1, "_id": 0}
    with max_queries(1):
        card = await Post.find_one(projection=PostCard, resolve_refs=False)
    assert card is not None and not is_resolved(card.author)
    plain = await Post.find_one(projection={"author": 1})
    assert plain == {"_id": post.id, "author": post.author.id}


async def test_a_pipeline_into_a_struct_resolves_its_references(bind: Bind) -> None:
    class Written(msgspec.Struct):
        author: User
        count: int

    post = await saved_post(bind)
    pipeline = [
        {"$group": {"_id": "$author", "count": {"$sum": 1}}},
        {"$project": {"author": "$_id", "count": 1, "_id": 0}},
    ]
    (written,) = await Post.aggregate(pipeline, into=Written).to_list()
    assert written.author == post.author and written.author.name == "Alice" and written.count == 1


async def test_two_results_of_a_pipeline_may_have_one_id(bind: Bind) -> None:
    post = await saved_post(bind)
    other = await Tag(label="u").insert()
    post.tags.append(other)
    await post.save()
    pipeline = [
        {"$unwind": "$tags"},
        {"$set": {"title": {"$toString": "$tags"}, "tags": ["$tags"]}},
        {"$sort": {"title": 1}},
    ]
    found = await Post.aggregate(pipeline, into=Post).to_list()
    assert [[each.label for each in one.tags] for one in found] == [["t"], ["u"]]
    assert changes(found[0]) == {}
