"""TLS between processes: who gets in, for whom a certificate speaks, and certificates that change while calls go on."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.wrappers_pb2 import StringValue as Text
from structlog.testing import capture_logs

import certificate_samples
from intertie_chassis import callers, errors, tls_files
from intertie_chassis.callers import Callers
from intertie_chassis.clients import Channel, connect
from intertie_chassis.identity import FixedToken, KeyRing, current_principal
from intertie_chassis.settings import Settings
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.authority import Authority, Holder
from waiting import eventually

Call = Callable[..., Any]


@pytest.fixture
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority with certificates of the server, of services and of a module; files are looked at each time."""
    monkeypatch.setattr(tls_files, "_LOOK_EVERY", 0.0)
    authority = Authority.make(tmp_path / "certs", 10)
    for name in ("registry", "gateway", "mapper"):
        authority.issue(Holder("service", name), [], 5)
    authority.issue(Holder("module", "events"), [], 5)
    return authority.directory


def files_of(certs: Path, name: str) -> TlsFiles:
    """The certificate's files."""
    made = TlsFiles.of(Settings(tls_dir=certs), name)
    assert made is not None
    return made


@pytest.fixture
async def server(new_echo: Any, certs: Path) -> Any:
    """A started server with registry's certificate, that answers who called."""
    echo = new_echo(tls=files_of(certs, "registry"))

    async def who(_request: Any, _context: Any) -> Any:
        return Text(value=current_principal().label)

    echo.servicer.answer = who
    echo.port = await echo.server.start()
    return echo


@pytest.fixture
async def call(server: Any, certs: Path, keys: KeyRing) -> AsyncIterator[Call]:
    """Calls Say with a certificate and perhaps a token; gives the answer's text."""
    channels: list[Channel] = []

    async def make(
        name: str = "gateway", *, role: str = "", service: str = "registry", tls: TlsFiles | None = None
    ) -> str:
        token = FixedToken(keys.issue(role, "tester")) if role else None
        files = tls or files_of(certs, name)
        channels.append(connect(f"127.0.0.1:{server.port}", token, service=service, tls=files, default_timeout=10))
        answer = await server.method("Say", channels[-1])(Text(value="a"))
        return str(answer.value)

    yield make
    for channel in channels:
        await channel.close()


@pytest.mark.parametrize(
    ("name", "role", "who"),
    [
        ("gateway", "", "service:gateway"),
        ("module-events", "", "module:events"),
        ("gateway", "viewer", "viewer"),
        ("gateway", "module:hr", "module:hr"),
        ("gateway", "service:gateway", "service:gateway"),
    ],
)
async def test_the_certificate_says_who_calls_unless_a_token_does(call: Call, name: str, role: str, who: str) -> None:
    assert await call(name, role=role) == who


@pytest.mark.parametrize(("name", "role"), [("gateway", "service:mapper"), ("module-events", "module:hr")])
async def test_a_token_of_another_than_the_certificates_is_refused(call: Call, name: str, role: str) -> None:
    with pytest.raises(errors.Unauthenticated) as caught:
        await call(name, role=role)
    assert caught.value.reason == "CERTIFICATE_REFUSED"


@pytest.mark.parametrize(
    ("uris", "replaced"),
    [
        (["spiffe://intertie/service/stranger"], None),
        (["spiffe://elsewhere/service/gateway"], None),
        (["spiffe://intertie/service/gateway", "spiffe://intertie/service/mapper"], None),
        (["spiffe://intertie/service/gatewayX.evil"], (b"gatewayX", b"gateway\0")),
        ([], None),
    ],
    ids=["a service that nobody knows", "another domain", "two names", "a name with a NUL", "no name"],
)
async def test_a_certificate_that_is_on_no_list_is_refused_even_with_a_token(
    call: Call, server: Any, certs: Path, uris: list[str], replaced: tuple[bytes, bytes] | None
) -> None:
    certificate_samples.issue(certs, "odd", uris=uris, replaced=replaced)
    with pytest.raises(errors.Unauthenticated) as caught:
        await call("odd", role="admin")
    assert caught.value.reason == "CERTIFICATE_REFUSED"
    (denial,) = server.server._guard.denials.take()
    assert (denial.place.reason, denial.place.status, denial.place.peer) == ("CERTIFICATE_REFUSED", 401, "127.0.0.1")


