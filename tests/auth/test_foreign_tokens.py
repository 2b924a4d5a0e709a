"""Tokens that issuers signed: good ones, and those that a hostile or mistaken job sends."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from auth.foreign_tokens import MOST_AUDIENCES, ForeignTokenRefused, ForeignTokens, claimed
from auth.issuers import PAUSE, Issuers, IssuerUnavailable
from auth.outgoing import Outgoing
from tests.auth.issuer import JWKS, Issuer, Key, document, public

LOOPBACK = [ip_network("127.0.0.1/32")]
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EC384 = ECKey.generate_key("P-384", {"kid": "ec384"})
EC521 = ECKey.generate_key("P-521", {"kid": "ec521"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = ECKey.generate_key("P-256", {"kid": "ec"})  # bears the name of another's key


def encoded(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def signed(header: dict[str, Any], claims: Any, key: Any = EC, algorithm: str = "ES256") -> str:
    """A token made by hand, so that its header may say anything."""
    head = f"{encoded(header)}.{encoded(claims)}"
    return f"{head}.{encoded(JWSRegistry.algorithms[algorithm].sign(head.encode(), key))}"


async def verified(issuer: Issuer, token: str, audience: str = "hub", **kept: Any) -> dict[str, Any]:
    return dict(await ForeignTokens(Issuers(Outgoing(LOOPBACK, **kept))).verify(token, issuer.url, audience))


def outcome(make: Callable[[Issuer], str], *keys: Key, audience: str = "hub") -> tuple[str, Issuer]:
    """The sentence with which a token is refused, if its issuer publishes these keys."""

    async def ask() -> tuple[str, Issuer]:
        async with Issuer() as issuer:
            issuer.publish(*map(public, keys or (EC, RSA)))
            with pytest.raises(ForeignTokenRefused) as refused:
                await verified(issuer, make(issuer), audience)
            return str(refused.value), issuer

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [*((RSA, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")), (EC, "ES256"), (EC384, "ES384"),
     (EC521, "ES512"), (ED, "Ed25519")],
)  # fmt: skip
def test_tokens_of_every_algorithm(key: Key, algorithm: str) -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.publish(*(public(one) for one in (RSA, EC, EC384, EC521, ED)))
            token = issuer.token(key, algorithm, repository="a/b")
            claims = await verified(issuer, token)
            assert claims["repository"] == "a/b" and claimed(token) == (issuer.url, ["hub"])

    asyncio.run(ask())


def test_the_older_name_of_ed25519() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.publish(public(ED, alg="EdDSA"))
            claims = {"iss": issuer.url, "aud": "hub", "exp": time.time() + 60}
            for name in ("EdDSA", "Ed25519"):
                await verified(issuer, signed({"alg": name, "kid": "ed"}, claims, ED, "Ed25519"))

    asyncio.run(ask())


def test_a_token_over_https(tmp_path: Path) -> None:
    async def ask() -> None:
        async with Issuer(tmp_path, "localhost") as issuer:
            issuer.publish(public(EC))
            assert (await verified(issuer, issuer.token(EC), ca_bundle=tmp_path / "cert.pem"))["sub"] == "job"
            with pytest.raises(IssuerUnavailable, match="no certificate that the hub trusts"):
                await verified(issuer, issuer.token(EC))

    asyncio.run(ask())


def test_what_is_good_beside_the_usual() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.publish(public(EC), public(RSA, alg="RS256"))
            now = time.time()
            later = {"nbf": now + 30, "iat": now + 30}
            for claims in (
                {"aud": ["x", "hub"]},
                {"exp": now + 0.5},
                {"exp": now - 30},
                later,
                {"nbf": None, "iat": None},
            ):
                await verified(issuer, issuer.token(EC, **claims))
            claims = {"iss": issuer.url, "aud": "hub", "exp": now + 60}
            await verified(issuer, signed({"alg": "ES256"}, claims))  # one key alone fits
            await verified(issuer, signed({"alg": "ES256", "kid": "ec", "unknown": [1], "typ": "JWT"}, claims))

    asyncio.run(ask())


def forged(header: dict[str, Any]) -> Callable[[Issuer], str]:
    """A token whose header leads to the stranger's key, which signed it."""
    return lambda issuer: issuer.token(STRANGER, header={"kid": "ec", **header})


def hand(header: dict[str, Any], **claims: Any) -> Callable[[Issuer], str]:
    return lambda issuer: signed(
        {"alg": "ES256", "kid": "ec", **header}, {"iss": issuer.url, "aud": "hub", "exp": time.time() + 60, **claims}
    )


def unsigned(name: str) -> Callable[[Issuer], str]:
    claims = {"aud": "hub", "exp": 2**33}
    return lambda issuer: f"{encoded({'alg': name, 'kid': 'ec'})}.{encoded({'iss': issuer.url, **claims})}."


def by_hmac(key: Key) -> Callable[[Issuer], str]:
    """Signed by HMAC with what everybody knows: the public key."""

    def make(issuer: Issuer) -> str:
        claims = {"iss": issuer.url, "aud": "hub", "exp": 2**33}
        head = f"{encoded({'alg': 'HS256', 'kid': key.kid})}.{encoded(claims)}"
        return f"{head}.{encoded(hmac.digest(key.as_pem(private=False), head.encode(), 'sha256'))}"

    return make


