"""The steps of the demo, each checked as it is told."""

import json
import re
import sys
from pathlib import Path

import httpx

from examples.demo.curl import Curl, mark_of
from examples.demo.filters import Pusher, compile_filter
from examples.demo.load import Load
from examples.demo.processes import WASMHUB, Envoy, Processes, envoy_program, own_environment, until, wasmhub
from examples.demo.saying import answered, check, step, tell, typed

FILTER = "demo/add-header"
ONE, TWO = "version 1", "version 2"
ADDRESS = "127.0.0.1:0"  # any free port


class Story:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, password: str) -> None:
        self.password = password
        self.environment = own_environment()
        self.processes = Processes(folder, self.environment)
        self.hub = self.proxy = ""
        self._folder = folder
        self._envoy = Envoy(self.processes)

    @property
    def page(self) -> str:
        """The filter's page."""
        return f"{self.hub}/r/{FILTER}"

    def tell(self) -> None:
        """All steps in order. Raises DemoFailed where one is not as described."""
        program = envoy_program()
        self.start_hub()
        self.push()
        self.start_envoy(program)
        self.deploy_first()
        with Load(self.proxy) as load:
            self.deploy_second(load)
            self.refused_by_hub(load)
            self.refused_by_envoy(load)
        self.look()

    def start_hub(self) -> None:
        """A hub on an empty folder."""
        step("1. Start a hub", "It keeps everything in one folder, a temporary one here, and takes any free port.")
        own = {
            "WASMHUB_DATA": str(self._folder / "data"),
            "WASMHUB_LISTEN": ADDRESS,
            "WASMHUB_ADMIN_PASSWORD": self.password,
        }
        typed(" ".join(f"{name}={value}" for name, value in own.items()) + " wasmhub serve")
        self.processes.start("hub", [WASMHUB, "serve"], **own)
        found = self.processes.says("hub", r"the hub listens on (http://[^\s\"]+)")
        answered(found[0])
        self.hub = self.environment["WASMHUB_URL"] = found[1]
        until(self._answers, "the hub answers")

        tell("Commands talk to it with a personal access token, made with the administrator's password.")
        typed(f"export WASMHUB_URL={self.hub}")
        shown = f"export WASMHUB_TOKEN=$(echo {self.password} | {{}})"
        token = self._wasmhub(
            "token", "create", "demo", "--user", "admin", shown=shown, quiet=True, stdin=self.password
        )
        self.environment["WASMHUB_TOKEN"] = token.strip()

    def push(self) -> None:
        """Two versions of a filter."""
        step(
            "2. Push two versions of a filter",
            "examples/filters/add-header is a filter in WebAssembly text that adds a header to each response; the two"
            " versions differ in what it says. Any OCI client can push; here are the bare requests.",
        )
        self._push("add-header", "1", says=ONE)
        tell("The second one goes the same way:")
        self._push("add-header", "2", says=TWO, quiet=True)

    def start_envoy(self, program: Path) -> None:
        """An Envoy with the hub's bootstrap."""
        step(
            "3. Start an Envoy with the bootstrap that the hub writes",
            "A target is a fleet of proxies. Its bootstrap holds empty slots for filters and no secret; the fleet's key"
            " comes from the environment. Behind the proxy stands a small web server.",
        )
        (self._folder / "site").mkdir()
        (self._folder / "site" / "index.html").write_text("hello from behind the proxy\n")
        site = ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", "site"]
        typed(" ".join(["python", *site]))
        self.processes.start("site", [sys.executable, "-u", *site])
        port = self.processes.says("site", r"port (\d+)")[1]

        self._wasmhub("targets", "create", "edge", "--refresh-seconds", "0.5")
        key = self._wasmhub("targets", "keys", "create", "edge", shown="export WASMHUB_FLEET_KEY=$({})", quiet=True)
        where = ["--listen", ADDRESS, "--admin", ADDRESS, "--upstream", f"127.0.0.1:{port}"]
        bootstrap = self._wasmhub("targets", "bootstrap", "edge", *where, shown="{} > bootstrap.json", quiet=True)
        (self._folder / "bootstrap.json").write_text(bootstrap)
        self.proxy = self._envoy.start(program, key.strip())
        answered(f"Envoy runs as process {self.processes.must_run('envoy')} and listens on {self.proxy}")
        tell("No filter runs yet, so a response has no header of ours:")
        check(mark_of(self.proxy) is None, "there is an x-filter header before anything was deployed")

    def deploy_first(self) -> None:
        """Version 1."""
        step("4. Deploy version 1", "The proxy asks the hub every moment, loads the module, and says that it runs it.")
        said = self._wasmhub("deploy", f"{FILTER}:1", "--target", "edge", "--as", "header")
        check("ready: 1 of 1 proxies run revision 1" in said, "the hub does not say that the proxy runs it")
        self._shows(ONE)

    def deploy_second(self, load: Load) -> None:
        """Version 2, under load."""
        step(
            "5. Deploy version 2 while requests go on",
            "From here on a loop sends requests through the proxy without a pause, and counts them.",
        )
        check(load.more(200), "the proxy does not answer the loop")
        process = self.processes.must_run("envoy")
        said = self._wasmhub("deploy", f"{FILTER}:2", "--target", "edge", "--as", "header")
        check("ready: 1 of 1 proxies run revision 2" in said, "the hub does not say that the proxy runs it")
        self._shows(TWO)
        self._counted(load)
        check(process == self.processes.must_run("envoy"), "Envoy was restarted")
        tell(f"The same Envoy, process {process}, has swapped the filter between two requests.")

    def refused_by_hub(self, load: Load) -> None:
        """(a): refused before anything happens."""
        step(
            "6. (a) A module that no Envoy can load is refused by the hub",
            "This one imports a function that no proxy has. It may lie in the registry, but the hub has read its bytes"
            " and does not deploy it:",
        )
        self._push("unknown-import", "1", quiet=True)
        before = self._revision()
        said = self._deploy_refused("demo/unknown-import:1")
        check("proxy_read_the_future" in said, "the hub does not name the import")
        check(self._revision() == before, "something was deployed")
        check(self._envoy.count("update_rejected") == 0, "the proxy was given the module")
        tell("Nothing has happened: the same revision runs, and no proxy has heard of this module.")
        self._wasmhub("deployments")
        self._shows(TWO)
        self._counted(load)

    def refused_by_envoy(self, load: Load) -> None:
        """(b): refused by the proxy."""
        step(
            "7. (b) A module that only the proxy can judge is refused by Envoy",
            "This one passes every check, but answers false when it is configured. The hub hands it out, Envoy refuses"
            " it, and the hub says so:",
        )
        self._push("refuses-config", "1", quiet=True)
        said = self._deploy_refused("demo/refuses-config:1")
        check("node edge-1 refused revision 3" in said, "the hub does not say that the proxy refused it")
        check(self._envoy.count("update_rejected") > 0, "Envoy did not refuse anything")
        found = re.search(r"[^\n]*rejected[^\n]*?(Unable to create [^\n]*)", self.processes.log("envoy"))
        check(found, "Envoy's log does not tell of a refusal")
        tell("Envoy's own log gives the reason:")
        answered(found[1] if found else "")
        listed = self._wasmhub("deployments")
        check("stalled" in listed, "the deployment is not shown as stalled")
        tell("Traffic stays with version 2:")
        self._shows(TWO)
        self._counted(load)
        tell("`wasmhub deployments rollback header --target edge` would make that the deployed one again.")

    def look(self) -> None:
        """The page."""
        step("8. Look at the filter's page", "A new repository is private; this one may be seen by all.")
        bearer = ("WASMHUB_TOKEN", self.environment["WASMHUB_TOKEN"])
        path, body = f"/api/v1/repositories/{FILTER}", '{"visibility": "public"}'
        Curl(self.hub).ask("PATCH", path, bearer=bearer, body=body, kind="application/json")
        with httpx.Client(trust_env=False, timeout=30) as http:
            answer = http.get(self.page)
        check(answer.status_code == 200 and FILTER in answer.text, f"{self.page} was answered {answer.status_code}")
        answered(f"{self.page} is there, with both versions and what their bytes say")

    def _push(self, name: str, tag: str, says: str | None = None, *, quiet: bool = False) -> None:
        pusher = Pusher(self.hub, self.environment["WASMHUB_TOKEN"], self._folder)
        pusher.push(f"demo/{name}", tag, compile_filter(name, says), quiet=quiet)

    def _wasmhub(self, *arguments: str, shown: str = "{}", quiet: bool = False, stdin: str = "") -> str:
        return wasmhub(self.environment, *arguments, shown=shown, quiet=quiet, stdin=stdin)

    def _deploy_refused(self, reference: str) -> str:
        arguments = ("deploy", reference, "--target", "edge", "--as", "header")
        said = wasmhub(self.environment, *arguments, exit_code=1)
        answered("(exit code 1)")
        return said

    def _revision(self) -> tuple[int, str]:
        """The revision that is deployed and how it stands."""
        where = f"{self.hub}/api/v1/targets/edge/deployments/header"
        with httpx.Client(trust_env=False, timeout=30) as http:
            answer = http.get(where, headers={"Authorization": f"Bearer {self.environment['WASMHUB_TOKEN']}"})
        found = json.loads(answer.text)
        return found["revision"]["number"], found["status"]

    def _shows(self, mark: str) -> None:
        """Makes a request that must show this header; workers of the proxy may take a moment longer than its word."""
        until(lambda: mark_of(self.proxy, quiet=True) == mark, f"a response says {mark}", 5)
        check(mark_of(self.proxy) == mark, f"the response does not say {mark}")

    def _counted(self, load: Load) -> None:
        check(load.more(100), "the proxy does not answer the loop any more")
        answered(load.summary())
        check(not load.failures, f"requests failed: {load.failures[:3]}")
        check(set(load.marks) == {ONE, TWO}, f"responses said {sorted(load.marks)}")

    def _answers(self) -> bool:
        try:
            with httpx.Client(trust_env=False, timeout=5) as http:
                return http.get(f"{self.hub}/readyz").status_code == 200
        except httpx.TransportError:
            return False
