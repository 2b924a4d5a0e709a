"""Requests and answers of xDS over gRPC, between protobuf's messages and what the rest of the door speaks of."""

from typing import Any

from envoy.config.core.v3.base_pb2 import Node
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.wasm.v3.wasm_pb2 import Wasm
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf.json_format import ParseDict

from deploy.fleets.polls import Answer, proxy_of
from deploy.fleets.streams import Said, Sent
from deploy.targets.envoy_fleet import EXTENSION_TYPE, plugin


def read_request(message: Any) -> Said:
    """What a request of either dialect says."""
    error = message.error_detail.message if message.HasField("error_detail") else None
    if isinstance(message, DeltaDiscoveryRequest):
        return Said(
            message.response_nonce,
            error,
            message.resource_names_subscribe,
            message.resource_names_unsubscribe,
            dict(message.initial_resource_versions),
        )
    return Said(message.response_nonce, error, message.resource_names, version=message.version_info)


def proxy(node: Node) -> str:
    """Its kind and version, such as `envoy 1.40.0`."""
    version = node.user_agent_build_version.version
    numbers = {"major_number": version.major_number, "minor_number": version.minor_number, "patch": version.patch}
    build = {"user_agent_build_version": {"version": numbers}} if node.HasField("user_agent_build_version") else {}
    return proxy_of({"user_agent_name": node.user_agent_name, **build})


def write_answer(resource: str, answer: Answer, sent: Sent, joined: str, *, delta: bool) -> bytes:
    """The answer for one slot as it goes over the wire. It blocks: a module may be large."""
    extension = TypedExtensionConfig(name=resource)
    if answer.held is None:
        extension.typed_config.Pack(RBAC())
    else:
        wasm = Wasm()
        ParseDict(plugin(answer.held), wasm.config)
        wasm.config.vm_config.code.local.inline_bytes = answer.module
        extension.typed_config.Pack(wasm)
    response: Any
    if delta:
        response = DeltaDiscoveryResponse(type_url=EXTENSION_TYPE, nonce=sent.nonce)
        one = response.resources.add(name=resource, version=sent.version)
        one.resource.Pack(extension)
    else:
        response = DiscoveryResponse(type_url=EXTENSION_TYPE, nonce=sent.nonce, version_info=joined)
        response.resources.add().Pack(extension)
    written: bytes = response.SerializeToString()
    return written


READERS = {False: DiscoveryRequest.FromString, True: DeltaDiscoveryRequest.FromString}  # by whether it is delta
