"""What the store says when it cannot do what was asked."""

# Somebody was removed, say, between the look at their rights and the commit of what they did.
GONE = "something that this rests on was removed in the same moment; try again"


class StorageError(Exception):
    """The store cannot do what was asked; the text is fit for a user (disk full, read-only, busy)."""


class Conflict(StorageError):
    """The command contradicts what is stored; the text names the thing."""
