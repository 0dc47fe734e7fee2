"""Which modules are searched, in which order, and what happens to those that fail."""

import importlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mongospec_core import OptionError
from mongospec_discovery import collect_document_types

from .conftest import WritePackage

USER = "from mongospec_core import MongoDocument\nclass User(MongoDocument): ...\n"
POST = "from mongospec_core import MongoDocument\nclass Post(MongoDocument): ...\n"
TAG = "from mongospec_core import MongoDocument\nclass Tag(MongoDocument): ...\n"
BROKEN = "raise LookupError('no configuration')\n"


def names(classes: list[Any]) -> list[str]:
    return [cls.__name__ for cls in classes]


@pytest.fixture
def package(write_package: WritePackage) -> str:
    return write_package(
        {
            "__init__.py": USER,
            "blog/__init__.py": "",
            "blog/posts.py": POST,
            "blog/deep/__init__.py": "",
            "blog/deep/tags.py": TAG,
        }
    )


def test_a_package_by_name_gives_the_classes_of_all_modules_below_it(package: str) -> None:
    assert names(collect_document_types(package)) == ["User", "Tag", "Post"]


def test_a_package_may_be_given_as_a_module(package: str) -> None:
    module = importlib.import_module(package)
    assert names(collect_document_types(module)) == ["User", "Tag", "Post"]


def test_a_module_gives_its_own_classes(package: str) -> None:
    assert names(collect_document_types(f"{package}.blog.posts")) == ["Post"]


def test_several_targets_come_in_the_order_given(package: str) -> None:
    posts = importlib.import_module(f"{package}.blog.posts")
    tags = f"{package}.blog.deep.tags"
    assert names(collect_document_types([posts, tags])) == ["Post", "Tag"]
    assert names(collect_document_types(iter((tags, posts)))) == ["Tag", "Post"]


def test_no_targets_give_no_classes() -> None:
    assert collect_document_types([]) == []


def test_without_recursive_only_the_targets_are_searched(package: str) -> None:
    assert names(collect_document_types(package, recursive=False)) == ["User"]
    assert f"{package}.blog" not in sys.modules


def test_the_order_does_not_depend_on_what_was_imported_before(package: str) -> None:
    importlib.import_module(f"{package}.blog.posts")
    first = names(collect_document_types(package))
    assert first == names(collect_document_types(package)) == ["User", "Tag", "Post"]


def test_a_namespace_package_is_searched(write_package: WritePackage) -> None:
    package = write_package({"users.py": USER, "inner/posts.py": POST, "inner/more/tags.py": TAG})
    assert names(collect_document_types(package)) == ["Tag", "Post", "User"]


