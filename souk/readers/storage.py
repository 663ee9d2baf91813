"""Where files lie: on a disk, in an object store, or wherever else fsspec has a driver for.

S3 and what speaks its protocol (MinIO, Ceph, R2) is reached by the driver that pyarrow has in it, which every image of
Souk has, and in which every wait has an end.
"""

from __future__ import annotations

import os

import fsspec

CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 1.0, 3.0, 3  # an attempt at a store that hangs ends after 9 s (measured)


def storage(address: str, attempts: int = ATTEMPTS) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of an address, and the path in it.

    `s3://` takes its credentials where the AWS SDK looks for them, its region from `AWS_REGION` (else it asks for the
    bucket's), and another store's address from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.

    Args:
        address: a path, or a URL.
        attempts: at each call to an S3 store; 1 for who tries again later.

    Raises:
        ImportError: fsspec's driver for this kind of address is not installed.
        ValueError: there is no such kind of address.
        OSError: the bucket's region is not set and cannot be asked for.
    """
    if not address.startswith("s3://"):
        found: tuple[fsspec.AbstractFileSystem, str] = fsspec.core.url_to_fs(address)
        return found
    path = address.removeprefix("s3://").strip("/")
    bucket = path.partition("/")[0]
    if not bucket:
        raise ValueError("s3://BUCKET/PATH names no bucket")
    from fsspec.implementations.arrow import ArrowFSWrapper

    return ArrowFSWrapper(_s3(bucket, attempts), skip_instance_cache=True), path


def _s3(bucket: str, attempts: int) -> object:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        region=region or (None if endpoint else resolve_s3_region(bucket)),
        endpoint_override=endpoint,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
        allow_delayed_open=True,  # a small object is one call, and never a part of one
    )
