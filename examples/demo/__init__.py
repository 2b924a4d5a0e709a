"""`make demo`: the whole way from a pushed filter to a proxy that runs it, step by step and checked."""
