"""The hub's JSON API as the commands ask it: bounded in time and size, and every failure a sentence."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from wasmhub.cli.command import CommandFailed, WrongUse
from wasmhub.cli.sign_ins import current_hub, find_sign_in

USUAL_URL = "http://127.0.0.1:8080"
SECONDS = 30  # for one answer, all in all
MOST_BYTES = 32 * 1024 * 1024  # of one answer
MOST_PAGES = 1000
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_WAY_IN = "`wasmhub login` signs you in, or set WASMHUB_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT = "wasmhub"  # what the command calls itself
NOBODY = ("", "")


class Unreachable(CommandFailed):
    """No answer came; asking again later may help."""


class Refused(CommandFailed):
    """The hub said no: with an HTTP status and, at its token service, the word that OAuth has for it."""

    def __init__(self, message: str, status: int, word: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.word = word


class Document(dict[str, Any]):
    """A JSON object of the hub's; a field that is missing is the hub's failure, not the command's."""

    def __missing__(self, name: str) -> Any:
        raise CommandFailed(f"the hub's answer has no {name}; it may be older or newer than this command")


class Hub:
    """A hub, asked with a token, or with a user name and password; empty ones are for what needs nobody signed in.

    Unless they are given, the hub is that of WASMHUB_URL, or the one that `wasmhub login` signed in to last, and the
    token that of WASMHUB_TOKEN, or what `wasmhub login` keeps for this very hub.
    """

    def __init__(self, sign_in: tuple[str, str] | str | None = None, url: str | None = None) -> None:
        self.url = url or hub_url()
        self._by_token = sign_in is None or isinstance(sign_in, str)
        headers = {"Accept": "application/json", "User-Agent": CLIENT}
        if isinstance(sign_in, tuple):
            headers |= {"Authorization": _basic(*sign_in)} if sign_in != NOBODY else {}
        else:
            headers["Authorization"] = f"Bearer {_token(self.url) if sign_in is None else sign_in}"
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=SECONDS,
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,  # a proxy of the environment cannot reach that
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, *path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        """The JSON that the hub answers, None if nothing. `path` are the parts below /api/v1. Raises CommandFailed."""
        where = "/".join(["/api/v1", *map(_part, path)])
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return self._send(method, where, params=query, content=content, headers=headers)

    def exchange(self, form: dict[str, str]) -> Any:
        """What the token service gives for such a form (RFC 8693). Raises CommandFailed."""
        return self._send("POST", "/token", data={"grant_type": EXCHANGE, **form})

    def lines(self, *path: str, query: dict[str, str] | None = None) -> Iterator[str]:
        """The lines of a long answer as they come, which may take any time in all. Raises CommandFailed."""
        where = "/".join(["/api/v1", *map(_part, path)])
        with self._explaining(), self._http.stream("GET", where, params=query) as answer:
            if not answer.is_success:
                self._read(answer, self._body(answer), where)
            yield from answer.iter_lines()

    def fetch(self, where: str) -> bytes:
        """The bytes at that path of the hub. Raises CommandFailed."""
        with self._explaining(), self._http.stream("GET", where) as answer:
            body = self._body(answer)
            if not answer.is_success:
                raise Refused(f"{self.url} answered {answer.status_code} to {where}", answer.status_code)
            return body

    def begin_login(self, form: dict[str, str]) -> Any:
        """The codes by which this program waits for an approval (RFC 8628). Raises CommandFailed."""
        return self._send("POST", "/device_authorization", data={"client_id": CLIENT, **form})

    def fetch_token(self, device_code: str) -> Any:
        """The token that was approved. Raises Refused with OAuth's word for why there is none (yet)."""
        form = {"grant_type": DEVICE_CODE, "client_id": CLIENT, "device_code": device_code}
        return self._send("POST", "/token", data=form)

    def revoke(self, token: str) -> None:
        """Ends a token (RFC 7009). Raises CommandFailed."""
        self._send("POST", "/revoke", data={"token": token})

    def _send(self, method: str, where: str, **more: Any) -> Any:
        with self._explaining(), self._http.stream(method, where, **more) as answer:
            return self._read(answer, self._body(answer), where)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Makes what goes wrong on the way a sentence."""
        try:
            yield
        except httpx.ConnectError as error:
            raise Unreachable(self._unreachable(error)) from None
        except httpx.TimeoutException:
            raise Unreachable(f"the hub at {self.url} did not answer within {SECONDS} s; try again") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"the way to {self.url} broke: {error or type(error).__name__}; try again") from None

    def pages(self, key: str, *path: str) -> list[dict[str, Any]]:
        """All entries of a list that comes in pages. Raises CommandFailed."""
        found: list[dict[str, Any]] = []
        after = ""
        for _ in range(MOST_PAGES):
            page = self.ask("GET", *path, query={"after": after} if after else None)
            found += page[key]
            after = page.get("next")
            if not after:
                return found
        raise CommandFailed(f"the list is longer than {len(found)} entries")

    def _body(self, answer: httpx.Response) -> bytes:
        end = time.monotonic() + SECONDS
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise CommandFailed(f"the answer of {self.url} is larger than {MOST_BYTES} bytes")
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the answer takes too long")
        return bytes(body)

    def _read(self, answer: httpx.Response, body: bytes, where: str) -> Any:
        if answer.status_code == 204:
            return None
        try:
            value = json.loads(body, object_hook=Document)
            if not isinstance(value, Document):
                raise ValueError("no JSON object")
            message = "" if answer.is_success else _message(value)
        except (ValueError, TypeError, RecursionError):
            raise CommandFailed(
                f"{self.url} answered {answer.status_code} to {where}, not as a wasmhub does; check WASMHUB_URL"
            ) from None
        if answer.is_success:
            return value
        if answer.status_code == 401 and self._by_token:
            message = f"the hub at {self.url} does not accept the token: {message}; {_WAY_IN}"
        word = value.get("error")
        raise Refused(message, answer.status_code, word if isinstance(word, str) else "")

    def _unreachable(self, error: httpx.ConnectError) -> str:
        if "CERTIFICATE" in str(error):
            return f"the certificate of {self.url} is not trusted ({error}); SSL_CERT_FILE names further authorities"
        return f"no hub answers at {self.url} ({error}); start one with `wasmhub serve`, or set WASMHUB_URL"


def _message(value: dict[str, Any]) -> str:
    """The sentence in a refusal: of the API, or of the token service."""
    return str(value["errors"][0]["message"] if "errors" in value else value["error"]["message"])


def hub_url(given: str | None = None) -> str:
    """The hub that is meant: given, of WASMHUB_URL, of the last `wasmhub login`, or here. Raises WrongUse."""
    what = "WASMHUB_URL is"
    if given is not None:
        what, given = "the hub is", given if "://" in given else _with_scheme(given)
    else:
        given = os.environ.get("WASMHUB_URL") or current_hub() or USUAL_URL
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and not parts.query
        good = good and " " not in given and parts.port != 0 and parts.username is None and bool(httpx.URL(given).host)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise WrongUse(f"{what} {given!r}; it must be a scheme and a host, such as https://hub.example.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def token_in_use(url: str) -> tuple[str, str]:
    """The token for that hub, empty if there is none, and where it is from. Raises WrongUse."""
    token = os.environ.get("WASMHUB_TOKEN", "").strip()
    if token:
        return token, "WASMHUB_TOKEN"
    kept = find_sign_in(url)
    return (kept.token if kept is not None else ""), "wasmhub login"


def check_token(token: str, what: str) -> str:
    """A token that can be sent. Raises WrongUse for what can be none."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise WrongUse(f"{what} holds something other than a token; {_WAY_IN}")
    return token


def _token(url: str) -> str:
    token, what = token_in_use(url)
    if not token:
        raise WrongUse(f"you are not signed in to {url}; {_WAY_IN}")
    return check_token(token, what)


def _with_scheme(host: str) -> str:
    """An address without its scheme: https, but on this machine."""
    name = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return f"{'http' if name in LOOPBACK else 'https'}://{host}"


def _basic(user: str, password: str) -> str:
    if ":" in user or not user.isprintable():
        raise WrongUse(f"{user!r} is no name of a user")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _part(text: str) -> str:
    """One part of a path. Dots would be taken for a way up."""
    if text in ("", ".", ".."):
        raise WrongUse(f"{text!r} is no name")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise WrongUse(f"{text!r} is not valid UTF-8") from None
