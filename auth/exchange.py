"""Workload identity: a token of somebody else's issuer is exchanged for a short one of a robot (RFC 8693)."""

from dataclasses import dataclass, field

import anyio.to_thread

from auth.foreign_tokens import ForeignTokenRefused, ForeignTokens, claimed
from auth.issuers import IssuerUnavailable
from auth.outgoing import quoted
from auth.secrets import ROBOT, fingerprint, hint, new_secret
from auth.trust import meets
from storage.database import Database, now
from storage.trust import Candidate, candidates, exchange

SHOWN = 5  # robots that a sentence names


class ExchangeRefused(Exception):
    """A token that was not exchanged; the text says why in a sentence."""


@dataclass(frozen=True)
class Exchanged:
    """A robot's new token."""

    login: str
    secret: str = field(repr=False)
    seconds: int  # that it is good


class Exchange:
    """Exchanges tokens. One for each process, for one event loop."""

    def __init__(self, database: Database, foreign: ForeignTokens) -> None:
        self._database = database
        self._foreign = foreign

    async def exchange(self, token: str, robot: str, address: str) -> Exchanged:
        """A token of the robot that this token stands for; of `robot`, if it can stand for several.

        No issuer is called that no team trusts. Raises ExchangeRefused.
        """
        try:
            issuer, audiences = claimed(token)
            found = await self._database.look(self._candidates, issuer, audiences)
            if not found:
                raise ExchangeRefused(
                    f"no trust rule of this hub wants tokens of the issuer {quoted(issuer)} for the audience"
                    f" {', '.join(map(quoted, audiences[:SHOWN]))}"
                )
            claims = await self._foreign.verify(token, issuer, found[0].trust.audience)
        except (ForeignTokenRefused, IssuerUnavailable) as error:
            raise ExchangeRefused(str(error)) from None
        # The signature is the same for every audience, and each rule's is one that the token names.
        met = [one for one in found if meets(one.trust.claims, claims)]
        if not met:
            raise ExchangeRefused(
                f"the token is good, but its claims meet no trust rule of this hub; its subject is"
                f" {quoted(claims.get('sub'))}"
            )
        chosen = _choose(met, robot)
        return await anyio.to_thread.run_sync(self._keep, chosen, str(claims.get("sub", "")), address)

    def _candidates(self, issuer: str, audiences: list[str]) -> list[Candidate]:
        with self._database.read() as session:
            return candidates(session, issuer, audiences)

    def _keep(self, chosen: Candidate, subject: str, address: str) -> Exchanged:
        moment, secret = now(), new_secret(ROBOT)
        until = moment + chosen.trust.minutes * 60_000
        if chosen.expires_at is not None:
            until = min(until, chosen.expires_at)
        exchange(
            self._database,
            chosen,
            subject,
            address,
            hint=hint(secret),
            secret_sha256=fingerprint(secret),
            until=until,
        )
        return Exchanged(chosen.login, secret, max(0, (until - moment) // 1000))


def _choose(met: list[Candidate], robot: str) -> Candidate:
    logins = list(dict.fromkeys(one.login for one in met))
    if robot:
        found = next((one for one in met if one.login == robot), None)
        if found is None:
            raise ExchangeRefused(f"the token does not stand for the robot {robot[:150]!r}")
        return found
    if len(logins) > 1:
        some = ", ".join(logins[:SHOWN]) + (", ..." if len(logins) > SHOWN else "")
        raise ExchangeRefused(f"the token stands for several robots; name one as `robot`: {some}")
    return met[0]
