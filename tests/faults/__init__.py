"""Every write operation meets every fault."""
