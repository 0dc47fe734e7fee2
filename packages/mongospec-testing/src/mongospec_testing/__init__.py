"""A MongoDB server for tests, with a pytest plugin and a wire proxy."""
