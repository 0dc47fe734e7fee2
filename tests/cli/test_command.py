"""What all commands have in common: targets, settings, exit codes, errors of one line."""

from pathlib import Path

import pytest

from mongospec_testing import MongoServer
from tests.cli.conftest import Done, Run


def refused(done: Done) -> str:
    """The one line that says why the command could not run."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mongospec: ")
    assert done.err.count("\n") == 1
    return done.err.removeprefix("mongospec: ").rstrip("\n")


def test_without_a_target_it_says_how_to_name_one(run: Run) -> None:
    assert "TARGET" in refused(run("plan"))


def test_an_unknown_module_is_told_in_one_line(run: Run) -> None:
    assert "no module 'nothing_there'" in refused(run("plan", "nothing_there"))


def test_a_module_that_fails_is_told_in_one_line(run: Run, folder: Path) -> None:
    (folder / "broken.py").write_text("import no_such_library\n")
    assert "'broken' cannot be imported: ModuleNotFoundError" in refused(run("plan", "broken"))
    (folder / "broken.py").write_text("def (\n")
    assert "'broken' cannot be imported: SyntaxError" in refused(run("plan", "broken"))


def test_debug_shows_the_traceback(run: Run, folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    done = run("plan", "broken", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err and "ZeroDivisionError" in done.err


def test_a_module_without_classes_is_refused(run: Run, folder: Path) -> None:
    (folder / "empty.py").write_text("")
    assert "no document class" in refused(run("plan", "empty"))


def test_a_class_that_cannot_work_is_refused(run: Run, folder: Path) -> None:
    (folder / "wrong.py").write_text(
        "from mongospec import MongoDocument\n"
        "class User(MongoDocument):\n"
        "    __indexes__ = [{'key': {'emial': 1}}]\n"
        "    email: str\n"
    )
    assert "emial" in refused(run("plan", "wrong"))


def test_without_a_uri_it_says_how_to_give_one(run: Run) -> None:
    assert "MONGODB_URI" in refused(run("plan", "models", MONGODB_URI=None))


def test_a_uri_that_is_none_is_refused(run: Run) -> None:
    assert "URI" in refused(run("plan", "models", "--uri", "localhost"))


def test_a_server_that_is_not_there_is_told_in_one_line(run: Run) -> None:
    uri = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
    assert "127.0.0.1:1" in refused(run("plan", "models", "--uri", uri))


def test_without_a_database_it_says_how_to_name_one(
    run: Run, folder: Path, mongo_server: MongoServer
) -> None:
    (folder / "pyproject.toml").unlink()
    assert "does not name a database" in refused(run("plan", "models"))


@pytest.mark.parametrize(
    ("options", "variable", "settings", "found"),
    [
        (["--database", "a", "--uri", "SERVER/b"], "SERVER/c", ("d", "SERVER/e"), "a"),
        (["--uri", "SERVER/b"], "SERVER/c", ("d", "SERVER/e"), "b"),
        (["--uri", "SERVER/b?retryWrites=true"], None, ("d", None), "b"),
        (["--uri", "SERVER"], "SERVER/c", ("d", "SERVER/e"), "d"),
        ([], "SERVER/c", ("d", "SERVER/e"), "c"),
        ([], "SERVER/?retryWrites=true", ("d", "SERVER/e"), "d"),
        ([], None, ("d", "SERVER/e"), "d"),
        ([], None, (None, "SERVER/e"), "e"),
    ],
)
def test_the_database_is_named_by_what_is_nearest(
    run: Run,
    folder: Path,
    mongo_server: MongoServer,
    options: list[str],
    variable: str | None,
    settings: tuple[str | None, str | None],
    found: str,
) -> None:
    server = mongo_server.uri.rstrip("/")
    lines = [
        f'{name} = "{value.replace("SERVER", server)}"\n'
        for name, value in zip(("database", "uri"), settings, strict=True)
        if value is not None
    ]
    (folder / "pyproject.toml").write_text("[tool.mongospec]\n" + "".join(lines))
    given = [each.replace("SERVER", server) for each in options]
    uri = None if variable is None else variable.replace("SERVER", server)
    done = run("plan", "models", "--json", *given, MONGODB_URI=uri)
    assert done.json["database"] == found, done.err


def test_an_unknown_option_or_command_is_refused(run: Run) -> None:
    assert "--chek" in refused(run("plan", "models", "--chek"))
    assert "nothing" in refused(run("nothing"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool.mongospec]\ntarget = []\n", "`target`"),
        ("[tool.mongospec]\ntargets = 5\n", "tool.mongospec.targets"),
        ("[tool", "cannot be read"),
        ("tool = 5", "[tool.mongospec]"),
    ],
)
def test_settings_that_are_wrong_are_refused(
    run: Run, folder: Path, text: str, reason: str
) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert reason in refused(run("plan", "models"))


def test_targets_and_folders_come_from_the_settings(run: Run, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "models.py").rename(folder / "src" / "shop_models.py")
    with (folder / "pyproject.toml").open("a") as file:
        file.write('targets = ["shop_models"]\npython-path = ["src"]\n')
    assert "email_1" in run("plan").out


def test_help_and_version_are_shown(run: Run) -> None:
    assert "plan" in run("--help").out
    assert run("--version").out == "0.4.0\n"
