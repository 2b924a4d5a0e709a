"""The secret key in the data folder, sealing, and the form of random secrets."""

import re
import stat
import threading
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from auth import passwords
from auth.secrets import PERSONAL, REFRESH, SESSION, SecretKey, hint, is_secret, load_secret_key, new_secret
from storage.database import StorageError
from tests.hub import HubProcess


def test_the_key_is_made_once_and_for_the_owner_alone(embedded: None, hub: HubProcess, tmp_path: Path) -> None:
    assert stat.S_IMODE((hub.data / "secret.key").stat().st_mode) == 0o600
    sealed = load_secret_key(None, tmp_path).seal(b"word")
    assert load_secret_key(None, tmp_path).unseal(sealed) == b"word"
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_many_processes_make_one_key(tmp_path: Path) -> None:
    sealed: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: sealed.append(load_secret_key(None, tmp_path).seal(b"word"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = load_secret_key(None, tmp_path)
    assert [key.unseal(one) for one in sealed] == [b"word"] * 20
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("content", ["", "short", "\n" * 100])
def test_a_damaged_key_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.key").write_text(content)
    with pytest.raises(StorageError, match=r"secret\.key holds no secret key"):
        load_secret_key(None, tmp_path)
    with pytest.raises(StorageError, match="cannot be read or made"):
        load_secret_key(None, tmp_path / "not-there")


def test_sealing() -> None:
    key = SecretKey("one key of the settings")
    sealed = key.seal(b"word")
    assert b"word" not in sealed
    assert key.seal(b"word") != sealed
    assert SecretKey("one key of the settings").unseal(sealed) == b"word"
    with pytest.raises(ValueError, match="another secret key"):
        SecretKey("another key").unseal(sealed)
    for damaged in (b"", sealed[:-1], sealed[:5], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x03" + sealed[1:]):
        with pytest.raises(ValueError, match="another secret key"):
            key.unseal(damaged)
    assert key.derive("csrf") != key.derive("seal")


def test_secrets_can_be_recognised() -> None:
    for prefix in (PERSONAL, REFRESH, SESSION):
        secret = new_secret(prefix)
        assert re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{42}}", secret)
        assert is_secret(secret, prefix)
        assert hint(secret) == secret[:8]
        others = {PERSONAL, REFRESH, SESSION} - {prefix}
        assert not any(is_secret(secret, other) for other in others)
        changed = secret[:-1] + ("a" if secret[-1] != "a" else "b")
        for wrong in (
            changed,
            secret[:-1],
            secret + "a",
            "",
            secret.replace(prefix, "whp" if prefix != "whp" else "whr"),
        ):
            assert not is_secret(wrong, prefix)
    assert len({new_secret(PERSONAL) for _ in range(100)}) == 100


def test_unknown_names_cost_as_much_as_wrong_passwords() -> None:
    hasher: PasswordHasher = passwords._HASHER
    assert not hasher.check_needs_rehash(passwords._NOBODY)
    assert not hasher.check_needs_rehash(passwords.hash_password("some password"))
    assert not passwords._matches(passwords._NOBODY, "")
    assert not passwords._matches("no hash at all", "x")
