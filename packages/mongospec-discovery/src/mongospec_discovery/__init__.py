"""Finds the document classes of an application's packages."""
