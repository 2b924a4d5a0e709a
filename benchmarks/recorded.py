"""A server that answers as a Kubernetes API server does to the hub: lists, applies, deletes, watches that say nothing.

`python -m benchmarks.recorded PORT FOLDER` serves TLS with the certificate in the folder until it is ended. What it
answers has the fields that kube-apiserver's answers have and the hub looks at; it checks nothing.
"""

import asyncio
import itertools
import json
import ssl
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TARGET = "wasmhub/target"
_WATCHING = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Recorded:
    """The objects that were applied, by kind and target, and then by namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
        self._versions = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers what comes on one connection until it ends."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, where, _ = head.split(" ", 2)
                length = next(
                    (line[15:] for line in head.split("\r\n") if line.lower().startswith("content-length:")), "0"
                )
                body = await reader.readexactly(int(length))
                path, query = urlsplit(where).path, parse_qs(urlsplit(where).query)
                if "watch" in query:
                    writer.write(_WATCHING)
                    await reader.read()  # until it is ended
                    return
                status, answer = self.answer(method, path, query, body)
                content = json.dumps(answer).encode()
                told = (
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
                )
                writer.write(told.encode() + content)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """Status and body of one answer."""
        if path == "/version":
            return 200, {"gitVersion": "v1.36.3"}
        if path.endswith("/selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": True}}
        kind, namespace, name = _parts(path)
        if method == "PATCH":
            return 200, self._applied(kind, namespace, name, json.loads(body))
        if not name:
            selector = dict(one.split("=", 1) for one in query.get("labelSelector", [""])[0].split(",") if "=" in one)
            asked = (
                [(kind, selector[TARGET])] if TARGET in selector else [one for one in self.objects if one[0] == kind]
            )
            held = [pair for one in asked for pair in self.objects[one].items()]
            items = [one for (place, _), one in held if namespace in ("", place)]
            return 200, {"items": items, "metadata": {"resourceVersion": str(next(self._versions))}}
        for (of, _), held in self.objects.items():
            if of == kind and (namespace, name) in held:
                return 200, held.pop((namespace, name)) if method == "DELETE" else held[namespace, name]
        return 404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}

    def _applied(self, kind: str, namespace: str, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        version = str(next(self._versions))
        entry = {"manager": "wasmhub", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {}}
        meta = {**wanted["metadata"], "resourceVersion": version, "generation": 1, "managedFields": [entry]}
        held = self.objects[kind, wanted["metadata"].get("labels", {}).get(TARGET, "")]
        meta["uid"] = held[namespace, name]["metadata"]["uid"] if (namespace, name) in held else f"uid-{version}"
        held[namespace, name] = {**wanted, "metadata": meta}
        return held[namespace, name]


def _parts(path: str) -> tuple[str, str, str]:
    """Kind, namespace and name of a path, the latter two empty where it names none."""
    words = path.strip("/").split("/")
    rest = words[3:] if words[0] == "apis" else words[2:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return rest[0], namespace, rest[1] if len(rest) > 1 else ""


async def main(port: int, folder: Path) -> None:
    """Serves for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(Recorded().serve, "127.0.0.1", port, ssl=context, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
