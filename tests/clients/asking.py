"""What tests that speak as a client read in answers and write in requests."""

import re

import httpx


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the one challenge of a 401."""
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [answer.headers["www-authenticate"]]
    scheme, _, parameters = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', parameters))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def scope_of(repository: str) -> str:
    """The scope that pulling from a repository takes."""
    return f"repository:{repository}:pull"


def codes_of(answer: httpx.Response) -> list[str]:
    """The codes of an error in the dialect of the registry."""
    return [error["code"] for error in answer.json()["errors"]]
