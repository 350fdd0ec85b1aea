"""Topics over TLS: the server's name counts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.hints import Hint
from tests.faults import FaultProxy
from tests.topics import (
    PATIENCE,
    Valkey,
    asleep,
    running,
    until,
    valkey,
)

__all__ = ["asleep", "valkey"]  # fixtures


def certificate(folder: Path, name: x509.GeneralName) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a self-signed certificate for `name`, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "antiphon test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate_file, both = folder / "certificate.pem", folder / "both.pem"
    certificate_file.write_bytes(signed.public_bytes(pem))
    both.write_bytes(key_text + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, certificate_file


async def test_hints_travel_over_tls(valkey: Valkey, tmp_path: Path):
    tls, authority = certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    async with FaultProxy(valkey.port, tls=tls) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority}"
        async with running(url) as topics, topics.subscribe("tracks") as subscription:
            assert await subscription.ready(PATIENCE)
            await topics.publish("tracks", "1")
            assert await subscription.wait(PATIENCE) == Hint("tracks", "1")


async def test_a_certificate_for_another_name_is_refused(valkey: Valkey, tmp_path: Path):
    tls, authority = certificate(tmp_path, x509.DNSName("somebody.else"))
    async with (
        FaultProxy(valkey.port, tls=tls) as proxy,
        running(f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={authority}") as topics,
    ):
        await until(lambda: topics.health.reason is not None)
        assert "certificate" in str(topics.health.reason)
