"""A key-value store on a mongospec collection."""

__all__: list[str] = []
