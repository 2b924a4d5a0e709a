"""What the store says when it cannot do what was asked."""


class StorageError(Exception):
    """The store cannot do what was asked; the text is fit for a user (disk full, read-only, busy)."""


class Conflict(StorageError):
    """The command contradicts what is stored; the text names the thing."""
