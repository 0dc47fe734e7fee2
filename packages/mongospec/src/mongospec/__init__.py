"""Minimal async MongoDB ODM: msgspec Structs over mongojet."""
