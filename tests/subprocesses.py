"""Processes that tests start."""

from collections.abc import Mapping


def without_coverage(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process whose coverage is not measured, which takes half of its time.

    For scripts that are run to see what they print: every line of ours that they pass has tests of
    its own.
    """
    return {name: value for name, value in environment.items() if "COVERAGE" not in name}
