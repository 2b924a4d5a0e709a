"""A reason why a module should not go to a proxy, and what Envoy would do with it."""

from __future__ import annotations

from dataclasses import dataclass

REFUSED = "refused"  # Envoy keeps its old filter and reports an error.
CRASHES = "crashes"  # Envoy's whole process ends as soon as it is given the module.
UNSAFE = "unsafe"  # Envoy takes the module, and its process ends or hangs as soon as the module does its work.

# The rule of imports that only one product offers: Envoy refuses the module, and that product runs it.
FOREIGN_IMPORT = "foreign-import"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: `rule` names it for machines, `effect` is one of the words above.

    `subject` is the import, export or part it is about, `sentence` says it to the author of the module, and
    `offset` is the byte where it shows, if it has one place.
    """

    rule: str
    effect: str
    subject: str
    sentence: str
    offset: int | None = None
