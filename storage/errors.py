"""What the store says when it cannot do what was asked."""


class StorageError(Exception):
    """The store cannot do what was asked; the text is fit for a user (disk full, read-only, busy)."""


class Conflict(StorageError):
    """The command contradicts what is stored; the text names the thing."""


class OverQuota(StorageError):
    """A namespace may not hold as much; the text says how much it holds, may, and what to do."""


class Gone(StorageError):
    """What a command rests on was removed in the same moment, such as its user after the look at their rights."""

    def __init__(self) -> None:
        super().__init__("something that this rests on was removed in the same moment; try again")
