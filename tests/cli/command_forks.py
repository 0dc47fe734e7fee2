"""Run the command in forks of this process, which has imported it: that takes ten times as long as a command.

It reads requests from its input, a line of JSON each, and answers each with an exit code. A process may be forked as
long as no driver was started in it.
"""

import json
import os
import runpy
import signal
import sys
from typing import Any

import mongospec_cli.command

SECONDS = 100
"""The time that a command gets."""


def become(
    arguments: list[str], folder: str, environment: dict[str, str], output: list[str]
) -> None:
    """Be ``python -m mongospec_cli`` in a folder, with its output in two files."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(output, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    sys.dont_write_bytecode = True  # a test may change a module twice within a second
    signal.alarm(SECONDS)
    runpy.run_module(mongospec_cli.__name__, run_name="__main__", alter_sys=True)


def main() -> None:
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if (child := os.fork()) == 0:
            become(**request)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
