"""Typed, asynchronous MongoDB documents on mongojet and msgspec."""
