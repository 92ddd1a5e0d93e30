"""TLS to external databases: connected by address, checked by name, on both event loops."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import postgresql
import requirement
from intertie_ingest.databases.databases import Databases
from intertie_ingest.egress import Egress
from intertie_ingest.errors import ConnectionUnusable
from intertie_ingest.external import ExternalConnection
from mariadb import USER, MariaDBServer, find

LOOPS: Sequence[Callable[[], asyncio.AbstractEventLoop]] = (asyncio.new_event_loop, uvloop.new_event_loop)


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """A certificate for the name `database.test` alone, that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("database.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def connection(
    request: pytest.FixtureRequest, certificate: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExternalConnection]:
    """A connection to a server with the certificate, by its name."""
    options = {"allowed_networks": ["127.0.0.1"]}
    made = ExternalConnection(1, 1, "x", "database", db_host="database.test", db_username=USER, options=options)
    if request.param == "postgresql":
        programs = postgresql.find_directory()
        if programs is None:
            requirement.missing("postgresql", "install postgresql")
        server = postgresql.PostgreSQLServer.launch(programs, certificate)
        made = replace(made, db_driver="postgresql", db_name="postgres", db_password=server.password)
        yield replace(made, db_port=server.port)
        server.stop()
        return
    mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
    if mariadbd is None or install_db is None:
        requirement.missing("mariadb", "install mariadb-server")
    directory = tmp_path_factory.mktemp("tls")
    for name, content in zip(("cert", "key"), certificate, strict=True):
        (directory / name).write_bytes(content)
    maria = MariaDBServer.launch(
        mariadbd, install_db, f"--ssl-cert={directory / 'cert'}", f"--ssl-key={directory / 'key'}"
    )
    password = maria.url("x").split(":")[2].split("@")[0]
    yield replace(made, db_driver="mysql", db_name="mysql", db_password=password, db_port=maria.port)
    maria.stop()


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("mode", "host", "is_trusted", "works"),
    [
        ("off", "database.test", False, True),
        ("require", "other.test", False, True),
        ("verify-ca", "other.test", True, True),
        ("verify-ca", "database.test", False, False),
        ("verify-full", "database.test", True, True),
        ("verify-full", "other.test", True, False),
        ("verify-full", "127.0.0.1", True, False),
    ],
)
def test_the_certificate_is_checked_against_the_configured_name(
    connection: ExternalConnection,
    certificate: tuple[bytes, bytes],
    loop: Callable[[], asyncio.AbstractEventLoop],
    mode: str,
    host: str,
    is_trusted: bool,
    works: bool,
) -> None:
    """Though the driver connects to 127.0.0.1, which the certificate does not name."""
    options: dict[str, Any] = {**connection.options, "tls": mode}
    if is_trusted:
        options["tls_ca"] = certificate[0].decode()
    tried = replace(connection, db_host=host, options=options)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def attempt() -> None:
        databases = Databases(Egress(resolve=resolve))
        try:
            if works:
                await databases.test(tried)
                assert await is_encrypted(databases, tried) is (mode != "off")
            else:
                with pytest.raises(ConnectionUnusable, match="certificate"):
                    await databases.test(tried)
        finally:
            await databases.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(attempt())


async def is_encrypted(databases: Databases, connection: ExternalConnection) -> bool:
    """What the server says of the session."""
    sql = {
        "mysql": "SELECT variable_value > '' FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'",
        "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    }[connection.db_driver]
    async with databases.session(connection) as session:
        return bool((await session.catalogue(sql, ()))[0][0])
