"""What keeps the command from running."""


class CommandError(Exception):
    """The command cannot run: its text says what is wrong and what to do."""
