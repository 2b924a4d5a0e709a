"""What a module asks of its host, said so that somebody who reviews it understands what it may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxywasm.host import ENV, WASI, WASI_OLD


@dataclass(frozen=True, slots=True)
class Capability:
    """Something a module may do: `name` for machines, `words` for people, `functions` that give it."""

    name: str
    words: str
    functions: tuple[str, ...]


def _capability(name: str, words: str, functions: str) -> Capability:
    return Capability(name, words, tuple(functions.split()))


# In the order in which a reviewer wants to know: what leaves the proxy, what is changed, what is read, the rest.
PROXY = (
    _capability("http_calls", "sends HTTP requests of its own to the proxy's clusters", "proxy_http_call"),
    _capability(
        "grpc_calls",
        "opens gRPC calls of its own to services the proxy reaches",
        "proxy_grpc_call proxy_grpc_stream proxy_grpc_send proxy_grpc_cancel proxy_grpc_close",
    ),
    _capability("dns", "asks DNS questions", "envoy_resolve_dns"),
    _capability("local_responses", "answers requests itself", "proxy_send_local_response"),
    _capability(
        "change_headers",
        "changes headers and trailers",
        "proxy_add_header_map_value proxy_replace_header_map_value proxy_remove_header_map_value "
        "proxy_set_header_map_pairs",
    ),
    _capability("change_bodies", "changes bodies and bytes of connections", "proxy_set_buffer_bytes"),
    _capability("set_properties", "sets properties of the request for other filters", "proxy_set_property"),
    _capability(
        "read_headers",
        "reads headers and trailers",
        "proxy_get_header_map_value proxy_get_header_map_pairs proxy_get_header_map_size",
    ),
    _capability(
        "read_bodies",
        "reads bodies, bytes of connections, its configuration or answers to its calls",
        "proxy_get_buffer_bytes proxy_get_buffer_status",
    ),
    _capability("properties", "reads properties of request, connection, route, cluster and node", "proxy_get_property"),
    _capability("configuration", "reads its configuration", "proxy_get_configuration"),
    _capability(
        "shared_data",
        "keeps data that all workers and filters with its VM id share",
        "proxy_get_shared_data proxy_set_shared_data",
    ),
    _capability(
        "queues",
        "passes messages through shared queues",
        "proxy_register_shared_queue proxy_resolve_shared_queue proxy_dequeue_shared_queue proxy_enqueue_shared_queue",
    ),
    _capability(
        "metrics",
        "keeps metrics of its own",
        "proxy_define_metric proxy_increment_metric proxy_record_metric proxy_get_metric",
    ),
    _capability(
        "stream_control",
        "pauses, resumes or closes streams",
        "proxy_continue_stream proxy_close_stream proxy_continue_request proxy_continue_response",
    ),
    _capability("clear_route_cache", "has the route chosen anew", "proxy_clear_route_cache"),
    _capability(
        "foreign_functions", "calls functions that other parts of the proxy offer", "proxy_call_foreign_function"
    ),
    _capability("timer", "runs on a timer", "proxy_set_tick_period_milliseconds"),
    _capability("clock", "reads the clock", "proxy_get_current_time_nanoseconds"),
    _capability("log", "writes to the proxy's log", "proxy_log proxy_get_log_level"),
    _capability(
        "context",
        "asks for the status of calls and works on other streams of its own",
        "proxy_get_status proxy_set_effective_context proxy_done",
    ),
)

SYSTEM = (
    _capability("clock", "reads the clock", "clock_time_get clock_res_get"),
    _capability("random", "draws random numbers", "random_get"),
    _capability("environment", "reads the environment variables given to it", "environ_get environ_sizes_get"),
    _capability("arguments", "reads program arguments (Envoy gives none)", "args_get args_sizes_get"),
    _capability("stdout", "writes to standard output and error, which Envoy logs", "fd_write"),
    _capability(
        "files",
        "would use files (Envoy offers none: the calls fail)",
        "fd_prestat_get fd_prestat_dir_name path_open fd_read fd_seek fd_tell fd_pread fd_pwrite fd_readdir fd_sync "
        "fd_datasync fd_advise fd_allocate fd_renumber fd_filestat_get fd_filestat_set_size fd_filestat_set_times "
        "path_create_directory path_filestat_get path_filestat_set_times path_link path_readlink "
        "path_remove_directory path_rename path_symlink path_unlink_file",
    ),
    _capability(
        "sockets",
        "would use sockets (Envoy offers none: the calls fail)",
        "sock_accept sock_recv sock_send sock_shutdown",
    ),
    _capability("yield", "waits and lets other threads run, as language runtimes do", "sched_yield poll_oneoff"),
    _capability("exit", "can end itself (Envoy then drops its VM)", "proc_exit proc_raise"),
    _capability(
        "descriptors",
        "asks about or closes its standard streams",
        "fd_close fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights",
    ),
)


def find_capabilities(imports: Iterable[tuple[str, str]]) -> list[Capability]:
    """What a module with these imported functions (module, name) may do; `functions` are the ones it imports."""
    wanted: dict[str, set[str]] = {ENV: set(), WASI: set()}
    for module, name in imports:
        group = wanted.get(WASI if module == WASI_OLD else module)
        if group is not None:
            group.add(name)
    found: dict[str, Capability] = {}
    for module, table in ((ENV, PROXY), (WASI, SYSTEM)):
        for capability in table:
            used = tuple(name for name in capability.functions if name in wanted[module])
            if used:
                before = found[capability.name].functions if capability.name in found else ()
                found[capability.name] = Capability(capability.name, capability.words, before + used)
    return list(found.values())
