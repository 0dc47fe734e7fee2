"""Programs that make runs; each says what it does."""