def test_a_namespace_package_spread_over_two_folders_is_searched(
    write_package: WritePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_package({"models/users.py": USER})
    other = tmp_path / "elsewhere" / package / "models"
    other.mkdir(parents=True)
    (other / "posts.py").write_text(POST)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert names(collect_document_types(package)) == ["Post", "User"]


def test_a_package_in_a_zip_file_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("zipped_app/__init__.py", USER)
        archive.writestr("zipped_app/inner/__init__.py", "")
        archive.writestr("zipped_app/inner/posts.py", POST)
    monkeypatch.syspath_prepend(tmp_path / "app.zip")
    assert names(collect_document_types("zipped_app")) == ["User", "Post"]
    for module in [name for name in sys.modules if name.startswith("zipped_app")]:
        monkeypatch.delitem(sys.modules, module)


def test_main_modules_are_not_run(write_package: WritePackage) -> None:
    package = write_package({"__init__.py": USER, "__main__.py": "raise SystemExit('started')"})
    assert names(collect_document_types(package, on_error="raise")) == ["User"]


# -- module_filter


@pytest.mark.parametrize("pattern", [".*blog.posts.*", r"posts$", "blog[.]posts"])
def test_module_filter_takes_a_regular_expression(package: str, pattern: str) -> None:
    assert names(collect_document_types(package, module_filter=pattern)) == ["Post"]


def test_module_filter_takes_a_function_of_the_full_name(package: str) -> None:
    asked: list[str] = []

    def wanted(name: str) -> bool:
        asked.append(name.removeprefix(package))
        return not name.endswith(".posts")

    assert names(collect_document_types(package, module_filter=wanted)) == ["User", "Tag"]
    assert asked == ["", ".blog", ".blog.deep", ".blog.deep.tags", ".blog.posts"]


def test_modules_that_the_filter_leaves_out_are_not_imported(write_package: WritePackage) -> None:
    package = write_package({"__init__.py": "", "models.py": USER, "scripts/__init__.py": BROKEN})
    assert names(collect_document_types(package, module_filter="models")) == ["User"]
    assert f"{package}.scripts" not in sys.modules


@pytest.mark.parametrize("wrong", ["[", 3])
def test_a_useless_module_filter_is_refused(wrong: Any) -> None:
    with pytest.raises(OptionError, match="module_filter="):
        collect_document_types("json", module_filter=wrong)


# -- on_error


@pytest.fixture
def half_broken(write_package: WritePackage) -> str:
    return write_package({"__init__.py": "", "bad.py": BROKEN, "good.py": USER})


def test_a_module_that_fails_is_warned_of_and_the_others_are_collected(half_broken: str) -> None:
    with pytest.warns(RuntimeWarning, match=rf"{half_broken}\.bad.*LookupError: no conf") as seen:
        assert names(collect_document_types(half_broken)) == ["User"]
    assert [each.filename for each in seen] == [__file__]


def test_a_module_that_fails_can_be_ignored(half_broken: str) -> None:
    assert names(collect_document_types(half_broken, on_error="ignore")) == ["User"]


def test_a_module_that_fails_can_end_the_search_with_its_own_error(half_broken: str) -> None:
    with pytest.raises(LookupError, match="no configuration") as caught:
        collect_document_types(half_broken, on_error="raise")
    assert f"{half_broken}.bad" in caught.value.__notes__[0]


def test_a_module_that_fails_can_be_given_to_a_function(half_broken: str) -> None:
    seen: list[tuple[str, Exception]] = []
    found = collect_document_types(half_broken, on_error=lambda *given: seen.append(given))
    assert names(found) == ["User"]
    [(name, error)] = seen
    assert name == f"{half_broken}.bad"
    assert isinstance(error, LookupError)


def test_what_the_function_raises_ends_the_search(half_broken: str) -> None:
    def stop(name: str, error: Exception) -> None:
        raise RuntimeError(name) from error

    with pytest.raises(RuntimeError, match=r"\.bad"):
        collect_document_types(half_broken, on_error=stop)


def test_a_syntax_error_is_a_failure_to_import(write_package: WritePackage) -> None:
    package = write_package({"__init__.py": "", "bad.py": "class User(\n", "good.py": USER})
    with pytest.warns(RuntimeWarning, match="SyntaxError"):
        assert names(collect_document_types(package)) == ["User"]


def test_a_class_that_cannot_work_is_a_failure_to_import(write_package: WritePackage) -> None:
    wrong = "class Bad(MongoDocument):\n    __indexes__: list = []\n"
    package = write_package({"__init__.py": "", "bad.py": USER + wrong, "good.py": USER})
    with pytest.warns(RuntimeWarning, match="DefinitionError"):
        assert names(collect_document_types(package)) == ["User"]


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_what_is_meant_to_end_the_process_passes(write_package: WritePackage, error: str) -> None:
    package = write_package({"__init__.py": "", "bad.py": f"raise {error}\n"})
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        collect_document_types(package, on_error="ignore")


def test_a_broken_package_is_reported_once_and_not_searched(write_package: WritePackage) -> None:
    package = write_package(
        {"__init__.py": "", "bad/__init__.py": BROKEN, "bad/a.py": USER, "bad/b.py": USER}
    )
    with pytest.warns(RuntimeWarning, match=r"\.bad'") as seen:
        assert collect_document_types(package) == []
    assert len(seen) == 1


def test_a_target_that_is_not_there_is_an_error_like_any_other() -> None:
    with pytest.warns(RuntimeWarning, match="ModuleNotFoundError"):
        assert collect_document_types("no_such_package") == []
    with pytest.raises(ModuleNotFoundError):
        collect_document_types("no_such_package", on_error="raise")


@pytest.mark.parametrize(
    "given", [{"targets": 3}, {"targets": ["json", 3]}, {"on_error": "log"}, {"base": "User"}]
)
def test_arguments_of_no_use_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        collect_document_types(**{"targets": "json", **given})
