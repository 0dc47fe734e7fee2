"""Finds the document classes of an application's packages."""

__all__: list[str] = []
