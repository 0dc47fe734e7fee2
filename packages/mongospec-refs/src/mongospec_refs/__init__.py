"""References between mongospec documents."""
