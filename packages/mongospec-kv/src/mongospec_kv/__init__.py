"""A key-value store on a mongospec collection."""
