"""Documents: their classes, bindings and snapshots of their stored copies."""
