"""Certificates that the suite itself never makes: of strange names, or ended, of an authority in a directory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def issue(
    directory: Path,
    file: str,
    *,
    uris: Sequence[str] = (),
    names: Sequence[str] = (),
    days: float = 1,
    replaced: tuple[bytes, bytes] | None = None,
) -> None:
    """Writes ``<file>.pem`` and ``<file>.key``, signed by the directory's authority, with just these names in the SAN.

    Args:
        replaced: in the bytes that are signed, the first of two equally long texts gives way to the second: so a name
            can hold what no library would put there.
    """
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    san: list[x509.GeneralName] = [
        *(x509.UniformResourceIdentifier(uri) for uri in uris),
        *(x509.DNSName(name) for name in names),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sample")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    certificate = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    if replaced is not None:
        certificate = _forged(certificate, signer, *replaced)
    pem = x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / f"{file}.key").write_bytes(private)
    (directory / f"{file}.pem").write_bytes(pem)


def _forged(certificate: bytes, signer: ec.EllipticCurvePrivateKey, old: bytes, new: bytes) -> bytes:
    """The certificate with another text in what is signed, signed anew."""
    assert len(old) == len(new)
    parsed = x509.load_der_x509_certificate(certificate)
    body = parsed.tbs_certificate_bytes
    assert body.count(old) == 1
    body = body.replace(old, new)
    signature = signer.sign(body, ec.ECDSA(hashes.SHA256()))
    # SEQUENCE { body, SEQUENCE { ecdsa-with-SHA256 }, BIT STRING signature }
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return _der(0x30, body + algorithm + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
