"""What passes over a thousand targets with ten thousand deployments cost the hub, and what it costs to have them."""

import base64
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
import yaml
from sqlalchemy import text

from benchmarks.growth import Engine
from benchmarks.processes import processor_seconds
from storage.database import Database
from storage.deployments import NewRevision, find_deployment, save_deployment
from storage.events import SYSTEM
from storage.targets import create_target, find_target, namespace_of_target
from tests.certificates import write_certificate
from tests.deploy.fleet import header_filter, until
from tests.engines import free_port
from tests.hub import ROOT, HubProcess
from tests.oci import Client

AIM = 60.0  # seconds of the hub's processor time for one pass over all
PATIENCE = 900.0  # seconds
FIRST = "t-0"
EACH = 10  # deployments of a target
FILTERS = 3  # that a target's deployments are of
NAMESPACES = 2  # of a target that they are in
IDLE = 60.0  # seconds in which nothing happens


@dataclass(frozen=True)
class Passes:
    """Seconds of the hub's processor time; `clock` are those of the first pass by the clock."""

    engine: str
    targets: int
    deployments: int
    first: float  # a pass that applies everything
    clock: float
    again: float  # a pass that finds everything as it should be
    idle: float  # for each minute in which nothing happens
    load: float  # of the machine


def measure_passes(
    folder: Path, engine: Engine, targets: int, each: int, idle: float, say: Callable[[str], None]
) -> Passes:
    """Against a recorded API server; `idle` is how long nothing happens, in seconds."""
    folder.mkdir(parents=True)
    write_certificate(folder, "127.0.0.1")
    port = free_port()
    with ExitStack() as stack:
        words = [sys.executable, "-m", "benchmarks.recorded", str(port), str(folder)]
        recorded = stack.enter_context(subprocess.Popen(words, cwd=ROOT))
        stack.callback(recorded.kill)
        told = {"WASMHUB_OUTGOING_NETWORKS": "127.0.0.0/8", **engine.settings(folder)}
        hub = stack.enter_context(HubProcess(folder / "data", **told))
        _first_of_all(hub, _kubeconfig(folder, port))
        hub.stop()
        say(f"passes: {engine.name}, making {targets:,} targets with {targets * each:,} deployments")
        with contextlib.closing(hub.open_database()) as database:
            _multiply(database, targets, each)
            say("passes: the first pass")
            hub.start()
            assert hub.process is not None
            pid = hub.process.pid
            began, started = time.monotonic(), processor_seconds(pid)
            _await_all(database, targets)
            clock = time.monotonic() - began
            time.sleep(5)
            first = processor_seconds(pid) - started
            say(f"passes: nothing happens for {idle:g} s")
            time.sleep(idle)
            rests = (processor_seconds(pid) - first - started) * 60 / idle
            say("passes: one more pass")
            before = processor_seconds(pid)
            with database.write() as session:
                session.execute(text("UPDATE target_states SET wanted = wanted + 1"))
            _await_all(database, targets)
            time.sleep(3)
            again = processor_seconds(pid) - before
        hub.check_log()
    return Passes(engine.name, targets, targets * each, first, clock, again, rests, os.getloadavg()[0])


def report(found: Passes) -> str:
    """Lines for people."""
    met = "met" if max(found.first, found.again) <= AIM else "NOT MET"
    return (
        f"passes over {found.targets:,} targets with {found.deployments:,} deployments"
        f" ({found.engine}, recorded API server):\n"
        f"  all applied: {found.first:.1f} s of CPU, {found.clock:.0f} s by the clock\n"
        f"  nothing to do: {found.again:.1f} s of CPU (aim for either <= {AIM:.0f}): {met}\n"
        f"  idle: {found.idle:.2f} s of CPU a minute ({found.idle / 60:.1%} of a core); load {found.load:.1f}"
    )


def _kubeconfig(folder: Path, port: int) -> str:
    authority = base64.b64encode((folder / "cert.pem").read_bytes()).decode()
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    return yaml.safe_dump(
        {
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": "none"}}],
            "contexts": [{"name": "me", "context": {"cluster": "it", "user": "me"}}],
            "current-context": "me",
        }
    )


def _first_of_all(hub: HubProcess, kubeconfig: str) -> None:
    """One target with a deployment of each filter, as people make them."""
    account = ("admin", hub.admin_password)
    with httpx.Client(base_url=hub.url, auth=account, timeout=30, trust_env=False) as http:
        settings = {"hub": "http://hub.example.com", "observe": "nothing"}
        body = {"name": FIRST, "kind": "istio", "settings": settings, "kubeconfig": kubeconfig}
        made = http.post("/api/v1/targets", json=body)
        assert made.status_code == 201, made.text
        oci = Client(hub.url, *account)
        for number in range(FILTERS):
            oci.push_filter(f"admin/measured-{number}", "1", header_filter(str(number)))
            where = f"/api/v1/targets/{FIRST}/deployments/d-{number}"
            placement = {"namespace": "shop", "labels": {"app": "web"}}
            put = http.put(where, json={"reference": f"admin/measured-{number}:1", "placement": placement})
            assert put.status_code == 201, put.text
            until(lambda path=where: http.get(path).json()["status"] == "applied-not-observed", "it is applied")
        oci.close()


def _multiply(database: Database, targets: int, each: int) -> None:
    """As many targets as there are to be, each with as many deployments, like the first."""
    with database.read() as session:
        like = find_target(session, FIRST)
        assert like is not None
        rows = [find_deployment(session, like.id, f"d-{number}") for number in range(FILTERS)]
        place = namespace_of_target(session, like.id)
    assert place is not None
    known = [{one.name: getattr(row.current, one.name) for one in fields(NewRevision)} for row in rows if row]
    for number in range(targets):
        target = like
        if number:
            known_target = {"kind": like.kind, "settings": like.settings, "sealed_access": like.sealed_access}
            target = create_target(database, SYSTEM, f"t-{number}", namespace_id=place, **known_target)
        for other in range(0 if number else FILTERS, each):
            of = known[other % FILTERS]
            placement = {**of["placement"], "namespace": f"shop-{number}-{other % NAMESPACES}"}
            revision = NewRevision(**{**of, "order": other + 1, "placement": placement})
            save_deployment(database, SYSTEM, target, f"d-{other}", revision, arrange=None)


def _await_all(database: Database, targets: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        with database.read() as session:
            row = session.execute(text("SELECT count(*) FROM target_states WHERE done >= wanted")).scalar_one()
        if row >= targets:
            return
        assert time.monotonic() < end, f"{row} of {targets} targets were passed over in {PATIENCE:g} s"
        time.sleep(0.5)
