from __future__ import annotations

import pytest

from domain.storage import Bucket, Folder, parse_storage_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///srv/media", Folder("/srv/media")),
        ("file:///srv/my%20media", Folder("/srv/my media")),
        ("s3://tracks", Bucket("tracks")),
        ("s3://tracks/studio/a/?region=eu-central-1", Bucket("tracks", "studio/a", None, "eu-central-1")),
        ("s3://tracks?endpoint=http://127.0.0.1:9000/", Bucket("tracks", "", "http://127.0.0.1:9000", None)),
        (
            "s3://tracks/p?endpoint=https%3A%2F%2Fs3.example&region=auto",
            Bucket("tracks", "p", "https://s3.example", "auto"),
        ),
    ],
)
def test_a_storage_url_names_a_folder_or_a_bucket(url, place):
    assert parse_storage_url(url) == place


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://host/media", "must be file:///folder or s3://bucket"),
        ("media", "must be file:///folder"),
        ("file://srv/media", "three slashes"),
        ("file:///", "absolute folder"),
        ("file:///srv/media?x=1", "folder only"),
        ("s3:///prefix", "must name a bucket"),
        ("s3://key:secret@bucket", "AWS_ACCESS_KEY_ID"),
        ("s3://Bucket_1", "lower-case"),
        ("s3://tracks/a/../b", "prefix"),
        ("s3://tracks?endpiont=https://s3.example", "no other options"),
        ("s3://tracks?endpoint=s3.example", "needs an endpoint like"),
    ],
)
def test_a_malformed_storage_url_is_told_what_to_write(url, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_storage_url(url)
