"""Files of YAML as people write them for the commands."""

from typing import Any

import yaml

from wasmhub.cli.command import WrongUse
from wasmhub.cli.wish import read_text

LONGEST = 4 * 1024 * 1024  # characters


class _Plain(yaml.SafeLoader):
    """Reads YAML without references, with which a few characters make a value that never ends."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses references."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds references (*), which are not followed")
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        """Refuses halves of characters, which can be escaped and never be written."""
        found = super().construct_scalar(node)
        if isinstance(found, str) and not found.isascii():
            try:
                found.encode()
            except UnicodeEncodeError:
                raise yaml.YAMLError(f"it holds half of a character in line {node.start_mark.line + 1}") from None
        return found


def read_documents(name: str) -> list[Any]:
    """The documents in a file of YAML, or of standard input (-), but for empty ones. Raises WrongUse."""
    text = read_text(name, "YAML", LONGEST)
    try:
        return [one for one in yaml.load_all(text, _Plain) if one is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WrongUse(f"{name} is no YAML: {' '.join(str(error).split())}") from None
