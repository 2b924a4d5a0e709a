"""Settings: what each takes, and that what cannot be taken is named in one sentence."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from storage.blobs.store import Bucket
from storage.shared import RedisAddress
from wasmhub.settings import Address, Settings, SettingsError, load_settings, settings_fields, shown_settings


def test_all_are_optional() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert settings.listen == Address("127.0.0.1", 8080)
    assert (settings.data, settings.create_namespace_on_push) == (Path("data"), "admins")
    assert settings.sign_up == "invitation"
    assert settings.database == Path("data/hub.db")
    assert settings.blob_place == Path("data/blobs")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("LISTEN", "0.0.0.0:0", "listen", Address("0.0.0.0", 0)),
        ("LISTEN", "[::1]:80", "listen", Address("::1", 80)),
        ("DATA", "/srv/hub", "data", Path("/srv/hub")),
        ("DATABASE_URL", "sqlite:////srv/x.db", "database", Path("/srv/x.db")),
        ("BLOBS", "/srv/blobs", "blob_place", Path("/srv/blobs")),
        ("BLOBS", "s3://bucket", "blob_place", Bucket("bucket")),
        ("BLOBS", "s3://my.bucket/hubs/one", "blob_place", Bucket("my.bucket", "hubs/one/")),
        ("S3_ENDPOINT", "http://minio:9000", "s3_endpoint", "http://minio:9000"),
        ("S3_ENCRYPTION", "aws:kms:alias/hub", "s3_encryption", "aws:kms:alias/hub"),
        ("REDIS_URL", "redis://localhost", "redis_url", RedisAddress("localhost")),
        ("REDIS_URL", "redis://:a%40b@10.0.0.1:7000/3", "redis_url", RedisAddress("10.0.0.1", 7000, 3, password="a@b")),
        (
            "REDIS_URL",
            "rediss://hub:word@[::1]",
            "redis_url",
            RedisAddress("::1", tls=True, user="hub", password="word"),
        ),
        ("PUBLIC_URL", "https://hub.example.com:8443/", "public_url", "https://hub.example.com:8443"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("CREATE_NAMESPACE_ON_PUSH", "everyone", "create_namespace_on_push", "everyone"),
        ("SIGN_UP", "open", "sign_up", "open"),
        ("BLOB_LIMIT", "512MiB", "blob_limit", 512 * 2**20),
        ("BLOB_LIMIT", "1000", "blob_limit", 1000),
        ("GC_INTERVAL", "0", "gc_interval", 0),
        ("GC_LEASE", "60", "gc_lease", 60),
        ("LOG", "json", "log", "json"),
    ],
)
def test_what_each_takes(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load_settings({f"WASMHUB_{name}": value}), field) == expected


CANNOT_BE_TAKEN = [
    ("GC_INTERVAL", "1h"),
    ("GC_LEASE", "0"),
    ("GC_GRACE", "-1"),
    ("GC_ORPHANS", ""),
    ("LISTEN", "8080"),
    ("LISTEN", ":8080"),
    ("LISTEN", "host:http"),
    ("LISTEN", "host:70000"),
    ("LISTEN", "host:²"),
    ("LISTEN", "a..b:80"),
    ("LISTEN", ""),
    ("DATA", ""),
    ("DATA", "~nobody-of-that-name/data"),
    ("DATABASE_URL", "postgresql://localhost"),
    ("DATABASE_URL", "postgresql://localhost:port/"),
    ("DATABASE_URL", "postgresql+psycopg://localhost/hub"),
    ("DATABASE_CONNECTIONS", "1"),
    ("DATABASE_CONNECTIONS", "many"),
    ("DATABASE_URL", "mysql://localhost/hub"),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", "/srv/hub.db"),
    ("BLOBS", "s3://"),
    ("BLOBS", "s3://Bucket"),
    ("BLOBS", "s3://bucket?x=1"),
    ("BLOBS", "s3://key:secret@bucket"),
    ("BLOBS", "https://s3.example.com/bucket"),
    ("S3_ENDPOINT", "minio:9000"),
    ("S3_ENDPOINT", "https://key:secret@minio:9000"),
    ("S3_ADDRESSING", "dns"),
    ("S3_ENCRYPTION", "aes"),
    ("S3_PUBLIC_ENDPOINT", "s3.example.com"),
    ("BLOBS", ""),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "redis:/localhost"),
    ("REDIS_URL", "reddis://localhost"),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://:secret-word@"),
    ("REDIS_URL", "redis://:secret-word@localhost:port"),
    ("REDIS_URL", "redis://:secret-word@localhost:0"),
    ("REDIS_URL", "redis://:secret-word@localhost:70000"),
    ("REDIS_URL", "redis://:secret-word@local host"),
    ("REDIS_URL", "redis://:secret-word@localhost/one"),
    ("REDIS_URL", "redis://:secret-word@localhost/0/1"),
    ("REDIS_URL", "redis://:secret-word@localhost?db=1"),
    ("REDIS_URL", "redis://:secret-word@[::1"),
    ("REDIS_URL", "redis://:secret-word#@localhost"),
    ("REDIS_URL", "redis://user@localhost"),
    ("PUBLIC_URL", "hub.example.com"),
    ("PUBLIC_URL", "ftp://hub.example.com"),
    ("PUBLIC_URL", "https://hub.example.com/path"),
    ("PUBLIC_URL", "https://hub.example.com/#part"),
    ("PUBLIC_URL", "https://hub.example.com:99999"),
    ("PUBLIC_URL", "https://user@hub.example.com"),
    ("PUBLIC_URL", "https://hub.example.com\nX: y"),
    ("PUBLIC_URL", "http://[::1"),
    ("SECRET_KEY", "short"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ("TRUSTED_PROXIES", "proxy.example.com"),
    ("ADMIN_PASSWORD", "short"),
    ("CREATE_NAMESPACE_ON_PUSH", "Everyone"),
    ("SIGN_UP", "yes"),
    ("BLOB_LIMIT", "-1"),
    ("BLOB_LIMIT", "0"),
    ("BLOB_LIMIT", "1 PiB"),
    ("BLOB_LIMIT", "1e9"),
    ("LOG", "xml"),
    ("TLS_CERT", "/srv/cert.pem"),
    ("NO_SUCH_THING", "1"),
    ("LISTEN_", "127.0.0.1:80"),
]


@pytest.mark.parametrize(("name", "value"), CANNOT_BE_TAKEN)
def test_what_cannot_be_taken_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({f"WASMHUB_{name}": value})
    sentence = str(caught.value)
    assert f"WASMHUB_{name}" in sentence
    assert "\n" not in sentence
    if "SECRET" in name or "PASSWORD" in name:
        assert value not in sentence
    assert "secret-word" not in sentence


def test_a_file_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('listen = "127.0.0.1:9"\nWASMHUB_LOG = "json"\nblob_limit = 5\ntrusted_proxies = ["10.0.0.0/8"]\n')
    settings = load_settings({"WASMHUB_CONFIG": str(file), "WASMHUB_LISTEN": "127.0.0.1:10"})

    assert settings.listen.port == 10
    assert (settings.log, settings.blob_limit) == ("json", 5)
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('listne = "127.0.0.1:9"', "WASMHUB_LISTNE"),
        ("blob_limit = true", "WASMHUB_BLOB_LIMIT"),
        ("blob_limit = 1.5", "WASMHUB_BLOB_LIMIT"),
        ("[listen]\nport = 8080", "WASMHUB_LISTEN"),
        ('data = "a\\u0000b"', "WASMHUB_DATA"),
        ('listen = "127.0.0.1:9"\nWASMHUB_LISTEN = "127.0.0.1:10"', "WASMHUB_LISTEN"),
        ("listen = ", "WASMHUB_CONFIG"),
        ("\x00", "WASMHUB_CONFIG"),
    ],
)
def test_what_a_file_says_wrongly_is_named(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings({"WASMHUB_CONFIG": str(file)})
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("path", ["/nowhere/hub.toml", "/"])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(SettingsError, match="WASMHUB_CONFIG"):
        load_settings({"WASMHUB_CONFIG": path})


def test_the_documentation_names_every_setting() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    names = [f"WASMHUB_{item.name.upper()}" for item in settings_fields()]
    assert [name for name in names if name not in text] == []


def test_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('blob_limit = "2GiB"\nadmin_password = "a-very-secret-one"\n')
    environment = {
        "WASMHUB_CONFIG": str(file),
        "WASMHUB_DATABASE_URL": "postgresql://hub:hidden-word@db.example.com/hub",
        "WASMHUB_REDIS_URL": "redis://user:hidden-word@redis.example.com",
        "WASMHUB_SECRET_KEY": "hidden-word-of-many-characters",
        "WASMHUB_LISTEN": "0.0.0.0:9000",
    }
    settings = load_settings(environment)
    rows = {row["name"]: row for row in shown_settings(settings)}
    assert rows.keys() == {f"WASMHUB_{item.name.upper()}" for item in settings_fields()}
    assert (rows["WASMHUB_BLOB_LIMIT"]["value"], rows["WASMHUB_BLOB_LIMIT"]["source"]) == ("2GiB", str(file))
    assert (rows["WASMHUB_LISTEN"]["value"], rows["WASMHUB_LISTEN"]["source"]) == ("0.0.0.0:9000", "the environment")
    assert (rows["WASMHUB_GC_GRACE"]["value"], rows["WASMHUB_GC_GRACE"]["source"]) == ("3600", "the default")
    for name in ("WASMHUB_DATABASE_URL", "WASMHUB_REDIS_URL", "WASMHUB_SECRET_KEY", "WASMHUB_ADMIN_PASSWORD"):
        assert rows[name]["value"] == "set, not shown"
    assert "hidden-word" not in repr(settings.given) and "very-secret" not in repr(settings.given)
