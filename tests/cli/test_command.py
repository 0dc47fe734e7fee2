"""What all commands have in common: targets, settings, exit codes, errors of one line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongospec_testing import MongoServer
from tests.cli.conftest import Done, Run
from tests.guarded_server import SECRET, guarded_server

COMMANDS = [
    *((name, "models") for name in ("plan", "audit", "upgrade")),
    ("apply", "models", "--yes"),
    ("new-models",),
]
UPGRADE = """
    @classmethod
    def __upgrade__(cls, raw):
        if "full_name" in raw:
            raw["name"] = raw.pop("full_name")
        return raw
"""


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
    (folder / "broken.py").write_text("1 / 0\n")
    assert "ZeroDivisionError: division by zero" in refused(run("plan", "broken"))


def test_debug_shows_the_traceback(run: Run, folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    done = run("plan", "broken", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err and "ZeroDivisionError" in done.err


def test_a_module_that_ends_the_process_does_not_end_a_pipeline_well(
    run: Run, folder: Path
) -> None:
    (folder / "ends.py").write_text("import sys\nsys.exit(0)\n")
    assert "calls sys.exit(0)" in refused(run("plan", "ends", "--check"))


def test_what_a_module_prints_is_not_in_the_result(run: Run, folder: Path) -> None:
    with (folder / "models.py").open("a") as file:
        file.write("print('hello')\n")
    done = run("plan", "models", "--json")
    assert (len(done.json["steps"]), done.err) == (1, "hello\n")


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
    for command in COMMANDS:
        told = refused(run(*command, "--uri", uri))
        assert "127.0.0.1:1" in told and "check that the server runs" in told


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], str]]:
    """The URI of a server: its user ``reader`` may read one database, ``other`` another one."""
    roles = {
        "reader": {"role": "read", "db": "app"},
        "other": {"role": "read", "db": "elsewhere"},
    }
    folder = tmp_path_factory.mktemp("guarded")
    with guarded_server(folder, roles, users={"full_name": "Ada"}) as server:
        yield (
            lambda user, password: (
                f"mongodb://{user}:{password}@{server.address}/app?authSource=app"
            )
        )


def test_a_wrong_password_is_told_in_one_line(run: Run, guarded: Callable[[str, str], str]) -> None:
    for command in COMMANDS:
        told = refused(run(*command, "--database", "app", "--uri", guarded("reader", "wr0ng")))
        assert "authentication failed" in told and "authSource" in told
        assert "wr0ng" not in told


def test_a_missing_right_is_told_in_one_line(
    run: Run, folder: Path, guarded: Callable[[str, str], str]
) -> None:
    with (folder / "models.py").open("a") as file:
        file.write(UPGRADE)
    uri = guarded("other", SECRET)
    for command in COMMANDS:
        told = refused(run(*command, "--database", "app", "--uri", uri))
        assert "not authorized" in told and "role" in told
        assert "response" not in told


def test_a_user_who_may_only_read_can_plan_and_audit_but_not_write(
    run: Run, folder: Path, guarded: Callable[[str, str], str]
) -> None:
    with (folder / "models.py").open("a") as file:
        file.write(UPGRADE)
    given = ("--database", "app", "--uri", guarded("reader", SECRET))
    assert run("plan", "models", *given).code == 0
    assert run("audit", "models", *given).code == 0
    assert "readWrite" in refused(run("upgrade", "models", *given))
    done = run("apply", "models", "--yes", *given)
    assert (done.code, "dbAdmin" in done.err) == (2, True)
    assert done.out.endswith("0 of 1 changes were made\n")


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
