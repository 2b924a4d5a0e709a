"""Whole meshes on one machine: from nothing to a header that a filter has added."""
