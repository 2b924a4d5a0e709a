"""The one error that reading a module or an image may end with."""


class ModuleError(Exception):
    """Bytes that are not a readable module, or that hold more than a named limit allows.

    `offset` is the byte in the module (or in the stream, while unpacking) where reading stopped, and
    `sentence` says in plain words what was found there; `str(error)` joins both.
    """

    def __init__(self, offset: int, sentence: str) -> None:
        super().__init__(f"{sentence} (at byte {offset})")
        self.offset = offset
        self.sentence = sentence
