"""pydantic and FastAPI take documents that refer to others."""

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from bson import ObjectId
from fastapi import Body, FastAPI
from openapi_spec_validator import validate
from pydantic import BaseModel, TypeAdapter, ValidationError

from mongospec_core import ForPydantic, Page, PydanticObjectId
from mongospec_refs import MongoDocument, is_resolved
from tests.conftest import Bind
from tests.zoo.blog import BLOG, Byline, Company, Person, Post, Tag, User

ID = "65f0c0ffee65f0c0ffee0001"
DIGITS = {"type": "string", "pattern": "^[0-9a-f]{24}$", "examples": [ID]}


class Headline(msgspec.Struct):
    title: str
    author: User


class Credits(MongoDocument):
    by: list[Byline] = []
    owner: Company | None = None
    by_name: dict[str, User] = {}


class Country(MongoDocument):
    _id: str
    name: str


class City(MongoDocument):
    _id: int | None = None
    country: Country
    twin: "City | None" = None


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str
    owner: User | None = None


class Dog(Animal, tag="dog"):
    breed: str = "mutt"


class Home(MongoDocument):
    pet: Animal


class Feed(BaseModel):
    posts: list[Post]
    headlines: list[Annotated[Headline, ForPydantic]] = []


def read(tp: Any, value: Any) -> Any:
    return TypeAdapter(tp).validate_python(value)


def written(value: Any, tp: Any = None) -> Any:
    return json.loads(TypeAdapter(tp or type(value)).dump_json(value))


# -- values


@pytest.mark.parametrize("author", [ID, {"_id": ID}, ObjectId(ID)], ids=["text", "object", "id"])
def test_a_reference_may_be_given_by_its_id(author: Any) -> None:
    post = read(Post, {"title": "x", "author": author, "tags": [author], "reviewer": author})
    assert post.author.id == post.tags[0].id == post.reviewer.id == ObjectId(ID)
    assert isinstance(post.author, User)
    assert not is_resolved(post.author)
    assert post.reviewer is post.author  # one object for one id, as in every read


def test_an_embedded_document_is_read_as_a_document_with_its_own_references() -> None:
    post = read(
        Post, {"title": "x", "author": {"_id": ID, "name": "Ann", "employer": ID}, "tags": []}
    )
    assert is_resolved(post.author)
    assert (post.author.name, post.author.id) == ("Ann", ObjectId(ID))
    assert isinstance(post.author.employer, Company)
    assert not is_resolved(post.author.employer)


def test_references_are_read_wherever_they_stand() -> None:
    found = read(
        Credits, {"by": [{"author": ID, "role": "x"}], "owner": None, "by_name": {"a": ID}}
    )
    assert found.by[0].author.id == found.by_name["a"].id == ObjectId(ID)
    headline = read(Annotated[Headline, ForPydantic], {"title": "x", "author": ID})
    assert headline.author.id == ObjectId(ID)
    assert read(Annotated[list[Headline], ForPydantic], [{"title": "x", "author": ID}]) == [
        headline
    ]


def test_ids_of_other_types_are_read_as_their_class_says() -> None:
    city = read(City, {"country": "FR", "twin": 7})
    assert (city.country.id, city.twin.id) == ("FR", 7)
    assert read(City, {"country": {"_id": "FR"}, "twin": {"_id": 7}}).twin.id == 7
    assert read(City, {"country": {"_id": "FR", "name": "France"}}).country.name == "France"


def test_a_document_is_written_with_what_was_read_and_an_id_for_the_rest() -> None:
    post = Post(title="x", author=User(name="Ann"), reviewer=User.ref(ID), tags=[Tag.ref(ID)])
    found = written(post)
    assert found["author"] == {"_id": None, "name": "Ann", "age": 0, "employer": None}
    assert (found["reviewer"], found["tags"]) == ({"_id": ID}, [{"_id": ID}])
    again = read(Post, found)
    assert again.author.name == "Ann"
    assert not is_resolved(again.reviewer)


def test_a_page_and_a_model_hold_documents_with_references() -> None:
    post = Post(title="x", author=User.ref(ID))
    page = Page(items=[post])
    assert read(Page[Post], written(page, Page[Post])).items[0].author.id == ObjectId(ID)
    feed = Feed(posts=[post], headlines=[Headline("x", User.ref(ID))])
    assert Feed.model_validate_json(feed.model_dump_json()).headlines[0].author.id == ObjectId(ID)


def test_documents_of_a_family_are_read_as_their_own_classes_with_their_references() -> None:
    dog = read(Animal, {"kind": "dog", "name": "Rex", "owner": ID})
    assert type(dog) is Dog
    assert (str(dog.owner.id), is_resolved(dog.owner)) == (ID, False)
    assert read(Animal, written(dog)) == dog
    assert written(Home(pet=dog))["pet"] == written(dog)


