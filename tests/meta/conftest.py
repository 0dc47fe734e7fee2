"""What an application around the documented blocks has: a bound database, and its own package."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import mongospec

from .blocks import DOCUMENT_WITH_HOOKS

MODELS = {
    "myapp/__init__.py": "",
    "myapp/db/__init__.py": DOCUMENT_WITH_HOOKS,
    "myapp/db/models/__init__.py": "from .users import Account",
    "myapp/db/models/users.py": """
from myapp.db import Document

class Account(Document):
    email: str = ""

class Base(Document, abstract=True):
    pass
""",
    "myapp/db/models/blog/__init__.py": "",
    "myapp/db/models/blog/posts.py": """
from myapp.db import Document

class Entry(Document):
    text: str = ""
""",
}


@pytest.fixture
def myapp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package that the blocks import."""
    for name, text in MODELS.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == "myapp"]:
        del sys.modules[module]


@pytest.fixture
async def unbound() -> AsyncIterator[None]:
    """Whatever the blocks bind is unbound afterwards."""
    yield
    await mongospec.close()
