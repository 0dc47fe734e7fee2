"""References between mongospec documents."""

__all__: list[str] = []
