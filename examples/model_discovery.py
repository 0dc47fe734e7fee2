"""Find the document classes of a package instead of listing them.

The package is written to a temporary directory here, so that this file is the whole example:

    shop/
        base.py                  Document, the abstract base
        people/models.py         User, and the plain class Address
        orders/models.py         Order, Invoice
        broken.py                cannot be imported
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import mongospec
from mongospec import MongoDocument
from mongospec.utils import collect_document_types

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")

FILES = {
    "shop/__init__.py": "",
    "shop/base.py": """
from mongospec import MongoDocument

class Document(MongoDocument, abstract=True):
    note: str = ""
""",
    "shop/people/__init__.py": "",
    "shop/people/models.py": """
import msgspec
from shop.base import Document

class Address(msgspec.Struct):
    city: str

class User(Document):
    name: str
    address: Address | None = None
""",
    "shop/orders/__init__.py": "",
    "shop/orders/models.py": """
from shop.base import Document
from shop.people.models import User  # imported, so it is found where it was defined

class Order(Document):
    number: int

class Invoice(Document):
    number: int
""",
    "shop/broken.py": "import a_package_that_is_not_installed\n",
}


def write_package(folder: Path) -> None:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.path.insert(0, str(folder))


def report(module: str, error: BaseException) -> None:
    print(f"{module} cannot be imported: {error}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_package(Path(folder))

        found = collect_document_types("shop", on_error=report)
        print("All:", [cls.__name__ for cls in found])

        orders = collect_document_types("shop.orders")
        print("Of one package:", [cls.__name__ for cls in orders])

        named = collect_document_types(
            "shop", module_filter=r"\.people\b", return_map=True, on_error="ignore"
        )
        print("By their names:", named)

        def numbered(cls: type[MongoDocument]) -> bool:
            return "number" in cls.__struct_fields__

        chosen = collect_document_types(
            "shop", base=MongoDocument, predicate=numbered, on_error="ignore"
        )
        print("By a function:", [cls.__name__ for cls in chosen])

        async with mongospec.connect(
            URI, document_types=found, database="mongospec_model_discovery"
        ):
            for cls in found:
                await cls.delete_many({})
                print(cls.__name__, "is bound, has", await cls.count(), "documents")

    print(f"{len(found)} classes were found in the package and bound.")


if __name__ == "__main__":
    asyncio.run(main())
