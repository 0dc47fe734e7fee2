"""Ready-made documents on top of mongospec."""

__all__: tuple[str, ...] = ()
