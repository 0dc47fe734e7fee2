"""What keeps a command from running."""

from mongospec_core import MongospecError


class CommandError(MongospecError):
    """A command cannot run: its text says what is wrong and what to do."""


class OutdatedPlanError(CommandError):
    """What a step of a plan would change is not what it was when the plan was made."""
