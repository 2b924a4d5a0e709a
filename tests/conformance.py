"""Runs the official conformance tool against a hub of its own, at 1.1 and in its "dev" mode, with each mode's defaults.

`make conformance CONFORMANCE=<binary>`, with WASMHUB_TEST_ENGINES=replicas against two replicas behind a load balancer.
The binary is built from the folder `conformance` of the specification's repository. `tests/registry` restates what it
checks, so that nobody needs it to keep it so.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.balancer import shared_hub
from tests.hub import HubProcess

COUNTS = re.compile(r"^\s+(Pass|FAIL|Error|Skip|Disabled|Total)\.*:\s+(\d+)\s*$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Prints the counts of both modes; 0 if nothing failed and nothing was skipped."""
    if len(arguments) != 1 or not os.access(arguments[0], os.X_OK):
        print("usage: make conformance CONFORMANCE=<binary of the conformance tool>", file=sys.stderr)
        return 2
    tool = Path(arguments[0]).absolute()
    good = True
    for mode in ("1.1", "dev"):
        with tempfile.TemporaryDirectory() as folder, shared_hub(Path(folder) / "data") as hub:
            counts = _run(tool, mode, hub, Path(folder))
        print(f"{mode:>4}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
        good = good and counts.get("Pass", 0) > 0 and not any(counts.get(bad, 1) for bad in ("FAIL", "Error", "Skip"))
    return 0 if good else 1


def _run(tool: Path, mode: str, hub: HubProcess, folder: Path) -> dict[str, int]:
    environment = {
        "OCI_VERSION": mode,
        "OCI_REGISTRY": hub.host,
        "OCI_TLS": "disabled",
        "OCI_USERNAME": "admin",
        "OCI_PASSWORD": hub.admin_password,
        "OCI_RESULTS_DIR": str(folder / "results"),
    }
    done = subprocess.run([str(tool)], env=environment, cwd=folder, capture_output=True, text=True, check=False)
    return {what: int(count) for what, count in COUNTS.findall(done.stdout + done.stderr)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