def tampered(issuer: Issuer) -> str:
    first, _, third = issuer.token(EC).split(".")
    return f"{first}.{encoded({'iss': issuer.url, 'aud': 'hub', 'exp': 2**33, 'sub': 'admin'})}.{third}"


ALGORITHM = "it must be one of RS256, "
NOT_ITS_OWN = "the token's signature is not its issuer's"
HOSTILE: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "audience": (lambda issuer: issuer.token(EC, aud="x"), "the token's audience is 'x', not 'hub'"),
    "audiences": (lambda issuer: issuer.token(EC, aud=["x", "hub2"]), "the token's audience is 'x', 'hub2', not 'hub'"),
    "no audience": (lambda issuer: issuer.token(EC, aud=None), "the token names no audience; it must be 'hub'"),
    "empty audience": (hand({}, aud=[]), "the token names no audience"),
    "audience in a text": (lambda issuer: issuer.token(EC, aud="my hub"), "audience is 'my hub'"),
    "audience is an object": (hand({}, aud={"hub": 1}), "the token's audience is not a text"),
    "many audiences": (hand({}, aud=["x" * 200] * 50), "..., not 'hub'"),
    "terminal": (hand({}, aud="\x1b[2J"), r"'\x1b[2J'"),
    "half a letter": (hand({}, aud="\ud800"), "this is not a signed JSON Web Token"),
    "issuer": (lambda issuer: issuer.token(EC, iss="https://x"), "the token's issuer is 'https://x', not 'http://127"),
    "issuer with a slash": (lambda issuer: issuer.token(EC, iss=issuer.url + "/"), "the token's issuer is"),
    "no issuer": (lambda issuer: issuer.token(EC, iss=None), "the token's issuer is none, not"),
    "issuers": (hand({}, iss=["x"]), "the token's issuer is not a text"),
    "none": (unsigned("none"), f"signed with 'none'; {ALGORITHM}"),
    "None": (unsigned("nOnE"), f"signed with 'nOnE'; {ALGORITHM}"),
    "no signature": (unsigned("ES256"), NOT_ITS_OWN),
    "HMAC by the EC key": (by_hmac(EC), f"signed with 'HS256'; {ALGORITHM}"),
    "HMAC by the RSA key": (by_hmac(RSA), f"signed with 'HS256'; {ALGORITHM}"),
    "no algorithm": (hand({"alg": None}), f"signed with none; {ALGORITHM}"),
    "algorithm is a list": (hand({"alg": ["ES256"]}), f"signed with not a text; {ALGORITHM}"),
    "the key of another kind": (hand({"alg": "RS256"}), "the issuer publishes no key 'ec' for RS256"),
    "another curve": (hand({"alg": "ES384"}), "the issuer publishes no key 'ec' for ES384"),
    "unknown key": (hand({"kid": "x"}), "the token is signed with the key 'x', which its issuer does not publish"),
    "kid is a path": (hand({"kid": "../../dev/null"}), "does not publish"),
    "kid is a number": (hand({"kid": 7}), "the token's header `kid` is not a text"),
    "another's key": (forged({}), NOT_ITS_OWN),
    "its own key": (forged({"jwk": STRANGER.as_dict(private=False)}), NOT_ITS_OWN),
    "crit": (hand({"crit": ["b64"], "b64": False}), "the token demands extensions (its header `crit`)"),
    "crit that is empty": (hand({"crit": []}), "the token demands extensions"),
    "tampered": (tampered, NOT_ITS_OWN),
    "expired": (lambda issuer: issuer.token(EC, exp=int(time.time()) - 300), "the token expired 30"),
    "never expires": (
        lambda issuer: issuer.token(EC, exp=None),
        "the token never expires; it must have the claim `exp`",
    ),
    "issued in five minutes": (
        lambda issuer: issuer.token(EC, iat=time.time() + 305, nbf=None, exp=time.time() + 900),
        "the token's time `iat` is 30",
    ),
    "good in five minutes": (lambda issuer: issuer.token(EC, nbf=time.time() + 305), "`nbf` is 30"),
    "expires by a text": (hand({}, exp="2099"), "the token's claim `exp` is not a number of seconds since 1970"),
    "expires by a truth": (hand({}, exp=True), "`exp` is not a number"),
    "expires after all": (hand({}, exp=10**30), "`exp` is not a number"),
    "issued by a list": (hand({}, iat=[1]), "`iat` is not a number"),
    "infinity": (hand({}, exp=float("inf")), "not a signed JSON Web Token"),
    "not a number": (hand({}, nbf=float("nan")), "not a signed JSON Web Token"),
    "infinity in digits": (
        lambda issuer: signed({"alg": "ES256", "kid": "ec"}, b'{"iss":"%s","exp":1e999}' % issuer.url.encode()),
        "`exp` is not a number",
    ),
    "claims are a list": (lambda _: signed({"alg": "ES256"}, []), "not a signed JSON Web Token"),
    "deep claims": (lambda _: signed({"alg": "ES256"}, b"[" * 10_000), "not a signed JSON Web Token"),
    "claims in another encoding": (lambda _: signed({"alg": "ES256"}, b'{"a":"\xff"}'), "not a signed JSON Web Token"),
    "empty": (lambda _: "", "not a signed JSON Web Token"),
    "a word": (lambda _: "token", "not a signed JSON Web Token"),
    "dots": (lambda _: "..", "not a signed JSON Web Token"),
    "encrypted": (lambda _: "e30.a.b.c.d", "not a signed JSON Web Token"),
    "not ASCII": (lambda _: "e30.é.x", "not a signed JSON Web Token"),
    "not base64url": (lambda _: "e30=.e+/0.x", "not a signed JSON Web Token"),
    "long": (lambda _: "x" * 16385, "the token has 16385 characters; at most 16384 are read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_tokens_that_are_refused(name: str) -> None:
    make, said = HOSTILE[name]
    sentence, issuer = outcome(make)
    assert said in sentence
    assert len(sentence) < 800 and sentence.isprintable() and "\n" not in sentence
    assert not issuer.asked.keys() - {"/.well-known/openid-configuration", JWKS}


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_nobody_is_asked_for_keys_that_a_token_names(name: str) -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.publish(public(EC))
            issuer.answers["/theirs"] = document({"keys": [public(STRANGER)]})
            claims = {"iss": issuer.url, "aud": "hub", "exp": time.time() + 60}
            header = {"alg": "ES256", "kid": "ec", name: f"{issuer.url}/theirs"}
            with pytest.raises(ForeignTokenRefused, match=NOT_ITS_OWN):
                await verified(issuer, signed(header, claims, STRANGER))
            await verified(issuer, signed(header, claims))  # the issuer's own is good whatever it says there
            assert "/theirs" not in issuer.asked

    asyncio.run(ask())


def test_nobody_is_asked_for_the_token_of_another_issuer() -> None:
    _, issuer = outcome(lambda issuer: issuer.token(EC, iss="https://other.example"))
    assert not issuer.asked


def test_a_key_that_is_for_one_algorithm_only() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.publish(public(RSA, alg="PS256"))
            await verified(issuer, issuer.token(RSA, "PS256"))
            with pytest.raises(ForeignTokenRefused, match="publishes no key 'rsa' for RS256"):
                await verified(issuer, issuer.token(RSA, "RS256"))

    asyncio.run(ask())


def test_two_keys_of_one_name() -> None:
    sentence, _ = outcome(lambda issuer: issuer.token(EC), EC, STRANGER)
    assert sentence == "the issuer publishes more than one key 'ec' for ES256"

    async def ask() -> None:
        async with Issuer() as issuer:  # RFC 7517, 4.5: of two kinds, they are told apart by the algorithm
            issuer.publish(public(EC), public(RSA, kid="ec"), public(EC))
            await verified(issuer, issuer.token(EC))
            await verified(issuer, issuer.token(RSA, "RS256", {"kid": "ec"}))

    asyncio.run(ask())


def test_a_token_that_names_no_key_where_there_are_several() -> None:
    other = ECKey.generate_key("P-256", {"kid": "other"})
    sentence, _ = outcome(lambda issuer: signed({"alg": "ES256"}, {"iss": issuer.url}), EC, other)
    assert sentence == "the token does not name its key (its header `kid`), and its issuer has several"


def test_rotation_is_found_by_the_first_token_of_the_new_key() -> None:
    async def ask() -> None:
        moment = 1000.0
        async with Issuer() as issuer:
            tokens = ForeignTokens(Issuers(Outgoing(LOOPBACK), lambda: moment))
            issuer.publish(public(EC))
            await tokens.verify(issuer.token(EC), issuer.url, "hub")
            with pytest.raises(ForeignTokenRefused, match="does not publish"):
                await tokens.verify(issuer.token(RSA, "RS256"), issuer.url, "hub")
            moment += PAUSE
            issuer.publish(public(RSA))
            await tokens.verify(issuer.token(RSA, "RS256"), issuer.url, "hub")
            with pytest.raises(ForeignTokenRefused, match="does not publish"):  # withdrawn
                await tokens.verify(issuer.token(EC), issuer.url, "hub")

    asyncio.run(ask())


def test_whose_a_token_claims_to_be() -> None:
    assert claimed(signed({"alg": "ES256"}, {"iss": "https://a", "aud": ["x", 7, "y"]})) == ("https://a", ["x", "y"])
    assert len(claimed(signed({"alg": "ES256"}, {"iss": "https://a", "aud": ["x"] * 1000}))[1]) == MOST_AUDIENCES
    for claims in ({"aud": "x"}, {"iss": 7, "aud": "x"}, {"iss": None, "aud": "x"}):
        with pytest.raises(ForeignTokenRefused, match="names no issuer"):
            claimed(signed({"alg": "ES256"}, claims))
    for audience in (None, [], [7], {"x": 1}):
        with pytest.raises(ForeignTokenRefused, match="names no audience"):
            claimed(signed({"alg": "ES256"}, {"iss": "https://a", "aud": audience}))
