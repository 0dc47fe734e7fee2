"""A web API on Litestar: documents go in and out as they are, with their ids in OpenAPI.

Run as a script, it calls its own API by Litestar's test client and shows what comes back. To serve
it: ``pip install 'litestar[standard]'``, then ``litestar --app web_app:app run``.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, override

import msgspec
from bson import ObjectId
from litestar import Litestar, Request, Response, get, patch, post
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.plugins import OpenAPISchemaPlugin
from litestar.testing import AsyncTestClient
from litestar.typing import FieldDefinition
from mongojet import IndexModel
from msgspec import UNSET, UnsetType

import mongospec
from mongospec import MongoDocument, Page

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


# -- documents


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("email", unique=True)]

    name: Annotated[str, msgspec.Meta(min_length=1)]
    email: str


class Article(MongoDocument):
    __collection_name__ = "articles"

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    author: User  # a reference: stored as the user's id, read back as the user
    views: Annotated[int, msgspec.Meta(ge=0)] = 0


# -- what goes over the wire and is not a document


class NewUser(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    email: str


class NewArticle(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    author: ObjectId


class ArticleChanges(msgspec.Struct):
    """What is left out stays as it is."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | UnsetType = UNSET
    views: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET


# -- handlers


@post("/users")
async def create_user(data: JSONBody[NewUser]) -> User:
    return await User(name=data.name, email=data.email).insert()


@post("/articles")
async def create_article(data: JSONBody[NewArticle]) -> Article:
    author = await User.get_by_id(data.author)  # or a DocumentNotFoundError, see STATUSES
    return await Article(title=data.title, author=author).insert()


@get("/articles/{id:str}")
async def read_article(id: FromPath[str]) -> Article:
    return await Article.get_by_id(id)


@get("/articles")
async def list_articles(
    after: FromQuery[str | None] = None,
    size: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> Page[Article]:
    """The most read first; ``next`` and ``previous`` of a page are the ``after`` of others."""
    return await Article.page(sort=[("views", -1)], size=size, after=after)


@patch("/articles/{id:str}")
async def change_article(id: FromPath[str], data: JSONBody[ArticleChanges]) -> Article:
    article = await Article.get_by_id(id)
    for name, value in msgspec.structs.asdict(data).items():
        if value is not UNSET:
            setattr(article, name, value)
    return await article.save(save_refs=False)  # sends what changed


# -- errors as HTTP statuses


STATUSES: dict[type[Exception], int] = {
    mongospec.InvalidIdError: 404,  # no document has such an id
    mongospec.DocumentNotFoundError: 404,
    mongospec.PageTokenError: 400,
    mongospec.DocumentValidationError: 400,
    mongospec.DuplicateKeyError: 409,
    mongospec.OperationTimeoutError: 504,
    mongospec.ServerUnavailableError: 503,
}


def answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    detail = str(error)
    if isinstance(error, mongospec.DuplicateKeyError):
        detail = f"taken: {error.key_value}"  # the message names the database's own things
    return Response({"status_code": status, "detail": detail}, status_code=status)


# -- the application


class ObjectIdSchema(OpenAPISchemaPlugin):
    """Tells Litestar's OpenAPI how an ObjectId looks in JSON."""

    @override
    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is ObjectId

    @override
    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        known = mongospec.schema_hook(ObjectId)
        return Schema(type=OpenAPIType.STRING, pattern=known["pattern"], examples=known["examples"])


@asynccontextmanager
async def database(_: Litestar) -> AsyncGenerator[None]:
    async with mongospec.connect(
        URI, document_types=[User, Article], database="mongospec_web_app", timeout=10
    ):
        yield


app = Litestar(
    [create_user, create_article, read_article, list_articles, change_article],
    lifespan=[database],
    type_encoders=mongospec.type_encoders,
    type_decoders=mongospec.type_decoders,
    exception_handlers=dict.fromkeys(STATUSES, answer),
    plugins=[ObjectIdSchema()],
    logging_config=None,  # the program's own logging; Litestar's shows every request
)


# -- a client that tries it


async def main() -> None:
    async with AsyncTestClient(app) as client:
        await User.delete_many({})
        await Article.delete_many({})

        alice = {"name": "Alice", "email": "alice@example.com"}
        reply = await client.post("/users", json=alice)
        alice = reply.json()
        print(reply.status_code, "POST /users:", alice)

        for title in ("Tea", "Coffee", "Cocoa"):
            new = {"title": title, "author": alice["_id"]}
            reply = await client.post("/articles", json=new)
            print(reply.status_code, "POST /articles:", reply.json())
        path = f"/articles/{reply.json()['_id']}"

        reply = await client.get(path)
        print(reply.status_code, f"GET {path}:", reply.json()["author"]["name"])

        reply = await client.patch(path, json={"views": 7})
        print(reply.status_code, f"PATCH {path}:", reply.json())
        changed = reply.json()

        params: dict[str, Any] = {"size": 2}
        titles: list[str] = []
        while "after" not in params or params["after"]:
            page = (await client.get("/articles", params=params)).json()
            titles += [article["title"] for article in page["items"]]
            print("A page:", [article["title"] for article in page["items"]], page["next"])
            params["after"] = page["next"]

        refused = [
            await client.post("/users", json={"name": "Eve", "email": "alice@example.com"}),
            await client.post("/users", json={"name": "Eve"}),
            await client.post("/articles", json={"title": "Milk", "author": "nobody"}),
            await client.get("/articles/nothing"),
            await client.get("/articles/65f0c0ffee65f0c0ffee0001"),
            await client.patch(path, json={"views": -1}),
            await client.get("/articles", params={"after": "the second page"}),
        ]
        for reply in refused:
            request = reply.request
            print(reply.status_code, request.method, f"{request.url.path}:", reply.json()["detail"])

        schemas = (await client.get("/schema/openapi.json")).json()["components"]["schemas"]
        print("OpenAPI:", schemas["Article"]["properties"])

    assert [reply.status_code for reply in refused] == [409, 400, 400, 404, 404, 400, 400]
    assert (titles, changed["views"]) == (["Cocoa", "Coffee", "Tea"], 7)
    assert "pattern" in str(schemas["Article"]["properties"]["_id"])
    print("Created, listed, patched, paged and refused over HTTP, with one OpenAPI page.")


if __name__ == "__main__":
    asyncio.run(main())