def test_an_embedded_document_of_a_subclass_is_refused_as_a_reference() -> None:
    assert read(Home, {"pet": {"kind": "animal", "name": "Ant"}}).pet.name == "Ant"
    with pytest.raises(ValidationError, match="an embedded Dog, a subclass of Animal; use its _id"):
        read(Home, {"pet": {"kind": "dog", "name": "Rex"}})


def test_a_schema_of_a_reference_to_a_family_says_what_is_read_and_what_is_written() -> None:
    def pet(mode: Any) -> list[dict[str, Any]]:
        found = TypeAdapter(Home).json_schema(mode=mode)["properties"]["pet"]["anyOf"]
        return list(found)

    assert pet("validation")[2] == {"$ref": "#/$defs/Animal"}
    assert [each["$ref"] for each in pet("serialization")[0]["anyOf"]] == [
        "#/$defs/Animal",
        "#/$defs/Dog",
    ]


def test_documents_that_refer_to_each_other_in_a_circle_are_told() -> None:
    ann = Person(name="Ann")
    ann.friend = ann
    with pytest.raises(ValueError, match="documents in it lead back to it"):
        written(ann)


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        ({"title": "x", "author": "nobody"}, ("author",), "'nobody' is not an id"),
        ({"title": "x", "author": {"_id": 5}}, ("author",), "5 is not an id"),
        ({"title": "x", "author": None}, ("author",), "null"),
        ({"title": "x", "author": {"name": 5}}, ("author", "name"), "`str`"),
        ({"title": "x", "author": {"age": 5}}, ("author", "name"), "missing"),
        ({"title": "x", "author": ID, "tags": [ID, 5]}, ("tags", 1), "5 is not an id"),
        (
            {"title": "x", "author": {"name": "a", "employer": "b"}},
            ("author", "employer"),
            "not an id",
        ),
        ({"title": "x"}, ("author",), "missing"),
        ([], (), "Expected"),
    ],
    ids=str,
)
def test_an_error_has_its_path_through_references(
    value: Any, where: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as raised:
        read(Post, value)
    assert [each["loc"] for each in raised.value.errors()] == [where]


# -- schemas


def test_a_schema_says_that_a_reference_is_embedded_or_an_id() -> None:
    only_id = {"type": "object", "properties": {"_id": DIGITS}, "required": ["_id"]}
    user = {"$ref": "#/$defs/User"}
    taken = TypeAdapter(Post).json_schema(mode="validation")
    assert taken["properties"]["author"] == {"anyOf": [DIGITS, only_id, user]}
    given = TypeAdapter(Post).json_schema(mode="serialization")
    assert given["properties"]["author"] == {"anyOf": [user, only_id]}
    assert given["properties"]["tags"]["items"]["anyOf"][0] == {"$ref": "#/$defs/Tag"}
    assert given["properties"]["reviewer"]["anyOf"][1] == {"type": "null"}
    assert set(given["$defs"]) == {"User", "Company", "Tag"}
    city = TypeAdapter(City).json_schema(mode="validation")["$defs"]["City"]["properties"]
    assert city["country"]["anyOf"][0] == {"type": "string"}
    assert city["twin"]["anyOf"][0]["anyOf"][0] == {"type": "integer"}


# -- FastAPI


app = FastAPI()


@app.post("/posts")
async def create(post: Annotated[Post, Body()]) -> Post:
    return await post.insert()


@app.get("/posts", response_model=list[Post])
async def listed() -> Any:
    return await Post.find_all(sort="title")


@app.get("/headlines")
async def headlines() -> list[Annotated[Headline, ForPydantic]]:
    return await Post.find_all(projection=Headline, resolve_refs=False)


@app.get("/pages")
async def pages(after: str | None = None) -> Page[Post]:
    return await Post.page(sort="title", size=1, after=after)


@app.get("/posts/{id}")
async def one(id: PydanticObjectId, depth: int | None = None) -> Post:
    return await Post.get_by_id(id, ref_depth=depth)


@app.post("/feeds")
async def feeds(feed: Feed, tags: Annotated[list[Tag], Body()]) -> Feed:
    return Feed(posts=[*feed.posts, Post(title=tags[0].label, author=feed.posts[0].author)])


@pytest.fixture
def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")


async def test_handlers_take_and_return_documents(bind: Bind, client: httpx.AsyncClient) -> None:
    await bind(*BLOG)
    acme = await Company(name="Acme").insert()
    ann = await User(name="Ann", employer=acme).insert()
    for title in "ab":
        reply = await client.post("/posts", json={"title": title, "author": str(ann.id)})
        assert reply.status_code == 200
        assert reply.json()["author"] == {"_id": str(ann.id)}
    id_ = reply.json()["_id"]
    assert [each["title"] for each in (await client.get("/posts")).json()] == ["a", "b"]
    found = (await client.get(f"/posts/{id_}")).json()
    assert found["author"]["employer"]["name"] == "Acme"
    found = (await client.get(f"/posts/{id_}", params={"depth": 1})).json()
    assert found["author"]["employer"] == {"_id": str(acme.id)}
    assert (await client.get("/headlines")).json()[0] == {
        "title": "a",
        "author": {"_id": str(ann.id)},
    }
    page = (await client.get("/pages")).json()
    page = (await client.get("/pages", params={"after": page["next"]})).json()
    assert ([each["title"] for each in page["items"]], page["next"]) == (["b"], None)
    body = {"feed": {"posts": [{"title": "x", "author": ID}]}, "tags": [{"label": "t"}]}
    assert [each["title"] for each in (await client.post("/feeds", json=body)).json()["posts"]] == [
        "x",
        "t",
    ]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"title": "x", "author": "nobody"}, ["body", "author"]),
        ({"title": "x", "author": ID, "tags": [ID, 5]}, ["body", "tags", 1]),
        ({"author": ID}, ["body", "title"]),
    ],
    ids=str,
)
async def test_a_body_that_does_not_fit_is_422_with_the_path_of_the_field(
    client: httpx.AsyncClient, body: Any, where: list[Any]
) -> None:
    reply = await client.post("/posts", json=body)
    assert reply.status_code == 422
    assert [each["loc"] for each in reply.json()["detail"]] == [where]
    body = {"feed": {"posts": [body]}, "tags": [{}]}
    reply = await client.post("/feeds", json=body)
    assert [each["loc"] for each in reply.json()["detail"]] == [
        ["body", "feed", "posts", 0, *where[1:]],
        ["body", "tags", 0, "label"],
    ]


