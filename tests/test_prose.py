"""The words of docstrings, comments, errors and pages: conditions are *if*, not *where*."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md"), ROOT / "README.md"])

WRITTEN = {tokenize.COMMENT, tokenize.STRING, tokenize.FSTRING_MIDDLE}

IS_NO = re.compile(r"(?<!there )\b(?:is|are) no\b(?! longer\b| such\b)", re.IGNORECASE)
"""``is no list`` is ``is not a list``; ``there is no list`` may stay."""

CONDITION = re.compile(
    r"(?:^|[.:;] )Where\b(?! to\b)|(?:;|\b(?:also|[Ee]ven|[Ee]xcept|None|[Nn]othing|[Oo]nly)) where\b"
)
"""A *where* at the beginning of a clause is an *if*; one behind the name of a place may stay."""


def words(path: Path) -> Iterator[str]:
    """Return what is written for people: a page's lines, a module's comments and texts."""
    if path.suffix == ".md":
        yield from path.read_text("utf-8").splitlines()
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in WRITTEN:
                yield from (line.strip(" \"#'") for line in token.string.splitlines())


@pytest.mark.parametrize("pattern", [IS_NO, CONDITION], ids=["is no", "where"])
def test_the_words_are_plain(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in SOURCES + PAGES
        for line in words(path)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (IS_NO, "5 is no list of documents"),
        (IS_NO, "Keys that are no strings"),
        (CONDITION, "Where it fails, what was inserted is deleted"),
        (CONDITION, "None where there is none"),
        (CONDITION, "taken back only where nothing was sent"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (IS_NO, "there is no such document"),
        (CONDITION, "import it where the class is defined"),
        (CONDITION, "## Where to go"),
    ],
)
def test_the_patterns_leave_places_alone(pattern: re.Pattern[str], line: str) -> None:
    assert not pattern.search(line)
