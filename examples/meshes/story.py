"""The steps of both demos, each checked as it is told."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.curl import mark_of
from examples.demo.filters import Pusher, compile_filter
from examples.demo.load import Load
from examples.demo.processes import own_environment, until, wasmhub
from examples.demo.saying import answered, check, step, tell
from tests.mesh.target import HUB
from tests.mesh.world import NAMESPACE, ConsulWorld, IstioWorld

FILTER = "demo/add-header"
STEADY = 25  # responses, a tenth of a second apart
ONE, TWO = "version 1", "version 2"


@dataclass(frozen=True)
class Mesh:
    """What is told of a mesh, and how a filter is deployed to it."""

    word: str
    name: str
    programs: tuple[str, ...]  # the peers that are built for it
    begins: str
    front: str  # what requests are sent to
    target: str
    place: tuple[str, ...]
    happens: str


ISTIO = Mesh(
    "istio",
    "Istio",
    ("kubernetes", "istio"),
    "An API server of Kubernetes with its etcd, istiod, and one gateway: a real agent with a real Envoy, in a network"
    " namespace of its own in the place of a pod. No container runs. Behind the gateway stands a small web server.",
    "the gateway",
    "mesh",
    ("--namespace", NAMESPACE, "--label", "app=gw"),
    "The hub applies a WasmPlugin, the gateway's agent pulls the module from the hub as an image, with a secret that"
    " the hub has made for this alone, and the hub asks the proxy itself whether it runs.",
)
CONSUL = Mesh(
    "consul",
    "Consul",
    ("consul",),
    "A Consul with ACLs, and three services of its mesh, each with a real Envoy in a network namespace of its own:"
    " client, web with a small web server, and the hub, from which sidecars fetch modules through the mesh.",
    "the sidecar of client, which leads to web",
    "dc1",
    ("--service", "web"),
    "The hub merges builtin/wasm into the service-defaults of web, beside what others wrote there; web's Envoy fetches"
    " the module through the mesh, and the hub asks it whether it runs.",
)


class Story:
    """One run. The world is up already."""

    def __init__(self, mesh: Mesh, world: IstioWorld | ConsulWorld, folder: Path) -> None:
        self._mesh, self._world, self._folder = mesh, world, folder
        self._environment = {**own_environment(), "WASMHUB_URL": world.hub.url}
        host, port = world.front
        self._front = f"http://{host}:{port}/"

    def tell(self) -> None:
        """All steps in order. Raises DemoFailed where one is not as described."""
        answered(f"{self._mesh.name} is up; requests go to {self._mesh.front} at {self._front}")
        check(mark_of(self._front) is None, "there is an x-filter header before anything was deployed")
        self._sign_in()
        self._push()
        self._register()
        self._deploy()
        self._undeploy()

    def _sign_in(self) -> None:
        step("2. Meet the hub", f"It runs at {self._world.hub.url}, and commands talk to it with a token.")
        password = self._world.hub.admin_password
        shown = f"export WASMHUB_TOKEN=$(echo {password} | {{}})"
        words = ("token", "create", "demo", "--user", "admin")
        token = wasmhub(self._environment, *words, shown=shown, quiet=True, stdin=password)
        self._environment["WASMHUB_TOKEN"] = token.strip()

    def _push(self) -> None:
        step("3. Push two versions of a filter", "Each adds a header to responses; any OCI client can push them.")
        pusher = Pusher(self._world.hub.url, self._environment["WASMHUB_TOKEN"], self._folder)
        for tag, says in (("1", ONE), ("2", TWO)):
            pusher.push(FILTER, tag, compile_filter("add-header", says), quiet=True)

    def _register(self) -> None:
        step(f"4. Make {self._mesh.name} a target", "The hub tries the way in at once, and says what it may do there.")
        world, name = self._world, self._mesh.target
        if isinstance(world, IstioWorld):
            (self._folder / "kubeconfig").write_text(world.control.admin.kubeconfig())
            hub = f"http://{HUB}:{world.hub.url.rpartition(':')[2]}"
            way = ["--kind", "istio", "--hub", hub, "--kubeconfig", str(self._folder / "kubeconfig")]
        else:
            (self._folder / "token").write_text(world.token)
            settings = {"address": world.consul.url, "admin_port": "19000"}
            way = ["--kind", "consul", "--token", str(self._folder / "token")]
            way += [word for item in settings.items() for word in ("--setting", "=".join(item))]
        self._wasmhub("targets", "create", name, *way)

    def _deploy(self) -> None:
        step("5. Deploy version 1", self._mesh.happens)
        self._deployed("1", ONE, *self._mesh.place)
        step("6. Deploy version 2 while requests go on", "A loop sends requests without a pause, and counts them.")
        with Load(self._front) as load:
            check(load.more(200), "the proxy does not answer the loop")
            self._deployed("2", TWO)
            check(load.more(100), "the proxy does not answer the loop any more")
            answered(load.summary())
            check(not load.failures, f"requests failed: {load.failures[:3]}")
        tell("What the hub knows of it:")
        self._wasmhub("deployments", "show", "header", "--target", self._mesh.target)

    def _deployed(self, tag: str, mark: str, *place: str) -> None:
        words = ("deploy", f"{FILTER}:{tag}", "--target", self._mesh.target, "--as", "header", *place)
        said = self._wasmhub(*words)
        check("ready: 1 of 1 " in said, "the hub does not say that the proxy runs it")
        until(lambda: self._all_say(mark), f"responses say {mark}")
        check(mark_of(self._front) == mark, f"the response does not say {mark}")

    def _undeploy(self) -> None:
        step(
            "7. Undeploy",
            f"Everything of the hub's is taken away again, and nothing else in {self._mesh.name} is touched.",
        )
        self._wasmhub("undeploy", "header", "--target", self._mesh.target)
        until(lambda: self._all_say(None), "the header is gone")
        check(mark_of(self._front) is None, "the header is still there")
        self._nothing_is_left()

    def _all_say(self, mark: str | None) -> bool:
        """Whether responses do for a while: a connection between proxies may stay with an old listener meanwhile."""
        for _ in range(STEADY):
            if mark_of(self._front, quiet=True) != mark:
                return False
            time.sleep(0.1)
        return True

    def _nothing_is_left(self) -> None:
        world = self._world
        if isinstance(world, IstioWorld):
            kinds = (("extensions.istio.io/v1alpha1", "WasmPlugin"), ("v1", "Secret"))
            left: Any = [one for kind in kinds for one in world.control.admin.all(*kind, NAMESPACE)]
        else:
            left = world.consul.ask("GET", "/v1/config/service-defaults/web").get("EnvoyExtensions")
        check(not left, f"something is left: {json.dumps(left)}")
        answered(f"no object of the hub's is left in {self._mesh.name}")

    def _wasmhub(self, *words: str) -> str:
        return wasmhub(self._environment, *words)
