"""Whose certificates are let in, and for whom they speak."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import certificate_samples
from intertie_chassis.callers import Callers
from intertie_chassis.errors import StartupError, Unauthenticated
from intertie_chassis.principals import Principal
from intertie_cli.authority import Authority

GATEWAY = "spiffe://intertie/service/gateway"
EVENTS = "spiffe://intertie/module/events"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An authority."""
    return Authority.make(tmp_path, 10).directory


def _context(directory: Path, *uris: str, **options: Any) -> dict[str, list[bytes]]:
    """What gRPC says of a connection with a certificate of these URIs."""
    certificate_samples.issue(directory, "caller", uris=uris, **options)
    return {"x509_pem_cert": [(directory / "caller.pem").read_bytes()]}


def test_services_and_modules_are_let_in_by_default(directory: Path) -> None:
    """And are whom their certificate names."""
    callers = Callers.parse("")
    gateway = callers.of(_context(directory, GATEWAY)).principal
    assert (gateway.role, gateway.name, gateway.subject) == ("service", "gateway", "service:gateway")
    events = callers.of(_context(directory, EVENTS)).principal
    assert (events.role, events.name) == ("module", "events")
    assert events.expires_at > 0


def test_a_proxy_is_let_in_and_speaks_for_nobody(directory: Path) -> None:
    """It hands on tokens of people and modules, none of services."""
    proxy = Callers.parse("").of(_context(directory, "spiffe://intertie/service/envoy"))
    with pytest.raises(Unauthenticated):
        _ = proxy.principal
    proxy.vouch_for(Principal("module", "events", "module:events", "", 0))
    with pytest.raises(Unauthenticated):
        proxy.vouch_for(Principal("service", "mapper", "service:mapper", "", 0))


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://intertie/service/stranger",),
        ("spiffe://elsewhere/service/gateway",),
        ("spiffe://intertie/service/gateway/more",),
        ("spiffe://intertie/service/",),
        ("spiffe://intertie/Service/gateway",),
        ("spiffe://intertie/service/gateway ",),
        ("https://intertie/service/gateway",),
        (GATEWAY, EVENTS),
        (GATEWAY, "https://example.com"),
    ],
)
def test_others_are_not(directory: Path, uris: tuple[str, ...]) -> None:
    """Nor who has two URIs, of which one would do."""
    with pytest.raises(Unauthenticated) as caught:
        Callers.parse("").of(_context(directory, *uris))
    assert caught.value.reason == "CERTIFICATE_REFUSED"


def test_a_name_does_not_end_at_a_nul(directory: Path) -> None:
    """gRPC's own text of such a name is `spiffe://intertie/service/gateway`."""
    context = _context(directory, f"{GATEWAY}X.evil", replaced=(b"gatewayX", b"gateway\0"))
    assert b"gateway\0.evil" in _der(context)
    with pytest.raises(Unauthenticated):
        Callers.parse("").of(context)


def _der(context: dict[str, list[bytes]]) -> bytes:
    return x509.load_pem_x509_certificate(context["x509_pem_cert"][0]).public_bytes(Encoding.DER)


def test_a_dns_name_is_no_uri(directory: Path) -> None:
    """Though gRPC lists the names of all kinds together."""
    with pytest.raises(Unauthenticated):
        Callers.parse("").of(_context(directory, names=["gateway"]))


def test_no_certificate_is_nobody() -> None:
    """Of a connection without TLS, say."""
    with pytest.raises(Unauthenticated):
        Callers.parse("").of({})


def test_one_that_has_ended_is_refused_on_an_old_connection(directory: Path) -> None:
    """The handshake was when it was still good."""
    with pytest.raises(Unauthenticated, match="has ended"):
        Callers.parse("").of(_context(directory, GATEWAY, days=-0.001))


def test_the_list_decides(directory: Path) -> None:
    """By label, by any name of a role, or by the whole URI."""
    callers = Callers.parse("service:gateway, module:*, spiffe://elsewhere/robot")
    assert callers.of(_context(directory, GATEWAY)).principal.name == "gateway"
    assert callers.of(_context(directory, EVENTS)).principal.name == "events"
    robot = callers.of(_context(directory, "spiffe://elsewhere/robot"))
    with pytest.raises(Unauthenticated):
        _ = robot.principal  # let in, but nobody without a token
    with pytest.raises(Unauthenticated):
        callers.of(_context(directory, "spiffe://intertie/service/ingest"))


@pytest.mark.parametrize("text", ["gateway", "service:", "admin:*", "service:a b", "module:*x"])
def test_a_list_that_means_nothing_ends_the_start(text: str) -> None:
    """A caller that is misspelt would otherwise be missed in production."""
    with pytest.raises(StartupError, match="INTERTIE_TLS_CALLERS"):
        Callers.parse(text)


@pytest.mark.parametrize(
    ("uri", "role", "may"),
    [
        (GATEWAY, "admin", True),
        (GATEWAY, "module:events", True),
        (GATEWAY, "service:gateway", True),
        (GATEWAY, "service:ingest", False),
        (EVENTS, "module:events", True),
        (EVENTS, "module:hr", False),
        (EVENTS, "service:events", False),
        (EVENTS, "viewer", True),
    ],
)
def test_which_token_goes_with_which_certificate(directory: Path, uri: str, role: str, may: bool) -> None:
    """A stolen token of a service is of no use to another one, nor a module's to another module."""
    caller = Callers.parse("").of(_context(directory, uri))
    principal = Principal.of(role, "somebody", "id")
    if may:
        caller.vouch_for(principal)
    else:
        with pytest.raises(Unauthenticated, match="another"):
            caller.vouch_for(principal)
