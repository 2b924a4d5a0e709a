"""Two replicas on PostgreSQL, S3 and Redis: one writes to clusters, and another does soon after that one was killed."""

import time
from pathlib import Path

from tests.balancer import Replicas, wait_until_ready
from tests.deploy.fleet import header_filter
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.target import HUB, PLUGIN, Target
from tests.oci import Client
from tests.peers import mesh_file

WITHIN = 15.0  # seconds in which another replica leads


def test_another_replica_leads_soon_after_the_leader_was_killed(
    control: ControlPlane, network: Network, namespace: str, tmp_path: Path
) -> None:
    control.install(mesh_file("istio", "crds.yaml").read_text())
    around = f"{network.address}/24"
    with Replicas(tmp_path / "hub", WASMHUB_OUTGOING_NETWORKS=around) as running:
        oci = Client(running.url, "admin", running.admin_password)
        oci.push_filter("admin/led", "1", header_filter("one"))
        settings = {"hub": f"http://{HUB}:1", "observe": "nothing"}
        with Target(running, control.admin, namespace, **settings) as target:
            target.deploy("first", "admin/led:1")
            target.becomes("first", "applied-not-observed")

            # Whichever leads: after each of them was killed, the other does what is due.
            for number, (gone, stays) in enumerate([running.hubs, running.hubs[::-1]]):
                gone.kill()
                began = time.monotonic()
                at = Target(stays, control.admin, namespace, **settings)
                at.name, name = target.name, f"after-{number}"
                at.deploy(name, "admin/led:1")
                at.becomes(name, "applied-not-observed", seconds=WITHIN + 5)
                assert time.monotonic() - began < WITHIN
                assert at.object(PLUGIN, f"{name}.{target.name}") is not None
                at.http.close()
                gone.start()
                wait_until_ready(gone)
        oci.close()
