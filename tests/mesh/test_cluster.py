"""The cluster that other tests of meshes stand on: rights, tokens, and pods that the API server reaches."""

import signal
import ssl
import sys
from collections.abc import Callable

import httpx
import yaml

from tests.deploy.fleet import until
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.pods import Pod

MAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "patch", "create"]}


def test_an_account_may_do_what_its_rules_say_and_no_more(control: ControlPlane, namespace: str) -> None:
    seen = control.account("hub", namespace, [MAPS])
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": namespace}}
    seen.apply({**item, "data": {"a": "b"}})
    assert {"a": "b"} in [one["data"] for one in seen.all("v1", "ConfigMap", namespace)]
    assert seen.http.delete(seen.path_of(item)).status_code == 403
    assert seen.http.get("/api/v1/namespaces/default/configmaps").status_code == 403


def test_a_kubeconfig_holds_all_that_a_client_needs(control: ControlPlane, namespace: str) -> None:
    told = yaml.safe_load(control.account("hub", namespace, [MAPS]).kubeconfig())
    (cluster,), (user,) = told["clusters"], told["users"]
    authority = control.authority.read_text()
    headers = {"Authorization": f"Bearer {user['user']['token']}"}
    context = ssl.create_default_context(cadata=authority)
    url = f"{cluster['cluster']['server']}/api/v1/namespaces/{namespace}/configmaps"
    assert httpx.get(url, headers=headers, verify=context, trust_env=False).status_code == 200


def test_the_api_server_reaches_pods(control: ControlPlane, network: Network, namespace: str) -> None:
    pod = Pod(control.admin, network, "web", namespace, {"app": "web"})
    server = pod.container("server")
    (server.folder / "hello").write_text("hello")
    url = f"http://{pod.address}:15020/hello"
    words = [sys.executable, "-m", "http.server", "15020", "--bind", pod.address]
    server.run(*words, answers=lambda: _text(httpx.get, url) == "hello")
    pod.is_ready()
    path = f"{control.admin.path_of(pod.object)}:15020/proxy/hello"
    until(lambda: _text(control.admin.http.get, path) == "hello", "the API server leads to the pod")
    pod.remove()
    assert control.admin.get("v1", "Pod", "web", namespace) is None


def test_an_api_server_that_was_killed_comes_back_with_its_objects(network: Network) -> None:
    control = ControlPlane(network.address).start()
    try:
        control.namespace("shop")
        control.end(signal.SIGKILL)
        control.start()
        assert control.admin.get("v1", "Namespace", "shop")
    finally:
        control.remove()


def _text(get: Callable[[str], httpx.Response], url: str) -> str:
    try:
        return get(url).text
    except httpx.TransportError:
        return ""
