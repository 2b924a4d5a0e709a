"""Requests that the demo makes, each printed as the `curl` line that makes the same one."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import httpx

from examples.demo.saying import DemoFailed, answered, typed


@dataclass(frozen=True)
class Curl:
    """Asks the hub. In the lines, its URL is $WASMHUB_URL and a token is the variable that holds it."""

    hub: str
    quiet: bool = False  # whether it prints nothing

    def ask(
        self,
        method: str,
        path: str,
        *,
        sign_in: httpx.Auth | None = None,
        bearer: tuple[str, str] | None = None,
        body: Path | str = "",
        kind: str = "",
    ) -> httpx.Response:
        """Sends a request. `sign_in` is the administrator's, by token; `bearer` a variable's name and its value.

        Raises DemoFailed unless it is answered with a status below 400.
        """
        line = ["curl -s"] + ([f"-X {method}"] if method != "GET" else [])
        line += ['-u "admin:$WASMHUB_TOKEN"'] if sign_in else []
        line += [f'-H "Authorization: Bearer ${bearer[0]}"'] if bearer else []
        line += [f'-H "Content-Type: {kind}"'] if kind else []
        line += [f"--data-binary {f'@{body.name}' if isinstance(body, Path) else shlex.quote(body)}"] if body else []
        if not self.quiet:
            typed(" ".join([*line, f'"$WASMHUB_URL{path}"']))
        headers = {"Authorization": f"Bearer {bearer[1]}"} if bearer else {}
        headers |= {"Content-Type": kind} if kind else {}
        content = body.read_bytes() if isinstance(body, Path) else body.encode()
        with httpx.Client(base_url=self.hub, trust_env=False, timeout=30) as http:
            answer = http.request(method, path, headers=headers, auth=sign_in, content=content)
        if answer.status_code >= 400:
            raise DemoFailed(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer


def mark_of(url: str, *, quiet: bool = False) -> str | None:
    """The header `x-filter` of a response through the proxy, if there is one."""
    with httpx.Client(trust_env=False, timeout=10) as http:
        answer = http.get(url)
    if answer.status_code != 200:
        raise DemoFailed(f"the proxy answered {answer.status_code}")
    mark: str | None = answer.headers.get("x-filter")
    if not quiet:
        typed(f"curl -si {url} | grep -i -e HTTP/ -e x-filter")
        answered(f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}")
        if mark is not None:
            answered(f"x-filter: {mark}")
    return mark
