"""The document classes of the command line's TARGETs: packages and modules."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from mongospec_cli.errors import CommandError
from mongospec_cli.settings import Settings, read_settings
from mongospec_core import MongoDocument
from mongospec_discovery import collect_document_types


def find_document_types(
    targets: Sequence[str], settings: Settings | None = None
) -> list[type[MongoDocument]]:
    """Find the document classes of the targets, else of the settings' targets.

    :raises CommandError: there are none, or a module cannot be imported.
    """
    settings = settings or read_settings(Path.cwd())
    targets = list(targets) or settings.targets
    if not targets:
        raise CommandError(
            "no TARGET: name a package or a module with document classes, like myapp.models, or set "
            'targets = ["myapp.models"] in [tool.mongospec] of pyproject.toml'
        )
    sys.path[:0] = [str(Path.cwd()), *settings.python_path]  # as `python -m` has the folder
    try:
        with redirect_stdout(sys.stderr):  # what a module prints is not the result
            found = collect_document_types(targets, on_error=_refuse_module)
    except SystemExit as error:  # its exit code would be taken for the command's
        raise CommandError(
            f"{', '.join(targets)}: a module calls sys.exit({error.code!r}) when it is imported"
        ) from error
    if not found:
        raise CommandError(f"{', '.join(targets)}: there is no document class")
    return found


def _refuse_module(name: str, error: Exception) -> None:
    """:raises CommandError: always; a class that is not seen would be a hole in the report."""
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and f"{name}.".startswith(f"{error.name}.")
    ):
        raise CommandError(
            f"there is no module {name!r}; the folder that has it must be in python-path of "
            f"[tool.mongospec], in PYTHONPATH, or installed"
        ) from error
    raise CommandError(
        f"the module {name!r} cannot be imported: {type(error).__name__}: {error}"
    ) from error
