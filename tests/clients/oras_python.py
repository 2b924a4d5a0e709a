"""A program on the `oras` package, for a process of its own: login HOST USER, push REFERENCE FILE,
chunked REFERENCE FILE, pull REFERENCE.
"""

import sys

import oras.client

MODULE_TYPE = "application/vnd.module.wasm.content.layer.v1+wasm"


def main(verb: str, target: str, *rest: str) -> None:
    client = oras.client.OrasClient(hostname=target.partition("/")[0], insecure=True)
    if verb == "login":
        client.login(username=rest[0], password=sys.stdin.read(), hostname=target)
    elif verb == "push":
        answer = client.push(target, files=[f"{rest[0]}:{MODULE_TYPE}"])
        print(answer.status_code)
    elif verb == "chunked":
        answer = client.push(target, files=[f"{rest[0]}:{MODULE_TYPE}"], do_chunked=True, chunk_size=100_000)
        print(answer.status_code)
    else:
        print(client.pull(target, outdir="pulled-by-oras")[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
