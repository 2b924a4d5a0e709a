"""What is wrong with a hub's bucket stops its start, in one sentence that names the setting."""

import secrets
from pathlib import Path

import pytest

from tests.hub import HubProcess
from tests.storage.stores import minio
from tests.wasmhub.test_start import ALONE, start

# What is set otherwise than it should be, and what the hub says.
WRONG = [
    ({"WASMHUB_BLOBS": "s3://not-there-at-all"}, "the bucket not-there-at-all of WASMHUB_BLOBS is not there; make it"),
    ({"AWS_ACCESS_KEY_ID": "nobody"}, "of WASMHUB_BLOBS refuses the credentials; see AWS_ACCESS_KEY_ID"),
    ({"AWS_SECRET_ACCESS_KEY": "not-the-one"}, "of WASMHUB_BLOBS refuses the credentials; see AWS_ACCESS_KEY_ID"),
    ({"WASMHUB_S3_ENDPOINT": "http://127.0.0.1:1"}, "S3 at http://127.0.0.1:1 (WASMHUB_S3_ENDPOINT) cannot be reached"),
    ({"WASMHUB_S3_ENDPOINT": "127.0.0.1:9000"}, "WASMHUB_S3_ENDPOINT in the environment"),
    ({"WASMHUB_S3_CA_BUNDLE": "/not/there.pem", "WASMHUB_S3_ENDPOINT": "https://127.0.0.1:1"}, "WASMHUB_S3_"),
]


@ALONE
@pytest.mark.parametrize(("other", "says"), WRONG)
def test_a_bucket_that_cannot_be_used(tmp_path: Path, other: dict[str, str], says: str) -> None:
    settings = minio().settings("start") | other
    assert says in start(tmp_path / "data", **settings)


def test_a_bucket_of_another_hub(tmp_path: Path) -> None:
    settings = minio().settings(f"start-{secrets.token_hex(4)}")
    with HubProcess(tmp_path / "first", **settings):
        says = start(tmp_path / "second", **settings)
        assert "which holds the blobs of another hub's database; give each database a bucket" in says
        assert "WASMHUB_BLOBS is s3://" in says
        beside = settings | {"WASMHUB_BLOBS": settings["WASMHUB_BLOBS"] + "/beside"}
        with HubProcess(tmp_path / "third", **beside):
            pass


def test_a_folder_of_another_hub(tmp_path: Path) -> None:
    settings = {"WASMHUB_BLOBS": str(tmp_path / "blobs")}
    with HubProcess(tmp_path / "first", **settings):
        says = start(tmp_path / "second", **settings)
    assert f"WASMHUB_BLOBS is the folder {tmp_path / 'blobs'}, which holds the blobs of another hub's database" in says
