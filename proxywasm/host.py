"""What Envoy offers to a module: every host function with its type, its ABI versions and its first release.

Source: the functions that proxy-wasm's C++ host registers, and Envoy's own, compared by running them against
Envoy 1.40. Types are written with one letter a value, i for i32 and l for i64, parameters before the colon.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from proxywasm.signatures import Signature

ABI_VERSIONS = ("0_1_0", "0_2_0", "0_2_1")
ABI_EXPORT = "proxy_abi_version_"

ENV = "env"
WASI = "wasi_snapshot_preview1"
WASI_OLD = "wasi_unstable"

MAX_PAGES = 16384  # 1 GiB: the flag that Envoy sets for its engine
MAX_TABLE = 10_000_000  # elements: the engine's own limit

# Proxy-wasm functions of every ABI version, without their prefix `proxy_`.
COMMON = """
log iii:i  get_status iii:i  get_property iiii:i  set_property iiii:i  send_local_response iiiiiiii:i
get_shared_data iiiii:i  set_shared_data iiiii:i  register_shared_queue iii:i  resolve_shared_queue iiiii:i
dequeue_shared_queue iii:i  enqueue_shared_queue iii:i  get_header_map_value iiiii:i  add_header_map_value iiiii:i
replace_header_map_value iiiii:i  remove_header_map_value iii:i  get_header_map_pairs iii:i
set_header_map_pairs iii:i  get_header_map_size ii:i  get_buffer_status iii:i  get_buffer_bytes iiiii:i
set_buffer_bytes iiiii:i  http_call iiiiiiiiii:i  grpc_call iiiiiiiiiiii:i  grpc_stream iiiiiiiii:i
grpc_close i:i  grpc_cancel i:i  grpc_send iiii:i  set_tick_period_milliseconds i:i
get_current_time_nanoseconds i:i  define_metric iiii:i  increment_metric il:i  record_metric il:i  get_metric ii:i
set_effective_context i:i  done :i  call_foreign_function iiiiii:i
"""

# Those that only some ABI versions have.
SPECIFIC = {
    "0_1_0": "get_configuration ii:i  continue_request :i  continue_response :i  clear_route_cache :i",
    "0_2_0": "continue_stream i:i  close_stream i:i",
    "0_2_1": "continue_stream i:i  close_stream i:i  get_log_level i:i",
}

# Functions of `env` that are not proxy-wasm's.
EXTRAS = "pthread_equal ii:i  emscripten_notify_memory_growth i:  envoy_resolve_dns iii:i"

# WASI functions by the first Envoy release that offers them.
WASI_SINCE = {
    "1.17": """
        args_get ii:i  args_sizes_get ii:i  environ_get ii:i  environ_sizes_get ii:i  clock_time_get ili:i
        fd_close i:i  fd_fdstat_get ii:i  fd_read iiii:i  fd_seek ilii:i  fd_write iiii:i  proc_exit i:
        random_get ii:i""",
    "1.21": "fd_prestat_get ii:i  fd_prestat_dir_name iii:i  path_open iiiiillii:i",
    "1.33": "sched_yield :i  poll_oneoff iiii:i  fd_fdstat_set_flags ii:i",
    "1.39": """
        clock_res_get ii:i  fd_advise illi:i  fd_allocate ill:i  fd_datasync i:i  fd_fdstat_set_rights ill:i
        fd_filestat_get ii:i  fd_filestat_set_size il:i  fd_filestat_set_times illi:i  fd_pread iiili:i
        fd_pwrite iiili:i  fd_readdir iiili:i  fd_renumber ii:i  fd_sync i:i  fd_tell ii:i
        path_create_directory iii:i  path_filestat_get iiiii:i  path_filestat_set_times iiiilli:i
        path_link iiiiii:i  path_readlink iiiiii:i  path_remove_directory iii:i  path_rename iiiiii:i
        path_symlink iiii:i  path_unlink_file iii:i  sock_accept iii:i  sock_recv iiiiii:i  sock_send iiiii:i
        sock_shutdown ii:i""",
}

# Functions that only the proxy of this name offers; modules that import them run there alone.
FOREIGN = {
    "proxy_redis_init": "Higress",
    "proxy_redis_call": "Higress",
    "proxy_inject_encoded_data_to_filter_chain": "Higress",
    "proxy_set_upstream_override_host": "Higress",
    "proxy_get_upstream_hosts": "Higress",
}

LETTERS = {"i": "i32", "l": "i64"}


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function that Envoy offers: its type and the first Envoy release that has it."""

    signature: Signature
    since: str


@cache
def host_functions(abi: str) -> dict[tuple[str, str], HostFunction]:
    """All functions that the newest known Envoy offers to a module of this ABI version, by module and name."""
    functions: dict[tuple[str, str], HostFunction] = {}
    for name, signature in _parse(COMMON + SPECIFIC.get(abi, "")):
        functions[ENV, f"proxy_{name}"] = HostFunction(signature, "1.17")
    for name, signature in _parse(EXTRAS):
        functions[ENV, name] = HostFunction(signature, "1.17")
    for since, table in WASI_SINCE.items():
        for name, signature in _parse(table):
            functions[WASI, name] = functions[WASI_OLD, name] = HostFunction(signature, since)
    return functions


@cache
def abi_versions_of(name: str) -> tuple[str, ...]:
    """The ABI versions in which `env` has a function of this name; empty when none has."""
    return tuple(version for version in ABI_VERSIONS if (ENV, name) in host_functions(version))


def parse_type(text: str) -> Signature:
    """`il:i` as a signature."""
    params, _, results = text.partition(":")
    return Signature(tuple([LETTERS[letter] for letter in params]), tuple([LETTERS[letter] for letter in results]))


def _parse(table: str) -> list[tuple[str, Signature]]:
    words = table.split()
    return [(name, parse_type(text)) for name, text in zip(words[::2], words[1::2], strict=True)]
