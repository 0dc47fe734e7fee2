"""Build a release candidate into `dist/` and check it: versions, pins, changelog, wheels, READMEs, links.

    check_release.py            what can be said before the version and its date are decided
    check_release.py v1.2.3     all that must be true of the commit that the tag names

`make release-check` builds the site before this, which checks the site's own links.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable
from datetime import date
from email import message_from_string
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from scripts.markdown_links import broken, relative

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
NOTES = ROOT / "build" / "release-notes.md"

_SECTION = re.compile(r"^## \[(.+?)\](?: - (\S+))?$", re.MULTILINE)


def main(tag: str | None) -> None:
    """Check one thing after the other; the first that is wrong ends the run with an error."""
    projects = {
        path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        for path in sorted(ROOT.glob("packages/*/pyproject.toml"))
    }
    version = one_version(projects, tag)
    step("pins", lambda: siblings_are_pinned(projects, version))
    step("lock", lambda: uv("lock", "--check", "--quiet"))
    step("changelog", lambda: changelog(version, released=tag is not None))
    step("links", links_lead_somewhere)
    step("wheels", build)
    step("pages on PyPI", lambda: pages(version))
    print(f"{DIST.relative_to(ROOT)}/ has {version} of all {len(projects)} distributions")


def step(name: str, check: Callable[[], str | None]) -> None:
    """Run a check and say that it passed."""
    print(f"{name}: {check() or 'good'}", flush=True)


def one_version(projects: dict[str, Any], tag: str | None) -> str:
    """Return the version that all distributions have, which is the tag's if there is one."""
    versions = {name: project["version"] for name, project in projects.items()}
    expect(len(set(versions.values())) == 1, f"the versions differ: {versions}")
    version: str = versions.popitem()[1]
    try:
        expect(str(Version(version)) == version, f"write {version} as {Version(version)}")
    except InvalidVersion:
        sys.exit(f"check_release: {version!r} is not a version")
    expect(tag in (None, f"v{version}"), f"the tag is {tag}, the version {version}")
    print(f"version: {version}")
    return version


def siblings_are_pinned(projects: dict[str, Any], version: str) -> None:
    """Refuse a dependency on a sibling of another version."""
    for name, project in projects.items():
        for requirement in project["dependencies"]:
            if requirement.split("=")[0].split(">")[0] in projects:
                expect(requirement.endswith(f"=={version}"), f"{name} requires {requirement}")


def changelog(version: str, *, released: bool) -> str | None:
    """Find what the changelog says of this release, and write it down for the release on GitHub."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = list(_SECTION.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    sections = {
        head[1]: (head[2], text[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    }
    if released:
        expect(version in sections, f"CHANGELOG.md has no section [{version}]")
        expect(not sections.get("Unreleased", ("", ""))[1], "CHANGELOG.md has unreleased changes")
    day, notes = sections.get(version) or sections.get("Unreleased", ("", ""))
    expect(bool(notes), f"CHANGELOG.md says nothing of {version}")
    NOTES.parent.mkdir(exist_ok=True)
    NOTES.write_text(notes + "\n", encoding="utf-8")
    if version not in sections:
        return f"[Unreleased] has yet to become [{version}], with its date"
    try:
        date.fromisoformat(day or "")
    except ValueError:
        sys.exit(f"check_release: [{version}] in CHANGELOG.md has no date (2026-01-31)")
    return None


def links_lead_somewhere() -> None:
    """Refuse a link from one of the repository's own pages to a file or heading that is not there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md"), *ROOT.glob(".github/*.md")]
    lines = broken(pages)
    expect(not lines, "\n".join(lines))


def build() -> None:
    """Build the distributions into `dist/`, and try each wheel alone."""
    script = str(ROOT / "scripts" / "check_wheels.py")
    subprocess.run([sys.executable, script, str(DIST)], cwd=ROOT, check=True)


def pages(version: str) -> str:
    """Render the README of every built distribution as PyPI does."""
    archives = sorted(DIST.glob("*.tar.gz"))
    expect(len(archives) == len(list(DIST.glob("*.whl"))), "a distribution is missing")
    for archive in archives:
        with tarfile.open(archive) as files:
            member = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/PKG-INFO")
            assert member is not None
            metadata = message_from_string(member.read().decode())
        name = f"{metadata['Name']} {metadata['Version']}"
        expect(metadata["Version"] == version, f"{archive.name} has another version")
        expect(metadata["Description-Content-Type"] == "text/markdown", f"{name}: no Markdown")
        text = str(metadata.get_payload())
        expect(renders(text), f"{name}: PyPI cannot render its README")
        expect(not relative(text), f"{name}: links that PyPI cannot follow: {relative(text)}")
    return f"{len(archives)} rendered"


def renders(text: str) -> bool:
    """Whether PyPI's own renderer can make a page of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".md", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-m", "readme_renderer", file.name, "-o", os.devnull]
        return subprocess.run(command, check=False).returncode == 0


def uv(*arguments: str) -> None:
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        sys.exit("check_release: uv is not on the PATH; run `make release-check`")
    subprocess.run([program, *arguments], cwd=ROOT, check=True)


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        sys.exit(f"check_release: {otherwise}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
