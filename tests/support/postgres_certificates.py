"""Certificates for a server of a test: an authority, and what it signs."""

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate_pem: bytes


def authority(name: str) -> Authority:
    """A new one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    certificate = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(subject, key, certificate.public_bytes(serialization.Encoding.PEM))


def certificate_for(issuer: Authority, address: str) -> tuple[bytes, bytes]:
    """For a server at an IP address: the certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _for_server(_builder(_named(address), issuer.name, key), address, key, issuer.key)


def self_signed(address: str) -> tuple[bytes, bytes]:
    """For a server at an IP address, signed by nobody else: the certificate, no authority's, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _for_server(_builder(_named(address), _named(address), key), address, key, key)


def _for_server(
    builder: x509.CertificateBuilder,
    address: str,
    key: ec.EllipticCurvePrivateKey,
    signs: ec.EllipticCurvePrivateKey,
) -> tuple[bytes, bytes]:
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = builder.add_extension(names, critical=False).sign(signs, hashes.SHA256())
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )
