"""The command ``mongospec-server``."""


def main() -> int:
    raise NotImplementedError
