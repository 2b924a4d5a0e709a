"""What Envoys say over their metrics service, as far as the health of a rollout needs it.

The messages are described here by hand, with the numbers of envoy/service/metrics/v3/metrics_service.proto and of
Prometheus's metrics.proto: the library of Envoy's messages leaves these two out. What is not described is passed over.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from deploy.rollouts.figures import Sample
from storage.rollouts import MOST_MANAGERS

_PACKAGE = "wasmhub.stats"
_KINDS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}
# message -> its fields: name, number, kind (another message with a capital), whether there are many
_FIELDS: dict[str, list[tuple[str, int, str, bool]]] = {
    "Node": [("id", 1, "string", False)],
    "Identifier": [("node", 1, "Node", False)],
    "Value": [("value", 1, "double", False)],  # of a counter, and of a gauge
    "Bucket": [("cumulative_count", 1, "uint64", False), ("upper_bound", 2, "double", False)],
    "Histogram": [("sample_count", 1, "uint64", False), ("bucket", 3, "Bucket", True)],
    "Metric": [("counter", 3, "Value", False), ("histogram", 7, "Histogram", False)],
    "Family": [("name", 1, "string", False), ("metric", 4, "Metric", True)],
    "Message": [("identifier", 1, "Identifier", False), ("metrics", 2, "Family", True)],
}
_MANAGER = "http."  # what Envoy counts of an HTTP connection manager begins with this and its stat_prefix
_OWN = ("admin", "async-client")  # managers that serve nobody's traffic
_COUNTED = {"downstream_rq_completed": 0, "downstream_rq_5xx": 1}
_TIME = "downstream_rq_time"
_RELOADS = (".vm_reload_success", ".vm_reload_failure", ".vm_reload_backoff")
MOST_PLUGINS = 64  # more than a fleet has slots
LONGEST_NAME = 100  # characters of a manager's and of a plugin's
FIRST_BOUND, LAST_BOUND = 0.01, 1e7  # milliseconds; what is beyond them is not told apart


def _describe() -> Any:
    """The class of the outermost message."""
    file = FileDescriptorProto(name="wasmhub/stats.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = DescriptorProto(name=name)
        for field, number, kind, many in fields:
            label = FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
            one = message.field.add(name=field, number=number, label=label)
            if kind in _KINDS:
                one.type = _KINDS[kind]
            else:
                one.type, one.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        file.message_type.append(message)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Message"))


STATS_MESSAGE = _describe()


def read_message(raw: bytes) -> Any:
    """The message, or None for bytes that are none."""
    try:
        return STATS_MESSAGE.FromString(raw)
    except DecodeError:
        return None


def node_of(message: Any) -> str:
    """The name of the node that speaks, which its first message has; empty in the others."""
    return str(message.identifier.node.id)


def sample_of(message: Any) -> Sample:
    """What is counted of the traffic and of the filters. Counters run from the start of the proxy; times do not."""
    sample = Sample()
    for family in message.metrics:
        name = family.name
        if name.startswith(_MANAGER):
            _read_manager(sample, name, family.metric)
        elif name.startswith("wasm.") and name.endswith(_RELOADS):
            plugin, _, what = name.removeprefix("wasm.").rpartition(".")
            if _is_name(plugin) and (len(sample.reloads) < MOST_PLUGINS or plugin in sample.reloads):
                sample.reloads.setdefault(plugin, {})[what] = _value(family.metric)
    return sample


def _read_manager(sample: Sample, name: str, metrics: Any) -> None:
    manager, _, what = name.removeprefix(_MANAGER).rpartition(".")
    if manager in _OWN or not _is_name(manager) or (what not in _COUNTED and what != _TIME):
        return
    if manager not in sample.managers and len(sample.managers) >= MOST_MANAGERS:
        return
    counts = sample.managers.setdefault(manager, [0, 0])
    if what in _COUNTED:
        counts[_COUNTED[what]] = _value(metrics)
        return
    for metric in metrics:
        before = 0
        for bucket in metric.histogram.bucket:
            count = bucket.cumulative_count - before
            before = bucket.cumulative_count
            if count > 0:
                key = bound_of(bucket.upper_bound)
                sample.times[key] = sample.times.get(key, 0) + count
        if metric.histogram.sample_count > before:
            sample.times["inf"] = sample.times.get("inf", 0) + metric.histogram.sample_count - before


def bound_of(upper: float) -> str:
    """The bound as it is counted under: two digits of it, so that there are some hundreds, whatever a proxy says."""
    if not upper <= LAST_BOUND:  # nor is NaN
        return "inf"
    return f"{float(f'{max(upper, FIRST_BOUND):.2g}'):g}"


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and "." not in name


def _value(metrics: Any) -> int:
    value = sum(metric.counter.value for metric in metrics)
    return int(value) if 0 <= value < 2**62 else 0
