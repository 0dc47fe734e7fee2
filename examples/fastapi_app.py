"""A web API on FastAPI: documents go in and out as they are, with their ids in OpenAPI.

Run as a script, it calls its own API by httpx and shows what comes back. To serve it:
``pip install 'fastapi[standard]'``, then ``fastapi run fastapi_app.py``.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

import httpx
import msgspec
from fastapi import Body, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from mongojet import IndexModel
from msgspec import UNSET, UnsetType

import mongospec
from mongospec import ForPydantic, MongoDocument, Page, PydanticObjectId

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


# -- documents


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("email", unique=True)]

    name: Annotated[str, msgspec.Meta(min_length=1)]
    email: str
    articles: int = 0


class Article(MongoDocument):
    __collection_name__ = "articles"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("title", unique=True)]

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    author: User  # a reference: stored as the user's id, read back as the user
    views: Annotated[int, msgspec.Meta(ge=0)] = 0


# -- what goes over the wire and is not a document


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A client chooses neither the ``_id`` nor the number of articles."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    email: str


class ArticleChanges(msgspec.Struct):
    """What is left out stays as it is."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | UnsetType = UNSET
    views: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET


# -- the application


@asynccontextmanager
async def database(_: FastAPI) -> AsyncGenerator[None]:
    async with mongospec.connect(
        URI, document_types=[User, Article], database="mongospec_fastapi_app", timeout=10
    ):
        yield


async def in_transaction() -> AsyncGenerator[None]:
    """What the handler does is done as a whole: an error that leaves it takes all of it back."""
    async with mongospec.transaction():
        yield


# scope="function": it is committed before the answer is sent
Transaction = Depends(in_transaction, scope="function")

app = FastAPI(title="Articles", lifespan=database)


# -- handlers


@app.post("/users", status_code=201)
async def create_user(new: Annotated[NewUser, ForPydantic, Body()]) -> User:
    return await User(name=new.name, email=new.email).insert()


@app.post("/articles", status_code=201, dependencies=[Transaction])
async def create_article(article: Annotated[Article, Body()]) -> Article:
    """The body has the author's id in the place of the author."""
    await User.update_by_id(article.author.id, {"$inc": {"articles": 1}})
    await article.author.fetch()  # or a MissingReferenceError, see STATUSES
    return await article.insert()


@app.get("/articles/{id}")
async def read_article(id: PydanticObjectId) -> Article:
    return await Article.get_by_id(id)


@app.get("/articles")
async def list_articles(
    after: str | None = None, size: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[Article]:
    """The most read first; ``next`` and ``previous`` of a page are the ``after`` of others."""
    return await Article.page(sort=[("views", -1)], size=size, after=after)


@app.patch("/articles/{id}")
async def change_article(
    id: PydanticObjectId, changes: Annotated[ArticleChanges, ForPydantic, Body()]
) -> Article:
    article = await Article.get_by_id(id)
    for name, value in msgspec.structs.asdict(changes).items():
        if value is not UNSET:
            setattr(article, name, value)
    return await article.save(save_refs=False)  # sends what changed


# -- errors as HTTP statuses; what is not here is a mistake of ours: 500

STATUSES: dict[type[Exception], int] = {
    mongospec.InvalidIdError: 404,  # no document has such an id
    mongospec.DocumentNotFoundError: 404,
    mongospec.MissingReferenceError: 404,
    mongospec.PageTokenError: 400,
    mongospec.DocumentValidationError: 400,
    mongospec.DuplicateKeyError: 409,
    mongospec.OperationTimeoutError: 504,
    mongospec.ServerUnavailableError: 503,
}


@app.exception_handler(mongospec.MongospecError)
async def answer(_: Request, error: mongospec.MongospecError) -> JSONResponse:
    status = next((STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES), None)
    if status is None:
        raise error
    detail = str(error)
    if isinstance(error, mongospec.DuplicateKeyError):
        detail = f"taken: {error.key_value}"  # the message names the database's own things
    return JSONResponse({"detail": detail}, status_code=status)


# -- a client that tries it


async def main() -> None:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        await User.delete_many({})
        await Article.delete_many({})

        reply = await client.post("/users", json={"name": "Alice", "email": "alice@example.com"})
        alice = reply.json()
        print(reply.status_code, "POST /users:", alice)

        for title in ("Tea", "Coffee", "Cocoa"):
            reply = await client.post("/articles", json={"title": title, "author": alice["_id"]})
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
            await client.post("/articles", json={"title": "Tea", "author": alice["_id"]}),
            await client.post("/articles", json={"title": "Milk", "author": "nobody"}),
            await client.post(
                "/articles", json={"title": "Milk", "author": "65f0c0ffee65f0c0ffee0001"}
            ),
            await client.get("/articles/nothing"),
            await client.get("/articles/65f0c0ffee65f0c0ffee0001"),
            await client.patch(path, json={"views": -1}),
            await client.get("/articles", params={"after": "the second page"}),
        ]
        for reply in refused:
            request = reply.request
            print(reply.status_code, request.method, f"{request.url.path}:", reply.json()["detail"])

        counted = (await User.get_by_id(alice["_id"])).articles  # the second Tea was taken back
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
        print("OpenAPI:", sorted(schemas))

    assert [reply.status_code for reply in refused] == [409, 422, 409, 422, 404, 422, 404, 422, 400]
    assert (titles, changed["views"], counted) == (["Cocoa", "Coffee", "Tea"], 7, 3)
    assert refused[7].json()["detail"][0]["loc"] == ["body", "views"]
    print("Created, listed, patched, paged and refused over HTTP, a transaction included.")


if __name__ == "__main__":
    asyncio.run(main())
