"""Every Python block of every README and of the site runs, and prints what it says that it prints."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import mongojet
import pytest

from mongospec_core import close
from mongospec_testing import MongoServer
from tests.readme_blocks import blocks_of, module_namespace, run_page

ROOT = Path(__file__).parent.parent
READMES = sorted([ROOT / "README.md", *ROOT.glob("packages/*/README.md")])
SITE = sorted((ROOT / "docs").rglob("*.md"))
# Code of other libraries, which are not installed, is fenced as `py`, and stands nowhere else.
OTHERS = ROOT / "docs" / "coming-from"


@pytest.fixture
async def unbound() -> AsyncIterator[None]:
    yield
    await close()


@pytest.mark.parametrize("path", READMES + SITE, ids=lambda path: str(path.relative_to(ROOT)))
async def test_the_blocks_of_a_page_run_in_their_order(
    path: Path,
    mongo_server: MongoServer,
    mongo_db: mongojet.Database,
    tmp_path: Path,
    unbound: None,
) -> None:
    name = re.sub(r"\W", "_", f"{path.parent.name}_{path.stem}")
    with module_namespace(f"page_{name}") as namespace:
        namespace["db"] = mongo_db
        await run_page(path, mongo_server.uri, mongo_db.name, tmp_path, namespace)


def test_every_package_has_a_readme_with_code_in_it() -> None:
    assert len(READMES) == 1 + len(list(ROOT.glob("packages/*/pyproject.toml")))
    assert [path for path in READMES if not blocks_of(path)] == []


@pytest.mark.parametrize("path", SITE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_python_of_the_site_is_fenced_so_that_it_is_not_run(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"^ +```python", text, re.MULTILINE), "only blocks at the margin are run"
    fences = re.findall(r"^ *(?:```+|~~~+) *(\S.*)$", text, re.MULTILINE)
    known = {"python", "console", "text", "toml", "yaml"}
    foreign = {"py"} if path.is_relative_to(OTHERS) else set[str]()
    assert {fence.split()[0] for fence in fences} <= known | foreign
    assert [fence for fence in fences if fence.startswith("python") and fence != "python"] == []
