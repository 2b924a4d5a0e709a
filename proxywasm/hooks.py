"""The functions that Envoy calls in a module: their types, their ABI versions, and what they are for in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from proxywasm.host import parse_type
from proxywasm.signatures import Signature


@dataclass(frozen=True, slots=True)
class Hook:
    """A group of exports by which a module takes part in one thing: `name` for machines, `words` for people."""

    name: str
    words: str
    exports: tuple[str, ...]


HOOKS = (
    Hook("request_headers", "sees request headers", ("proxy_on_request_headers",)),
    Hook("request_body", "sees request bodies", ("proxy_on_request_body",)),
    Hook("request_trailers", "sees request trailers", ("proxy_on_request_trailers",)),
    Hook("response_headers", "sees response headers", ("proxy_on_response_headers",)),
    Hook("response_body", "sees response bodies", ("proxy_on_response_body",)),
    Hook("response_trailers", "sees response trailers", ("proxy_on_response_trailers",)),
    Hook("http2_metadata", "sees HTTP/2 metadata", ("proxy_on_request_metadata", "proxy_on_response_metadata")),
    Hook(
        "tcp",
        "sees TCP connections and their bytes",
        (
            "proxy_on_new_connection",
            "proxy_on_downstream_data",
            "proxy_on_upstream_data",
            "proxy_on_downstream_connection_close",
            "proxy_on_upstream_connection_close",
        ),
    ),
    Hook("log", "is told when a stream has ended (access log)", ("proxy_on_log",)),
    Hook("tick", "runs on a timer", ("proxy_on_tick",)),
    Hook("http_call_response", "receives answers to its own HTTP requests", ("proxy_on_http_call_response",)),
    Hook(
        "grpc",
        "receives answers to its own gRPC calls",
        (
            "proxy_on_grpc_receive_initial_metadata",
            "proxy_on_grpc_receive",
            "proxy_on_grpc_receive_trailing_metadata",
            "proxy_on_grpc_close",
        ),
    ),
    Hook("queue", "is told of messages in shared queues", ("proxy_on_queue_ready",)),
    Hook("foreign_function", "can be called by other extensions of the proxy", ("proxy_on_foreign_function",)),
    Hook("dns", "receives answers to its own DNS questions", ("envoy_on_resolve_dns",)),
    Hook("stats", "sees the proxy's statistics", ("envoy_on_stats_update",)),
    Hook("configuration", "reads its configuration", ("proxy_on_configure", "proxy_validate_configuration")),
    Hook("lifecycle", "is told when it starts and ends", ("proxy_on_vm_start", "proxy_on_done", "proxy_on_delete")),
    Hook("context", "keeps a state of its own for each stream", ("proxy_on_context_create",)),
)

# The type that Envoy demands of an export of this name, in every ABI version.
TYPES = """
proxy_validate_configuration ii:i  proxy_on_vm_start ii:i  proxy_on_configure ii:i  proxy_on_tick i:
proxy_on_context_create ii:  proxy_on_new_connection i:i  proxy_on_downstream_data iii:i
proxy_on_upstream_data iii:i  proxy_on_downstream_connection_close ii:  proxy_on_upstream_connection_close ii:
proxy_on_request_body iii:i  proxy_on_request_trailers ii:i  proxy_on_request_metadata ii:i
proxy_on_response_body iii:i  proxy_on_response_trailers ii:i  proxy_on_response_metadata ii:i
proxy_on_http_call_response iiiii:  proxy_on_grpc_receive iii:  proxy_on_grpc_close iii:
proxy_on_grpc_receive_initial_metadata iii:  proxy_on_grpc_receive_trailing_metadata iii:
proxy_on_queue_ready ii:  proxy_on_done i:i  proxy_on_log i:  proxy_on_delete i:
envoy_on_resolve_dns iii:  envoy_on_stats_update ii:
"""
OLD_TYPES = "proxy_on_request_headers ii:i  proxy_on_response_headers ii:i"
NEW_TYPES = "proxy_on_request_headers iii:i  proxy_on_response_headers iii:i  proxy_on_foreign_function iii:"

# What Envoy calls before the first hook. Without `_initialize` it takes `_start` and looks at no `main`.
REACTOR_TYPES = "_initialize :  main ii:i  __main_void :i"
COMMAND_TYPES = "_start :"

ALLOCATORS = ("malloc", "proxy_on_memory_allocate")
ALLOCATOR_TYPE = parse_type("i:i")


@cache
def hook_types(abi: str) -> dict[str, Signature]:
    """The type of every hook that Envoy looks for in a module of this ABI version, by the name of the export."""
    return _parse(TYPES + (OLD_TYPES if abi == "0_1_0" else NEW_TYPES))


@cache
def start_types(*, reactor: bool) -> dict[str, Signature]:
    """The type of every export by which Envoy starts a module, for one with `_initialize` or one without."""
    return _parse(REACTOR_TYPES if reactor else COMMAND_TYPES)


def find_hooks(exports: frozenset[str]) -> list[Hook]:
    """The hooks that a module with these exported functions implements, in a fixed order."""
    return [hook for hook in HOOKS if not exports.isdisjoint(hook.exports)]


def _parse(table: str) -> dict[str, Signature]:
    words = table.split()
    return {name: parse_type(text) for name, text in zip(words[::2], words[1::2], strict=True)}
