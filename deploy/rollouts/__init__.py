"""A new revision comes out on a fleet in waves, and goes back by itself where proxies do worse with it."""
