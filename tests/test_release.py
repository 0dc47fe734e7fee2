"""What a release and its repository rest on: pinned workflows, links that lead somewhere, a changelog."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scripts import check_release, markdown_links

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md"), *ROOT.glob(".github/*.md")]

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def projects() -> dict[str, dict[str, Any]]:
    return {
        path.parent.name: tomllib.loads(path.read_text())["project"]
        for path in ROOT.glob("packages/*/pyproject.toml")
    }


@each_workflow
def test_every_action_is_pinned_to_a_commit_whose_version_stands_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    loose = [each for each in used if not each.startswith("./")]
    assert [each for each in loose if not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", each)] == []


def test_one_action_has_one_version_everywhere() -> None:
    used = {pin for path in WORKFLOWS for pin in re.findall(r"uses: (\S+@\S+)", path.read_text())}
    assert len(used) == len({pin.partition("@")[0] for pin in used})


@each_workflow
def test_a_job_has_only_the_permissions_that_it_names(path: Path) -> None:
    text = path.read_text()
    assert "\npermissions: {}\n" in text
    jobs = re.findall(
        r"^  (\w+):\n((?:    .*\n|\n)+)", text.partition("\njobs:\n")[2], re.MULTILINE
    )
    assert jobs
    assert [name for name, body in jobs if "    permissions:" not in body] == []


def test_ci_tests_the_pythons_that_the_distributions_name() -> None:
    ci = (ROOT / ".github/workflows/ci.yml").read_text()
    tested = {tuple(re.findall(r"\d\.\d+", each)) for each in re.findall(r"python: \[(.*)\]", ci)}
    for name, project in projects().items():
        named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
        assert {tuple(named)} == tested, name


def test_every_distribution_links_to_its_folder_and_to_the_same_pages() -> None:
    links = {name: project["urls"] for name, project in projects().items()}
    for name, urls in links.items():
        assert urls.pop("Source").endswith(f"/packages/{name}")
    assert len({tuple(urls.items()) for urls in links.values()}) == 1


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    assert markdown_links.broken(PAGES) == []


def test_a_page_of_pypi_has_no_link_that_only_the_checkout_has() -> None:
    pages = {
        path: markdown_links.relative(path.read_text()) for path in ROOT.glob("packages/*/*.md")
    }
    assert {path: links for path, links in pages.items() if links} == {}


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `b` heading\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-b-heading) [c](#d) [d](gone.md) [e](other.md#gone)\n"
        "[f](https://example.com) `[g](gone.md)`\n```\n[h](gone.md)\n```\n"
    )
    assert markdown_links.broken([page]) == [
        f"{page}: page.md has no heading #d",
        f"{page}: there is no gone.md",
        f"{page}: other.md has no heading #gone",
    ]


def test_a_release_whose_tag_is_not_the_version_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.check_release", "v99.0.0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the tag is v99.0.0" in done.stderr


@pytest.fixture
def changelog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_release, "ROOT", tmp_path)
    monkeypatch.setattr(check_release, "NOTES", tmp_path / "build" / "notes.md")
    return tmp_path / "CHANGELOG.md"


def test_the_notes_of_a_release_are_its_section_of_the_changelog(changelog: Path) -> None:
    changelog.write_text(
        "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n- New.\n\n## [1.1.0] - 2025-12-01\n\n- Old.\n"
    )
    assert check_release.changelog("1.2.0", released=True) is None
    assert check_release.NOTES.read_text() == "- New.\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("## [Unreleased]\n\n- New.\n", r"no section \[1\.2\.0\]"),
        ("## [Unreleased]\n\n- New.\n\n## [1.2.0] - 2026-01-31\n\n- Old.\n", "unreleased changes"),
        ("## [Unreleased]\n\n## [1.2.0]\n\n- New.\n", "has no date"),
        ("## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n", "says nothing"),
    ],
)
def test_a_changelog_that_is_not_that_of_the_release_is_refused(
    changelog: Path, text: str, complaint: str
) -> None:
    changelog.write_text(text)
    with pytest.raises(SystemExit, match=complaint):
        check_release.changelog("1.2.0", released=True)


def test_before_its_release_a_version_may_be_unreleased(changelog: Path) -> None:
    changelog.write_text("## [Unreleased]\n\n- New.\n")
    assert "has yet to become [1.2.0]" in str(check_release.changelog("1.2.0", released=False))
