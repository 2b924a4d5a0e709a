"""Replicas of one hub on the engines of a scaled-out one, and before them a real nginx without sticky sessions."""

import signal
from pathlib import Path

import httpx

from tests.engines import Engines, chosen, engines
from tests.hub import HubProcess
from tests.nginx import Nginx

# As docs/replicas.md advises. max_fails=0: a replica that is being restarted is asked again at the next request.
_INSIDE = """
    upstream hub {{
{servers}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://hub;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}
    }}
"""


class Balancer(Nginx):
    """An nginx that sends each request to the next replica."""

    def __init__(self) -> None:
        super().__init__("nginx")
        self.host = f"127.0.0.1:{self.port}"

    def start(self, hosts: list[str]) -> None:
        """Starts it before these."""
        servers = "\n".join(f"        server {host} max_fails=0;" for host in hosts)
        self.serve(_INSIDE.format(port=self.port, servers=servers))


class Replicas(HubProcess):
    """A hub of several replicas, to be used as one process is; `hubs` are the single ones."""

    def __init__(self, data: Path, count: int = 2, servers: Engines | None = None, **settings: str) -> None:
        shared = (servers or engines("scaled")).settings(data, tables=True)
        super().__init__(data, **shared, **settings)
        told = {"WASMHUB_TRUSTED_PROXIES": "127.0.0.1", **shared, **settings}
        self.hubs = [HubProcess(data / f"replica-{number}", **told) for number in range(count)]
        self._balancer = Balancer()

    def start(self, *, wrapper: tuple[str, ...] = ()) -> "Replicas":
        """Starts them and the balancer, which keeps its port for good."""
        self.data.mkdir(parents=True, exist_ok=True)
        for hub in self.hubs:
            hub.start(wrapper=wrapper)
            wait_until_ready(hub)
        if self._balancer.process is None:
            self._balancer.start([hub.host for hub in self.hubs])
        self.host = self._balancer.host
        self.url = f"http://{self.host}"
        return self

    def log(self) -> str:
        """What they have written since their last starts."""
        return "".join(hub.log() for hub in self.hubs)

    def stop(self) -> int:
        """SIGTERM to all; the worst exit code."""
        return max(hub.stop() for hub in self.hubs)

    def kill(self) -> None:
        """kill -9 to all."""
        for hub in self.hubs:
            hub.kill()

    def __exit__(self, *_: object) -> None:
        for hub in self.hubs:
            hub.__exit__()
        self._balancer.end(signal.SIGTERM)
        self._balancer.remove()


def shared_hub(data: Path) -> HubProcess:
    """A hub for many tests: one process, or replicas where the session's set of engines says so.

    It may call this machine, where tests have providers of identities of their own.
    """
    told = {"WASMHUB_OUTGOING_NETWORKS": "127.0.0.1/32"}
    return Replicas(data, **told) if chosen() == "replicas" else HubProcess(data, **told)


def wait_until_ready(hub: HubProcess) -> None:
    """Waits until a replica says that it may be sent requests: the first one it answers comes after its start."""
    answer = httpx.get(f"{hub.url}/readyz", trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
