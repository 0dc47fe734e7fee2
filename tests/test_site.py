"""What the site's pages claim about the packages, compared with the packages."""

import inspect
import re
from collections import Counter
from pathlib import Path
from pydoc import locate
from typing import get_args, get_type_hints

import pytest

import mongospec
import mongospec_cli
import mongospec_core
import mongospec_discovery
import mongospec_kv
import mongospec_refs
import mongospec_testing

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
COMMON = {"session", "timeout", "comment"}  # what every operation takes
PACKAGES = [
    mongospec_cli,
    mongospec_core,
    mongospec_discovery,
    mongospec_kv,
    mongospec_refs,
    mongospec_testing,
]


def rows(page: str) -> list[list[str]]:
    """The cells of a page's tables, headings left out."""
    lines = re.findall(r"^\| .*\|$", (DOCS / page).read_text(), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_public_name_has_its_place_in_the_api_reference() -> None:
    shown = re.findall(
        r"^::: (\S+)$",
        "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md")),
        re.MULTILINE,
    )
    public = {f"{each.__name__}.{name}" for each in PACKAGES for name in each.__all__}
    public.remove("mongospec_core.MongoDocument")  # shown as the one of mongospec_refs
    assert sorted(shown) == sorted(public)


def test_the_options_of_every_operation_stand_in_the_api_reference() -> None:
    page = (DOCS / "api" / "options.md").read_text()
    assert [name for name in re.findall(r"\{ #([\w.]+) \}", page) if locate(name) is None] == []
    told = {
        operation: {*re.findall(r"`(\w+)`", options)}
        for operations, options in re.findall(
            r"^For (.*?)\. Beside .*?\n\n(.*?)\n\n", page + "\n", re.DOTALL | re.MULTILINE
        )
        for operation in re.findall(r"`(\w+)`", operations)
    }
    taken: dict[str, set[str]] = {}
    for operation, method in inspect.getmembers(mongospec.MongoDocument, inspect.isroutine):
        options = getattr(method, "__annotations__", {}).get("options")
        if options is not None and not operation.startswith("_"):
            taken[operation] = get_type_hints(get_args(options)[0]).keys() - COMMON
    del taken["insert_one_recursive"]  # another name of insert_recursive
    assert [each for each in taken if not taken[each] <= told.get(each, set())] == []
    assert told.keys() == taken.keys()


def test_the_guide_to_errors_lists_every_error_with_its_parents() -> None:
    page = "\n".join("|".join(row) for row in rows("guides/errors.md"))
    ours = {
        name: value
        for name in mongospec.__all__
        if isinstance(value := getattr(mongospec, name), type)
        and issubclass(value, mongospec.MongospecError)
        and name not in {"MongospecError", "OperationError"}
    }
    assert [name for name in ours if f"`{name}`" not in page] == []
    for names, parents, *_ in rows("guides/errors.md"):
        for name in re.findall(r"`(\w+Error)`", names):
            for parent in re.findall(r"`(\w+)`", parents):
                assert parent in {cls.__name__ for cls in ours[name].__mro__}, (name, parent)


def test_the_changelog_says_nothing_twice() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text().partition("\n## [")[2].partition("\n## [")[0]
    lines = re.findall(r"^(?:- |### |`).*", newest, re.MULTILINE)
    assert [line for line, times in Counter(lines).items() if times > 1] == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_its_title_and_has_no_second(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
