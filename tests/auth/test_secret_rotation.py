"""One secret key follows another: at real hubs that are restarted, alone and beside replicas, on both engines."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary

from auth.secrets import SecretKey
from storage.all_tables import METADATA
from storage.database import Database
from storage.events import SYSTEM
from storage.hubs import identify_hub
from storage.keys import rotate_signing_key, signing_keys
from storage.sealing import MARK, reseal, sealed_columns
from tests.auth.factors import ME, PAGE, code_of, forget_steps
from tests.auth.people import PASSWORD, People
from tests.auth.test_sessions import csrf_of, sign_in, who
from tests.engines import SETS, engines
from tests.hub import HubProcess

pytestmark = pytest.mark.once("it chooses its engines itself")
OLD, NEW = "the first key, of a hub in a test", "the second key, of a hub in a test"
STEP = "/sign-in/second-factor"


class Restarted:
    """A hub whose secret keys change, and somebody there who has an authenticator app."""

    def __init__(self, folder: Path, engine: str, name: str = "hub", shares: "Restarted | None" = None) -> None:
        told = dict(shares.told) if shares is not None else engines(engine).settings(folder / name)
        self.told = {key: value for key, value in told.items() if not key.startswith("WASMHUB_SECRET")}
        self.hub = HubProcess(folder / name, **self.told)
        self.app = shares.app if shares is not None else ""

    def __enter__(self) -> "Restarted":
        return self

    def __exit__(self, *_: object) -> None:
        if self.hub.process is not None and self.hub.process.poll() is None:
            self.hub.stop()

    def start(self, key: str, **more: str) -> None:
        """Starts it, or starts it again, with that key."""
        if self.hub.process is not None and self.hub.process.poll() is None:
            self.hub.stop()
        keys = {"WASMHUB_SECRET_KEY": key} | {f"WASMHUB_{name.upper()}_SECRET_KEY": one for name, one in more.items()}
        self.hub.settings = {**self.told, **keys}
        self.hub.start()

    def enrol(self) -> None:
        """Gives ann an account with an app."""
        with httpx.Client(base_url=self.hub.url, auth=("admin", self.hub.admin_password), trust_env=False) as admin:
            admin.post("/api/v1/users", json={"name": "ann", "password": PASSWORD}).raise_for_status()
        with httpx.Client(base_url=self.hub.url, auth=("ann", PASSWORD), trust_env=False) as ann:
            self.app = ann.post(f"{ME}/totp", json={"proof": PASSWORD}).json()["secret"]
            ann.post(f"{ME}/totp/confirm", json={"code": code_of(self.app)}).raise_for_status()

    def signs_in(self) -> bool:
        """Whether ann's app is good here."""
        database = self.hub.open_database()
        forget_steps(People(database), "ann")
        database.close()
        with httpx.Client(base_url=self.hub.url, timeout=30, trust_env=False) as browser:
            sign_in(browser, "ann")
            return browser.post(STEP, data={"code": code_of(self.app)}).status_code == 303 and who(browser) == 200

    def bearer(self) -> str:
        """A new registry token of admin's."""
        got = httpx.get(f"{self.hub.url}/token", auth=("admin", self.hub.admin_password), trust_env=False)
        return str(got.json()["token"])

    def takes(self, bearer: str) -> bool:
        """Whether a registry token is good here."""
        headers = {"Authorization": f"Bearer {bearer}"}
        return httpx.get(f"{self.hub.url}/v2/", headers=headers, trust_env=False).status_code == 200

    def sealed(self) -> list[bytes]:
        """All that is sealed."""
        database = self.hub.open_database()
        both = "SELECT sealed_secret FROM totps UNION ALL SELECT sealed_private FROM signing_keys"
        found = People(database).rows(both)
        database.close()
        return [bytes(row[0]) for row in found]