async def test_a_process_may_let_in_fewer(new_echo: Any, certs: Path) -> None:
    echo = new_echo(tls=files_of(certs, "registry"), callers=Callers.parse("service:gateway"))
    echo.port = await echo.server.start()
    for name, is_in in (("gateway", True), ("mapper", False)):
        async with connect(
            f"127.0.0.1:{echo.port}", None, service="registry", tls=files_of(certs, name), default_timeout=10
        ) as channel:
            say = echo.method("Say", channel)
            if is_in:
                assert (await say(Text(value="a"))).value == "a"
            else:
                with pytest.raises(errors.Unauthenticated):
                    await say(Text(value="a"))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Certificates of another authority, for the same names."""
    authority = Authority.make(tmp_path / "foreign", 10)
    authority.issue(Holder("service", "gateway"), [], 5)
    return authority.directory


async def test_without_a_certificate_of_the_authority_nobody_connects(server: Any, certs: Path, foreign: Path) -> None:
    """Not in clear text, not without one, not with another authority's; not even for the health."""
    root = (certs / "ca.pem").read_bytes()
    of_foreign = grpc.ssl_channel_credentials(
        root, (foreign / "gateway.key").read_bytes(), (foreign / "gateway.pem").read_bytes()
    )
    options = [("grpc.ssl_target_name_override", "registry")]
    address = f"127.0.0.1:{server.port}"
    for channel in (
        grpc.aio.insecure_channel(address),
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(root), options=options),
        grpc.aio.secure_channel(address, of_foreign, options=options),
    ):
        async with channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_authority_is_not_believed(call: Call, certs: Path, foreign: Path) -> None:
    files = TlsFiles(certs / "gateway.pem", certs / "gateway.key", foreign / "ca.pem")
    with pytest.raises(errors.Unavailable):
        await call(tls=files)


async def test_another_service_cannot_take_the_place_of_the_one_that_is_meant(call: Call) -> None:
    """Though its certificate is of the same authority and for the same address."""
    assert await call(service="registry") == "service:gateway"
    with pytest.raises(errors.Unavailable):
        await call(service="audit")


async def test_a_certificate_of_a_server_changes_without_a_restart(call: Call, certs: Path, server: Any) -> None:
    """Who connects next sees the new one; until its files are whole, the old one."""
    before = await _serial(server.port, certs)
    # A pair that does not go together, as between the two writes of a renewal.
    key = (certs / "registry.key").read_bytes()
    (certs / "registry.key").write_bytes((certs / "mapper.key").read_bytes())
    with capture_logs() as logs:
        assert await call() == "service:gateway"
    assert any("is not the key of" in str(log.get("cause")) for log in logs)
    (certs / "registry.key").write_bytes(key)
    Authority.open(certs).issue(Holder("service", "registry"), [], 5)
    assert await call() == "service:gateway"
    assert await _serial(server.port, certs) != before


async def _serial(port: int, certs: Path) -> int:
    """The number of the certificate that the server shows."""
    context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    context.load_cert_chain(certs / "gateway.pem", certs / "gateway.key")
    context.set_alpn_protocols(["h2"])
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="registry")
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).serial_number
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the server may hang up first, since nothing follows
            await writer.wait_closed()


@pytest.fixture
def waits(server: Any) -> Iterator[asyncio.Event]:
    """Answers wait until this is set."""
    go = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        if request.value == "wait":
            await go.wait()
        certificate = next(iter(context.auth_context()["x509_pem_cert"]))
        return Text(value=certificate.decode())

    server.servicer.answer = answer
    yield go
    go.set()


async def test_a_certificate_of_a_client_changes_under_its_calls(
    server: Any, certs: Path, waits: asyncio.Event
) -> None:
    """Calls in flight end on the old connection, which then closes; new ones go out with the new certificate."""
    async with connect(
        f"127.0.0.1:{server.port}", None, service="registry", tls=files_of(certs, "gateway"), default_timeout=20
    ) as channel:
        say = server.method("Say", channel)
        old = (await say(Text(value="now"))).value
        assert old.strip() == (certs / "gateway.pem").read_text().strip()
        in_flight = asyncio.ensure_future(say(Text(value="wait")))
        await asyncio.sleep(0)  # the call begins
        Authority.open(certs).issue(Holder("service", "gateway"), [], 5)
        new = (await say(Text(value="now"))).value
        assert new.strip() == (certs / "gateway.pem").read_text().strip() != old.strip()
        inner: Any = channel._channel
        (retired,) = inner._retired
        assert not retired.is_closing
        assert not in_flight.done()
        waits.set()
        assert (await in_flight).value == old
        await eventually(lambda: retired.is_closing)
        assert (await say(Text(value="now"))).value == new


async def test_a_renewal_replaces_one_that_has_ended(server: Any, certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a connection that was made while it was good."""
    async with connect(
        f"127.0.0.1:{server.port}", None, service="registry", tls=files_of(certs, "gateway"), default_timeout=20
    ) as channel:
        say = server.method("Say", channel)
        assert (await say(Text(value="a"))).value == "service:gateway"
        in_six_days = SimpleNamespace(time=lambda: time.time() + 6 * 86_400)
        monkeypatch.setattr(callers, "time", in_six_days)
        with pytest.raises(errors.Unauthenticated, match="has ended"):
            await say(Text(value="a"))
        Authority.open(certs).issue(Holder("service", "gateway"), [], 9)
        assert (await say(Text(value="a"))).value == "service:gateway"


@pytest.mark.parametrize(
    ("listen", "is_told"), [("0.0.0.0:0", True), ("127.0.0.1:0", False)], ids=["network", "loopback"]
)
async def test_clear_text_on_a_network_is_told_loudly(new_echo: Any, listen: str, is_told: bool) -> None:
    echo = new_echo()
    echo.server._listen = listen
    with capture_logs() as logs:
        await echo.server.start()
    said = [log for log in logs if log["event"] == "clear_text_listener"]
    assert [log["log_level"] for log in said] == ["warning"] * is_told