async def test_a_path_that_is_no_id_is_422(client: httpx.AsyncClient) -> None:
    reply = await client.get("/posts/nothing")
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["path", "id"])


def test_openapi_is_valid_and_has_one_schema_for_a_class() -> None:
    found = app.openapi()
    validate(found)
    schemas = found["components"]["schemas"]
    assert {"Post-Input", "Post-Output", "Tag", "Headline-Output", "Page_Post_"} <= set(schemas)
    body = found["paths"]["/posts"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/Post-Input"
    (id_, _) = found["paths"]["/posts/{id}"]["get"]["parameters"]
    assert {**id_["schema"], "title": None} == {**DIGITS, "title": None}
    items = schemas["Page_Post_"]["properties"]["items"]["items"]
    assert items == {"$ref": "#/components/schemas/Post-Output"}


async def test_a_body_of_a_family_is_read_as_its_own_class() -> None:
    zoo = FastAPI()

    @zoo.post("/animals")
    async def create(animal: Annotated[Animal, Body()]) -> list[Animal]:
        return [animal, Animal(name=type(animal).__name__)]

    @zoo.post("/pages")
    async def page(page: Annotated[Page[Animal], Body()]) -> Page[Animal]:
        return page

    validate(found := zoo.openapi())
    body = found["paths"]["/animals"]["post"]["requestBody"]["content"]["application/json"]
    mapping = body["schema"]["discriminator"]["mapping"]
    assert set(mapping) == {"animal", "dog"}
    assert {each.rpartition("/")[2] for each in mapping.values()} <= set(
        found["components"]["schemas"]
    )
    transport = httpx.ASGITransport(zoo)
    async with httpx.AsyncClient(transport=transport, base_url="http://zoo") as client:
        reply = await client.post("/animals", json={"kind": "dog", "name": "Rex"})
        assert [each["name"] for each in reply.json()] == ["Rex", "Dog"]
        reply = await client.post("/animals", json={"kind": "wolf", "name": "Rex"})
        assert [each["loc"] for each in reply.json()["detail"]] == [["body", "kind"]]
        dog = Dog(name="Rex", owner=User(name="Ann"))
        pages = {"items": [written(dog)], "next": "x", "previous": None, "total": 5}
        assert (await client.post("/pages", json=pages)).json() == pages


def test_fastapi_takes_what_is_no_model_for_a_query_unless_it_is_told() -> None:
    """If this fails, FastAPI has learned to ask pydantic: ``Body()`` need not be said any more."""
    other = FastAPI()

    @other.post("/posts")
    async def create(post: Post) -> Post:
        return post

    (parameter,) = other.openapi()["paths"]["/posts"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("post", "query")


def test_the_examples_openapi_is_valid() -> None:
    path = Path(__file__).parents[2] / "examples" / "fastapi_app.py"
    spec = importlib.util.spec_from_file_location("fastapi_app", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.app.openapi()
    validate(found)
    title = found["components"]["schemas"]["Article-Input"]["properties"]["title"]
    assert title == {"type": "string", "minLength": 1, "maxLength": 80}
