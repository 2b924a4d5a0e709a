"""Targets that the hub reaches out to: passes that make a mesh what it is to be, and what its proxies say of it."""
