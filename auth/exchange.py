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

SHOWN = 5  # audiences that a sentence names


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
        """A token of the robot of that whole name, if this token stands for it.

        Whoever asks names the robot: else rules of one team could change whom another's jobs stand for. No issuer is
        called that the robot's rules do not name. Raises ExchangeRefused.
        """
        try:
            issuer, audiences = claimed(token)
            found = await self._database.look(self._candidates, robot, issuer, audiences)
            if not found:
                raise ExchangeRefused(
                    f"no trust rule of the robot {quoted(robot)} wants tokens of the issuer {quoted(issuer)} for the"
                    f" audience {', '.join(map(quoted, audiences[:SHOWN]))}, or there is no such robot"
                )
            claims = await self._foreign.verify(token, issuer, found[0].trust.audience)
        except (ForeignTokenRefused, IssuerUnavailable) as error:
            raise ExchangeRefused(str(error)) from None
        # The signature is the same for every audience, and each rule's is one that the token names.
        met = next((one for one in found if meets(one.trust.claims, claims)), None)
        if met is None:
            raise ExchangeRefused(
                f"the token is good, but its claims meet no trust rule of the robot {quoted(robot)}; its subject is"
                f" {quoted(claims.get('sub'))}"
            )
        return await anyio.to_thread.run_sync(self._keep, met, str(claims.get("sub", "")), address)

    def _candidates(self, robot: str, issuer: str, audiences: list[str]) -> list[Candidate]:
        with self._database.read() as session:
            return candidates(session, robot, issuer, audiences)

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
