from __future__ import annotations

from ipaddress import ip_address

import pytest

from domain.addresses import FetchAllow, parse_fetch_allow

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",  # carrier-grade NAT
    "169.254.169.254",  # cloud metadata
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a00:1",  # NAT64 of 10.0.0.1
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_in_every_form(address):
    assert not FetchAllow().permits("cdn.example", 443, ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_permitted(address):
    assert FetchAllow().permits("cdn.example", 443, ip_address(address))


@pytest.mark.parametrize(
    ("text", "host", "port", "address"),
    [
        ("minio", "minio", 9000, "10.0.0.5"),
        ("minio", "MinIO.", 80, "10.0.0.5"),
        ("minio:9000", "minio", 9000, "10.0.0.5"),
        ("127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.1"),
        ("[::1]:9000", "::1", 9000, "::1"),
        ("10.0.0.0/8, 192.168.0.0/16", "anything", 80, "192.168.3.4"),
        ("127.0.0.1", "localhost", 80, "127.0.0.1"),
        ("10.0.0.0/8", "mapped", 80, "::ffff:10.0.0.5"),
        ("fd00::/8", "store", 80, "fd00::5"),
    ],
)
def test_what_is_named_is_permitted(text, host, port, address):
    assert parse_fetch_allow(text).permits(host, port, ip_address(address))


@pytest.mark.parametrize(
    ("text", "host", "port", "address"),
    [
        ("", "minio", 9000, "10.0.0.5"),
        ("minio:9000", "minio", 9001, "10.0.0.5"),
        ("minio", "evil.minio", 80, "10.0.0.5"),
        ("10.0.0.0/8", "other", 80, "192.168.0.1"),
        ("127.0.0.1:9000", "localhost", 9000, "127.0.0.1"),
    ],
)
def test_what_is_not_named_stays_refused(text, host, port, address):
    assert not parse_fetch_allow(text).permits(host, port, ip_address(address))


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://minio", "minio:0", "minio:99999", "mi nio", "[::x]:1", "a..b"])
def test_a_malformed_entry_is_shown_with_what_to_write(text):
    with pytest.raises(ValueError, match=r"must list hosts, host:port or networks"):
        parse_fetch_allow(text)
