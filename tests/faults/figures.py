"""What a fault cost, as a row of the table in docs/reliability.md; `FIGURES=file` keeps the rows."""

import os
from dataclasses import dataclass
from pathlib import Path

LONG = os.environ.get("FAULTS") == "long"  # the form whose figures are published; CI runs a shorter one


@dataclass
class Figures:
    """One run under one fault."""

    fault: str
    requests: int = 0
    acknowledged: int = 0  # commands that the hub said it had done
    refused: int = 0  # answers that say that something is missing now, with Retry-After
    lost: int = 0  # acknowledged things that were not there afterwards
    wrong: int = 0  # answers that were neither right nor such a refusal
    longest: float = 0.0  # seconds that the slowest answer took
    recovery: float = 0.0  # seconds from the end of the fault to the first command that was done

    def note(self) -> None:
        """Prints the row, and keeps it where that is asked for."""
        counts = f"{self.requests} | {self.acknowledged} | {self.refused} | {self.lost} | {self.wrong}"
        row = f"| {self.fault} | {counts} | {self.longest:.2f} | {self.recovery:.1f} |"
        print(row)
        if "FIGURES" in os.environ:
            with Path(os.environ["FIGURES"]).open("a") as file:
                file.write(row + "\n")
