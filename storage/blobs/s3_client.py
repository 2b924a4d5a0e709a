"""Calls to one bucket: bounded in number and time, tried again a little, and what went wrong in one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from storage.blobs.store import Bucket, Missing
from storage.database import StorageError

log = logging.getLogger("wasmhub.s3")
CONNECTIONS = 50  # more than a process has threads to call from
CONNECT_SECONDS = 3
READ_SECONDS = 20
TRIES = 3
URL_SECONDS = 600
PIECE = 2**18  # bytes
ABSENT = ("NoSuchKey", "404", "NotFound", "InvalidRange", "416")  # the last two: it ends before what was asked for
NO_PARTS = ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall")


# What an answer's code means for "the bucket so-and-so".
_SAID = {
    ("XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"): "is full; make room and try again",
    ("NoSuchBucket", "404", "NotFound"): "is not there; make it, or name another",
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"): (
        "refuses the credentials; see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role"
    ),
    ("AccessDenied", "403", "Forbidden"): (
        "may not be used with these credentials; the hub must read, write, delete and list there"
    ),
    ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"): "is in another region; set WASMHUB_S3_REGION",
}


class NoParts(StorageError):
    """A multipart upload cannot be completed as its row says, or is not there any more."""


class Objects:
    """The objects of one bucket below its prefix. Safe to use from many threads."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._prefix = bucket.prefix
        # While the hub starts, whoever starts it says in one sentence what is wrong.
        self.log_level = logging.DEBUG
        logging.getLogger("botocore").setLevel(logging.WARNING)  # It tells where it found credentials.
        encryption, _, key = (bucket.encryption or "").partition(":kms:")
        wanted = {"ServerSideEncryption": "aws:kms" if key else encryption, "SSEKMSKeyId": key}
        self._sealed = {name: value for name, value in wanted.items() if value}
        with self._translated():
            self._session = boto3.session.Session()
            self._client = self._connect(bucket.endpoint, READ_SECONDS, TRIES)
            self._hasty = self._connect(bucket.endpoint, CONNECT_SECONDS, 1)
            self._public = self._connect(bucket.public_endpoint, READ_SECONDS, 1) if bucket.public_endpoint else None

    def put(self, key: str, content: bytes | bytearray) -> None:
        """Stores an object whole."""
        with self._translated():
            self._client.put_object(**self._at(key), Body=content, **self._sealed)

    def put_first(self, key: str, content: bytes) -> None:
        """Stores an object where there is none yet, and else does nothing, if the service can tell the two apart."""
        try:
            with self._translated():
                self._client.put_object(**self._at(key), Body=content, IfNoneMatch="*", **self._sealed)
        except _Exists:
            return
        except _NotImplementedThere:
            self.put(key, content)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """An object from `start` on, up to `stop` or its end: all of it, or an error. Raises Missing.

        What is cut short is asked for again from where it ended.
        """
        pieces: list[bytes] = []
        for tries_left in reversed(range(TRIES)):
            at = start + sum(map(len, pieces))
            asked = {} if stop is None and not at else {"Range": f"bytes={at}-{'' if stop is None else stop - 1}"}
            with self._translated():
                answer = self._client.get_object(**self._at(key), **asked)
            body = answer["Body"]
            try:
                if stop is not None and answer["ContentLength"] != stop - at:
                    raise Missing  # of what its row promises: who scrubs or backs up goes on with the next
                with self._translated():  # A body that ends before its end raises.
                    pieces.extend(body.iter_chunks(PIECE))
                break
            except _Cut:
                if not tries_left:
                    raise
            finally:
                body.close()
        return b"".join(pieces)

    def size(self, key: str) -> int | None:
        """How large an object is, if it is there."""
        try:
            with self._translated():
                return int(self._client.head_object(**self._at(key))["ContentLength"])
        except Missing:
            return None

    def remove(self, key: str, *, hasty: bool = False) -> None:
        """Removes an object; one that is not there is no error. If hasty, one try of three seconds must do."""
        with self._translated():
            (self._hasty if hasty else self._client).delete_object(**self._at(key))

    def begin(self, key: str) -> str:
        """Begins a multipart upload, and returns its id."""
        with self._translated():
            return str(self._client.create_multipart_upload(**self._at(key), **self._sealed)["UploadId"])

    def put_part(self, key: str, upload: str, number: int, content: bytes) -> str:
        """Stores a part, and returns its ETag. Raises NoParts."""
        with self._translated():
            answer = self._client.upload_part(**self._at(key), UploadId=upload, PartNumber=number, Body=content)
            return str(answer["ETag"])

    def complete(self, key: str, upload: str, tags: list[str]) -> None:
        """Makes the object of exactly those parts. Raises NoParts."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        with self._translated():
            self._client.complete_multipart_upload(**self._at(key), UploadId=upload, MultipartUpload={"Parts": parts})

    def abort(self, key: str, upload: str, *, hasty: bool = False) -> None:
        """Gives up a multipart upload; one that is not there is no error. If hasty, one try must do."""
        try:
            with self._translated():
                (self._hasty if hasty else self._client).abort_multipart_upload(**self._at(key), UploadId=upload)
        except NoParts:
            return

    def listed(self, folder: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Objects below a folder by key, from after that one on."""
        at = self._prefix + folder
        with self._translated():
            answer = self._client.list_objects_v2(
                Bucket=self._bucket.name, Prefix=at, StartAfter=at + after, MaxKeys=limit
            )
        return [{**one, "Key": one["Key"].removeprefix(at)} for one in answer.get("Contents", ())]

    def begun(self, folder: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Multipart uploads below a folder by key, from after that one on; of services that tell them."""
        at = self._prefix + folder
        try:
            with self._translated():
                answer = self._client.list_multipart_uploads(
                    Bucket=self._bucket.name, Prefix=at, KeyMarker=at + after, MaxUploads=limit
                )
        except (_NotImplementedThere, NoParts):  # The latter is what rclone says where there are none.
            return []
        return [{**one, "Key": one["Key"].removeprefix(at)} for one in answer.get("Uploads", ())]

    def signed_url(self, key: str) -> str:
        """A URL at the public endpoint that anybody can read the object from for a while."""
        assert self._public is not None
        with self._translated():
            return str(self._public.generate_presigned_url("get_object", Params=self._at(key), ExpiresIn=URL_SECONDS))

    def look(self) -> None:
        """Asks the bucket whether it is there, without patience."""
        with self._translated():
            self._hasty.head_bucket(Bucket=self._bucket.name)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": self._prefix + key}

    def _connect(self, endpoint: str | None, read_seconds: int, tries: int) -> Any:
        """A client; credentials are found by boto3's own chain: variables, files, the machine's or the pod's role."""
        bucket = self._bucket
        addressing = bucket.addressing
        if addressing == "auto":
            addressing = "path" if endpoint else "virtual"
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"total_max_attempts": tries, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            signature_version="s3v4",
            s3={"addressing_style": addressing},
            # Newer checksums only where the protocol demands them: other makes of S3 do not know them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self._session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=bucket.region or self._session.region_name or "us-east-1",
            verify=str(bucket.ca_bundle) if bucket.ca_bundle else None,
            config=config,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one place where what boto3 raises becomes a sentence for users, and its own words go to the log."""
        try:
            yield
        except ClientError as error:
            raise self._answered(error) from error
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
            log.log(self.log_level, "S3: %s", error)
            raise StorageError(
                "no credentials for the bucket of WASMHUB_BLOBS were found; set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, or give this machine or pod a role"
            ) from error
        except SSLError as error:
            log.log(self.log_level, "S3: %s", error)
            raise StorageError(
                "the certificate of WASMHUB_S3_ENDPOINT cannot be verified; name its authority in WASMHUB_S3_CA_BUNDLE"
            ) from error
        except BotoCoreError as error:
            log.log(self.log_level, "S3: %s", error)
            where = f"S3 at {self._bucket.endpoint} (WASMHUB_S3_ENDPOINT)" if self._bucket.endpoint else "S3"
            # What is cut in the middle of a body is worth another try; before that, boto3 has tried already.
            kind = StorageError if isinstance(error, ConnectionError) else _Cut
            raise kind(f"{where} cannot be reached or does not answer; try again in a moment") from error
        except (OSError, ValueError) as error:
            log.log(self.log_level, "S3: %s", error)
            raise StorageError(
                "the bucket of WASMHUB_BLOBS cannot be used as the WASMHUB_S3_ settings say; see the hub's log"
            ) from error

    def _answered(self, error: ClientError) -> StorageError:
        """What an answer that refuses means."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        name = f"the bucket {self._bucket.name} of WASMHUB_BLOBS"
        if code in ABSENT and error.operation_name in ("GetObject", "HeadObject"):
            return Missing()
        if code in NO_PARTS:
            return NoParts("the parts of this upload are lost; begin a new one")
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
            return _Exists(f"{name} holds this object already")
        if code in ("NotImplemented", "MethodNotAllowed", "501"):
            return _NotImplementedThere(f"the service of {name} cannot do what the hub needs")
        log.log(self.log_level, "S3: %s", error)
        said = next(
            (said for codes, said in _SAID.items() if code in codes), "cannot do that now; try again in a moment"
        )
        return StorageError(f"{name} {said}")


class _Cut(StorageError):
    """A body ended before its end."""


class _Exists(StorageError):
    """There is such an object already."""


class _NotImplementedThere(StorageError):
    """This make of S3 does not have that call."""
