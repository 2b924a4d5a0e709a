"""Issuers: their keys are found, kept and looked for again, and hostile ones are refused."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from auth.issuers import FRESH, LAST, MOST_ISSUERS, PAUSE, Issuers, IssuerUnavailable
from auth.outgoing import Outgoing
from tests.auth.issuer import CONFIGURATION, JWKS, Issuer, document, public, whole

OUTGOING = [ip_network("127.0.0.1/32")]
FIRST, SECOND = (ECKey.generate_key("P-256", {"kid": kid}) for kid in ("first", "second"))


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def issuers_at(clock: Clock) -> Issuers:
    return Issuers(Outgoing(OUTGOING, patience=5), clock)


async def names(issuers: Issuers, url: str, kid: str | None = None) -> list[str | None]:
    return [key.kid for key in await issuers.keys(url, kid)]


async def refusal(issuers: Issuers, url: str, kid: str | None = None) -> str:
    with pytest.raises(IssuerUnavailable) as refused:
        await issuers.keys(url, kid)
    return str(refused.value)


def test_keys_are_kept_for_some_minutes() -> None:
    async def ask() -> None:
        clock = Clock()
        issuers = issuers_at(clock)
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            assert await names(issuers, issuer.url, "first") == ["first"]
            clock.now += FRESH
            assert await names(issuers, issuer.url, "first") == ["first"]
            assert issuer.asked == {CONFIGURATION: 1, JWKS: 1}
            issuer.publish(public(SECOND))
            clock.now += 1
            assert await names(issuers, issuer.url) == ["second"]
            assert issuer.asked == {CONFIGURATION: 2, JWKS: 2}

    asyncio.run(ask())


def test_a_new_key_is_found_at_once_and_unknown_ones_make_few_calls() -> None:
    async def ask() -> None:
        clock = Clock()
        issuers = issuers_at(clock)
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            assert await names(issuers, issuer.url, "first") == ["first"]
            issuer.publish(public(FIRST), public(SECOND))
            clock.now += PAUSE
            assert await names(issuers, issuer.url, "second") == ["second"]
            for number in range(20):
                assert await names(issuers, issuer.url, f"guess {number}") == []
            assert issuer.asked[JWKS] == 2
            clock.now += PAUSE
            assert await names(issuers, issuer.url, "guess") == []
            assert issuer.asked[JWKS] == 3

    asyncio.run(ask())


def test_many_share_one_look_and_it_outlives_the_one_who_began_it() -> None:
    async def ask() -> None:
        issuers = issuers_at(Clock())
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            keys = issuer.answers[JWKS]
            assert isinstance(keys, bytes)
            begun = asyncio.Event()

            async def late(writer: asyncio.StreamWriter) -> None:
                begun.set()
                await asyncio.sleep(0.1)
                writer.write(keys)

            issuer.answers[JWKS] = late
            began = asyncio.create_task(names(issuers, issuer.url, "first"))
            others = [asyncio.create_task(names(issuers, issuer.url, "first")) for _ in range(20)]
            await begun.wait()
            began.cancel()
            assert await asyncio.gather(*others) == [["first"]] * 20
            assert began.cancelled() and issuer.asked == {CONFIGURATION: 1, JWKS: 1}

    asyncio.run(ask())


def test_who_has_a_key_does_not_wait_for_who_guesses_one() -> None:
    async def ask() -> None:
        clock = Clock()
        issuers = issuers_at(clock)
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            await names(issuers, issuer.url)
            going_on = asyncio.Event()

            async def never(_: asyncio.StreamWriter) -> None:
                going_on.set()
                await asyncio.sleep(60)

            issuer.answers[CONFIGURATION] = never
            clock.now += PAUSE
            guess = asyncio.create_task(names(issuers, issuer.url, "guess"))
            await going_on.wait()
            assert await asyncio.wait_for(names(issuers, issuer.url, "first"), 1) == ["first"]
            guess.cancel()

    asyncio.run(ask())


def test_a_broken_issuer_is_left_alone_for_a_while() -> None:
    async def ask() -> None:
        clock = Clock()
        issuers = issuers_at(clock)
        async with Issuer() as issuer:
            for _ in range(5):
                assert "answered with status 404" in await refusal(issuers, issuer.url)
            assert issuer.asked[CONFIGURATION] == 1
            issuer.publish(public(FIRST))
            clock.now += PAUSE
            assert await names(issuers, issuer.url) == ["first"]

    asyncio.run(ask())


def test_the_last_keys_serve_for_an_hour_while_the_issuer_is_gone() -> None:
    async def ask() -> None:
        clock = Clock()
        issuers = issuers_at(clock)
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            await names(issuers, issuer.url)
            issuer.stop()
            clock.now += LAST
            assert await names(issuers, issuer.url, "first") == ["first"]
            assert "cannot be reached" in await refusal(issuers, issuer.url, "second")
            clock.now += 1
            assert "cannot be reached" in await refusal(issuers, issuer.url, "first")

    asyncio.run(ask())


def test_only_so_many_issuers_are_kept() -> None:
    async def ask() -> None:
        issuers = issuers_at(Clock())
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            await names(issuers, issuer.url)
            for number in range(MOST_ISSUERS):
                await refusal(issuers, f"no url {number}")
            await names(issuers, issuer.url)
            assert issuer.asked[JWKS] == 2

    asyncio.run(ask())


@pytest.mark.parametrize("path", ["", "/", "/realms/a", "/realms/a/"])
def test_the_name_of_an_issuer_is_compared_sign_by_sign(path: str) -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            name = issuer.url + path
            issuer.publish(public(FIRST), issuer=name)
            issuer.answers[f"{path.rstrip('/')}{CONFIGURATION}"] = issuer.answers[CONFIGURATION]
            assert await names(issuers_at(Clock()), name) == ["first"]
            for other in (f"{name}/" if not path.endswith("/") else name[:-1], name.replace("http:", "HTTP:")):
                assert "says that its issuer is" in await refusal(issuers_at(Clock()), other)

    asyncio.run(ask())


def many(count: int, **members: Any) -> bytes:
    return document({"keys": [{"kty": "EC", "kid": str(number), **members} for number in range(count)]})


SMALL = "AQAB" * 40
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "another issuer": (
        CONFIGURATION,
        document({"issuer": "https://evil\x1b[2J.example"}),
        r"issuer is 'https://evil\x1b",
    ),
    "no issuer": (CONFIGURATION, document({"jwks_uri": "https://a/"}), "says that its issuer is none"),
    "issuer is a list": (CONFIGURATION, document({"issuer": ["x"]}), "says that its issuer is not a text"),
    "redirect": (CONFIGURATION, whole(b"", "Location: http://169.254.169.254/", status="302 Found"), "no redirect"),
    "10,000 keys": (JWKS, many(10_000), "publishes 10000 keys; at most 100 are read"),
    "10,000 large keys": (JWKS, many(10_000, x="x" * 200), "more than 1 MiB"),
    "no list": (JWKS, document({"keys": {"kty": "EC"}}), "publishes no list of keys"),
    "no keys": (JWKS, document({"keys": []}), "publishes no key that the hub can verify a token with"),
    "nonsense": (JWKS, document({"keys": [1, None, [], "x", {}, {"kty": []}, {"kty": "EC"}]}), "publishes no key"),
    "deep": (JWKS, whole(b'{"keys":' + b"[" * 400_000), "did not answer with a JSON object"),
    "secret": (JWKS, document({"keys": [FIRST.as_dict(private=True)]}), "publishes no key"),
    "symmetric": (JWKS, document({"keys": [OctKey.generate_key(256).as_dict()]}), "publishes no key"),
    "encryption": (JWKS, document({"keys": [public(FIRST, use="enc")]}), "publishes no key"),
    "signs alone": (JWKS, document({"keys": [public(FIRST, key_ops=["sign"])]}), "publishes no key"),
    "small RSA": (JWKS, document({"keys": [{"kty": "RSA", "n": SMALL, "e": "AQAB"}]}), "publishes no key"),
    "huge RSA": (JWKS, document({"keys": [{"kty": "RSA", "n": "x" * 900_000, "e": "AQAB"}]}), "publishes no key"),
    "huge exponent": (JWKS, document({"keys": [{"kty": "RSA", "n": "x" * 683, "e": "x" * 683}]}), "publishes no key"),
    "no point": (JWKS, document({"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]}), "publishes no key"),
    "unknown curve": (JWKS, document({"keys": [public(FIRST, crv="P-1")]}), "publishes no key"),
    "kid is a number": (JWKS, document({"keys": [public(FIRST, kid=7)]}), "publishes no key"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_issuers_that_are_refused(name: str) -> None:
    path, answer, said = HOSTILE[name]

    async def ask() -> str:
        async with Issuer() as issuer:
            issuer.publish(public(FIRST))
            issuer.answers[path] = answer
            return await refusal(issuers_at(Clock()), issuer.url)

    assert said in asyncio.run(ask())


@pytest.mark.parametrize("jwks_uri", ["http://169.254.169.254/", "http://10.0.0.1/", "file:///etc/passwd", "", None, 7])
def test_a_configuration_that_leads_elsewhere(jwks_uri: Any) -> None:
    async def ask() -> str:
        async with Issuer() as issuer:
            issuer.publish(public(FIRST), jwks_uri=jwks_uri)
            return await refusal(issuers_at(Clock()), issuer.url)

    sentence = asyncio.run(ask())
    assert any(said in sentence for said in ("not public", "is no URL", "names no jwks_uri"))


@pytest.mark.parametrize("url", ["", "x", "https://h/?a", "https://h/#a", "https://u:p@h", "http://10.0.0.1"])
def test_issuers_that_are_no_url_to_call(url: str) -> None:
    assert asyncio.run(refusal(issuers_at(Clock()), url))


def test_keys_that_are_not_understood_are_passed_over_and_equal_ones_are_one() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            others = (RSAKey.generate_key(2048, {"kid": "rsa"}), OKPKey.generate_key("Ed25519", {"kid": "ed"}))
            strange = [{"kty": "AKP", "kid": "new"}, {"kty": "oct", "k": "AQ", "kid": "oct"}]
            issuer.publish(public(FIRST), public(FIRST, x5c=["no certificate"]), *strange, *map(public, others))
            assert await names(issuers_at(Clock()), issuer.url) == ["first", "rsa", "ed"]

    asyncio.run(ask())