@pytest.fixture(params=["embedded", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine of metadata."""
    assert request.param in SETS
    return str(request.param)


@pytest.fixture
def admin_browser(engine: str, tmp_path: Path) -> Iterator[tuple[Restarted, httpx.Client]]:
    """A hub with the old key, and a browser in which admin has signed in."""
    one = Restarted(tmp_path, engine)
    one.start(OLD)
    with one, httpx.Client(base_url=one.hub.url, timeout=30, trust_env=False) as browser:
        sign_in(browser, "admin", one.hub.admin_password)
        yield one, browser


def save(browser: httpx.Client, csrf: str) -> int:
    """What a form of the account's page is answered."""
    return browser.post("/account", data={"csrf": csrf, "form": "profile", "full_name": "A"}).status_code


def test_everything_goes_over_at_a_restart(admin_browser: tuple[Restarted, httpx.Client]) -> None:
    one, browser = admin_browser
    one.enrol()
    bearer, form, before = one.bearer(), csrf_of(browser), one.sealed()
    assert len(before) == 2
    with pytest.raises(RuntimeError, match="WASMHUB_OLD_SECRET_KEY"):
        one.start(NEW)
    assert one.sealed() == before

    one.start(NEW, old=OLD)
    assert "2 secrets are sealed with the new one" in one.hub.log()
    assert all(SecretKey(NEW).unseal(sealed) for sealed in one.sealed()) and not set(one.sealed()) & set(before)
    assert one.signs_in() and one.takes(bearer) and one.takes(one.bearer())
    assert len(one.sealed()) == 2  # no signing key was made anew
    assert save(browser, form) == 303 and save(browser, csrf_of(browser)) == 303 and save(browser, "0" * 64) == 403

    one.start(NEW, old=OLD)
    assert "sealed with the new one" not in one.hub.log()
    one.start(NEW)
    assert one.signs_in() and one.takes(bearer)
    assert save(browser, form) == 403 and save(browser, csrf_of(browser)) == 303
    with pytest.raises(RuntimeError, match="the secret key is not the one"):
        one.start(OLD)
    one.start(NEW)


def test_replicas_go_over_one_after_the_other(tmp_path: Path) -> None:
    first = Restarted(tmp_path, "postgresql")
    first.start(OLD)
    first.enrol()
    second = Restarted(tmp_path, "postgresql", "second", first)
    second.start(OLD)
    with first, second:
        for one in (first, second):
            one.start(OLD, next=NEW)
        first.start(NEW, old=OLD)
        with httpx.Client(base_url=first.hub.url, timeout=30, trust_env=False) as browser:
            sign_in(browser, "admin", first.hub.admin_password)
            form = csrf_of(browser)
            for _ in range(2):  # the second round after a crash in the middle
                assert second.signs_in() and first.signs_in()
                assert first.takes(second.bearer()) and second.takes(first.bearer())
                browser.base_url = httpx.URL(second.hub.url)
                assert save(browser, form) == 303
                browser.base_url = httpx.URL(first.hub.url)
                assert save(browser, csrf_of(browser)) == 303
                begun = httpx.post(
                    f"{second.hub.url}{ME}/totp",
                    auth=("admin", second.hub.admin_password),
                    json={"proof": second.hub.admin_password},
                    trust_env=False,
                )
                assert begun.status_code == 201, begun.text
                second.start(OLD, next=NEW)
        assert all(SecretKey(NEW).unseal(sealed) for sealed in first.sealed())
        second.start(NEW, old=OLD)
        assert second.signs_in() and len(second.sealed()) == 3  # what admin has begun, too
        assert PAGE in httpx.get(f"{second.hub.url}{PAGE}", trust_env=False).headers["location"]


def test_a_replica_with_the_old_key_alone_writes_nothing_that_nobody_opens(tmp_path: Path) -> None:
    first = Restarted(tmp_path, "postgresql")
    first.start(OLD)
    first.enrol()
    second = Restarted(tmp_path, "postgresql", "second", first)
    second.start(OLD)
    with first, second:
        first.start(NEW, old=OLD)
        assert not second.signs_in() and first.signs_in()
        begun = httpx.post(
            f"{second.hub.url}{ME}/totp",
            auth=("admin", second.hub.admin_password),
            json={"proof": second.hub.admin_password},
            trust_env=False,
        )
        assert begun.status_code == 409 and "this replica has the old one" in begun.text
        got = httpx.get(f"{second.hub.url}/token", auth=("admin", second.hub.admin_password), trust_env=False)
        assert got.status_code == 503 and "retry-after" in got.headers
        assert all(SecretKey(NEW).unseal(sealed) for sealed in first.sealed()) and len(first.sealed()) == 1
        second.hub.check_log()


def test_no_column_with_secrets_is_forgotten() -> None:
    plain = {("manifests", "content"), ("passkeys", "public_key")}
    binary = {
        (table.name, column.name)
        for table in METADATA.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    sealed = {(table.name, name) for table, name in sealed_columns()}
    assert binary - plain == sealed, "a column that holds something sealed is named so, others are listed here"
    named = {one for one in binary if MARK.strip("_") in one[1]}
    assert named == sealed
    assert all(len(table.primary_key.columns) == 1 for table, _ in sealed_columns())


def test_what_cannot_be_opened_stays_and_what_is_older_goes_over(tmp_path: Path) -> None:
    database, old, new = Database(tmp_path / "hub.db"), SecretKey(OLD), SecretKey(NEW, SecretKey(OLD))
    database.migrate()
    identify_hub(database, old.check)
    nonce = bytes(12)
    aged = b"\x01" + nonce + AESGCM(old.derive("seal")).encrypt(nonce, b"word", b"\x01")
    lost = b"\x01" + bytes(40)
    for kid, sealed, before in (("a", aged, None), ("b", lost, "a")):
        rotate_signing_key(database, SYSTEM, kid=kid, public_jwk={}, sealed_private=sealed, replaces=before)
    done = reseal(database, old.check, new.check, lambda sealed: new.seal(new.unseal(sealed)))
    assert done is not None and (done.done, done.lost) == (1, 1)
    with database.read() as session:
        kept = {row.kid: row.sealed_private for row in signing_keys(session, grace=10**9)}
    assert SecretKey(NEW).unseal(kept["a"]) == b"word" and kept["b"] == lost
    assert reseal(database, old.check, new.check, lambda sealed: b"never") is None
    database.close()
