"""Which network addresses a download may reach: public ones, and what `ANTIPHON_FETCH_ALLOW` names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Addresses that a NAT64 gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
MAX_PORT = 65535


@dataclass(frozen=True)
class FetchAllow:
    """The private places that downloads may reach all the same; a host with the port None means any port."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[Network, ...] = ()

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection to `address`, which `host` resolved to, may be opened."""
        name = host.lower().rstrip(".")
        if (name, None) in self.hosts or (name, port) in self.hosts:
            return True
        if any(address in network for network in self.networks):
            return True
        inner = _embedded(address)
        if inner is None:
            return is_public(address)
        return is_public(inner) or any(inner in network for network in self.networks)


def parse_fetch_allow(text: str) -> FetchAllow:
    """Read `ANTIPHON_FETCH_ALLOW`. Raises `ValueError`, whose text continues the variable's name."""
    hosts: set[tuple[str, int | None]] = set()
    networks: list[Network] = []
    for entry in filter(None, (piece.strip().lower() for piece in text.split(","))):
        network = _network(entry)
        if network is not None:
            networks.append(network)
        else:
            hosts.add(_host_and_port(entry))
    return FetchAllow(frozenset(hosts), tuple(networks))


def is_public(address: Address) -> bool:
    """Whether `address` is of the open internet: not private, loopback, link-local, multicast or reserved."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that a transition form of IPv6 really leads to, if it is one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        if "/" in entry:
            raise _malformed(entry) from None
        return None


def _host_and_port(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":")
    if not colon:
        host, port = entry, ""
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= MAX_PORT):
        raise _malformed(entry)
    return _host(host, entry), int(port) if port else None


def _host(text: str, entry: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ip_address(text[1:-1]))
        except ValueError:
            raise _malformed(entry) from None
    if not _HOST.fullmatch(text):
        raise _malformed(entry)
    return text.rstrip(".")


def _malformed(entry: str) -> ValueError:
    return ValueError(f"must list hosts, host:port or networks like 10.0.0.0/8, not {entry!r}")
