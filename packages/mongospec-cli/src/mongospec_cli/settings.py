"""``[tool.mongospec]`` of the nearest pyproject.toml."""

import tomllib
from pathlib import Path

import msgspec

from mongospec_cli.errors import CommandError


class Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """What the command line need not say each time.

    :param targets: packages and modules with document classes.
    :param uri: of the server; ``--uri`` and ``MONGODB_URI`` come first.
    :param database: the database's name, unless ``--uri`` or ``MONGODB_URI`` has one; without it, the
        one in ``uri``.
    :param python_path: folders to import from beside the current one, relative to the file's own.
    """

    targets: list[str] = []
    uri: str | None = None
    database: str | None = None
    python_path: list[str] = []


class _Tool(msgspec.Struct):
    mongospec: Settings = msgspec.field(default_factory=Settings)


class _File(msgspec.Struct):
    tool: _Tool = msgspec.field(default_factory=_Tool)


def read_settings(folder: Path) -> Settings:
    """Read the settings of the pyproject.toml in *folder* or the nearest one above.

    :returns: the settings, with ``python_path`` absolute.
    :raises CommandError: they cannot be read.
    """
    for each in (folder, *folder.parents):
        file = each / "pyproject.toml"
        if file.is_file():
            return _read(file)
    return Settings()


def _read(file: Path) -> Settings:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        settings = msgspec.convert(content, _File).tool.mongospec
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise CommandError(f"[tool.mongospec] of {file}: {error}") from error
    settings.python_path = [str((file.parent / each).resolve()) for each in settings.python_path]
    return settings
