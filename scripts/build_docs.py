"""Build the site from `docs/` and the repository's own pages, and check every link of what came out.

Anything that Zensical, mkdocstrings or griffe warns of is an error. `zensical.toml` has the settings.

    python -m scripts.build_docs            build
    python -m scripts.build_docs --serve    put the pages together, then build them anew at each change
"""

import os
import re
import shutil
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import override
from urllib.parse import unquote, urljoin, urlsplit

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/mongospec/mongospec"
SOURCES = ROOT / "docs"
STAGED = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
INVENTORY = ROOT / "build" / "docs-inventory" / "objects.inv"

# The repository's own pages that the site shows, and where; one that is not there yet is left out.
SHOWN = {
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
_TEST = re.compile(r"(?:async )?def (test_\w+)")
_MARKUP = re.compile(
    r":(?:param|raises|returns?) ?[\w.]*:|:(?:class|func|meth|attr|exc):|\.\. [a-z-]+::"
)
# Where a page shows the plots that `benchmarks/` has.
PLOTS = "<!-- plots -->"
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def main(*arguments: str) -> None:
    """Build the site; the first step that finds something ends the run with an error."""
    stage()
    write_inventory()
    program = Path(sys.executable).with_name("zensical")
    if "--serve" in arguments:
        sys.exit(subprocess.run([program, "serve"], cwd=ROOT, check=False).returncode)
    shutil.rmtree(SITE, ignore_errors=True)
    done = subprocess.run(
        [program, "build", "--strict", "--clean"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if warnings := done.stderr.replace("No issues found", "").strip():
        sys.exit(f"{warnings}\nbuild_docs: the site has warnings")
    if done.returncode:
        sys.exit(f"{done.stdout}\nbuild_docs: the site could not be built")
    pages = sorted(SITE.rglob("*.html"))
    if lines := [*misplaced_pages(), *left_over_markup(pages), *broken_links(pages)]:
        sys.exit("\n".join(lines))
    print(f"{SITE.relative_to(ROOT)}/ has {len(pages)} pages; all links inside lead somewhere")


# -- what the site is built from


def stage() -> None:
    """Put `docs/` and the pages of the repository together."""
    shutil.rmtree(STAGED, ignore_errors=True)
    shutil.copytree(SOURCES, STAGED, ignore=shutil.ignore_patterns("inventory.txt"))
    for source, target in SHOWN.items():
        if not (ROOT / source).exists():
            continue
        page = STAGED / target
        page.parent.mkdir(exist_ok=True)
        page.write_text(shown(ROOT / source, page), encoding="utf-8")
    guarantees = STAGED / "guarantees.md"
    guarantees.write_text(
        with_linked_tests(guarantees.read_text(encoding="utf-8")), encoding="utf-8"
    )
    for page in (STAGED / "index.md", STAGED / "benchmarks.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(PLOTS, plots()), encoding="utf-8")


def with_linked_tests(text: str) -> str:
    """Return the text with each test that it names as a sentence, which links to the test."""
    places: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if (found := _TEST.match(line)) is not None:
                places[found[1]] = f"{path.relative_to(ROOT).as_posix()}#L{number}"

    def put(found: re.Match[str]) -> str:
        sentence = found[1].removeprefix("test_").replace("_", " ")
        sentence = sentence[0].upper() + sentence[1:]
        return f"[{sentence}]({REPOSITORY}/blob/main/{places[found[1]]})."

    return re.sub(r"`(test_\w+)`", put, text.replace("` `test_", "`<br>`test_"))


def plots() -> str:
    """Return the Markdown that shows the plots of `benchmarks/`; `x-dark.svg` is `x.svg` on a dark page."""
    lines: list[str] = []
    for plot in sorted((ROOT / "benchmarks").glob("*.svg")):
        shutil.copy(plot, STAGED / "images")
        theme = "#only-dark" if plot.stem.endswith("-dark") else ""
        if plot.with_stem(f"{plot.stem}-dark").exists():
            theme = "#only-light"
        lines.append(f"![Measured against other libraries](images/{plot.name}{theme}){{ .plot }}")
    return "\n".join(lines)


def shown(path: Path, page: Path) -> str:
    """Return a page of the repository, its links leading to the site's pages or to the repository."""
    here = {(ROOT / source).resolve(): STAGED / target for source, target in SHOWN.items()}
    here |= {(SOURCES / each.relative_to(STAGED)): each for each in STAGED.rglob("*.md")}

    def put(found: re.Match[str]) -> str:
        target, mark, anchor = found[1].partition("#")
        file = (path.parent / target).resolve()
        if file in here:
            link = os.path.relpath(here[file], page.parent)
        else:
            kind = "tree" if file.is_dir() else "blob"
            link = f"{REPOSITORY}/{kind}/main/{file.relative_to(ROOT).as_posix()}"
        return f"]({link}{mark}{anchor})"

    source = path.relative_to(ROOT).as_posix()
    head = f"---\nedit_url: {REPOSITORY}/edit/main/{source}\n---\n\n"
    return head + _LINK.sub(put, path.read_text(encoding="utf-8"))


def write_inventory() -> None:
    """Write what other projects' names link to in Sphinx's format, so that no build needs the network."""
    entries: list[str] = []
    for line in (SOURCES / "inventory.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, page = line.split()
            entries.append(f"{name} py:obj 1 {page} -\n")
    head = "# Sphinx inventory version 2\n# Project: others\n# Version: 0\n# compressed by zlib\n"
    INVENTORY.parent.mkdir(exist_ok=True)
    INVENTORY.write_bytes(head.encode() + zlib.compress("".join(entries).encode()))


# -- what came out


def misplaced_pages() -> list[str]:
    """Return one line for each page that the navigation lacks, or names although it is not there."""
    settings = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"([\w./-]+\.md)"', settings))
    there = {page.relative_to(STAGED).as_posix() for page in STAGED.rglob("*.md")}
    return [f"zensical.toml, nav: {page} is on one side only" for page in sorted(named ^ there)]


def left_over_markup(pages: list[Path]) -> list[str]:
    """Return one line for each piece of a docstring that was not turned into HTML."""
    return [
        f"{page.relative_to(SITE)}: shows {found[0]!r}"
        for page in pages
        for found in _MARKUP.finditer(page.read_text(encoding="utf-8"))
    ]


class Page(HTMLParser):
    """The links of a page, and the names that links may lead to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if (name := values.get("id")) is not None:
            self.anchors.add(name)
        for attribute in ("href", "src"):
            if link := values.get(attribute):
                self.links.append(link)


def broken_links(paths: list[Path]) -> list[str]:
    """Return one line for each link inside the site that leads nowhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    return [
        f"{path.relative_to(SITE)}: {link} leads nowhere"
        for path, page in pages.items()
        if path.name != "404.html"  # it is shown at any address, so its links begin at the root
        for link in dict.fromkeys(page.links)
        if not leads_somewhere(link, path, pages)
    ]


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Whether a link from a page leads to a file of the site, and to a name in it."""
    parts = urlsplit(urljoin(path.relative_to(SITE).as_posix(), link))
    if parts.scheme or parts.netloc:
        return True  # elsewhere
    target = SITE / unquote(parts.path).lstrip("/")
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    return (
        not anchor or anchor == "__skip" or target not in pages or anchor in pages[target].anchors
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
