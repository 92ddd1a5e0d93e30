"""Envoy with TLS on every side: towards the services with a certificate of its own, towards clients with another."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from envoy_rig import Envoy
from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_cli.authority import Authority, Holder
from suite import API, Suite
from waiting import eventually


class Encrypted:
    """A suite whose processes have certificates, and an Envoy in front of it that shows one of the same authority."""

    def __init__(self, directory: Path) -> None:
        self.certs = directory / "certs"
        env = {"INTERTIE_TLS_DIR": str(self.certs), "INTERTIE_GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}
        self.suite = Suite(directory, env=env)
        self.suite.cli("certs", "init")
        self.authority = Authority.open(self.certs)
        self.authority.issue(Holder("service", "edge"), [], 5)
        self.authority.issue(Holder("module", "events"), [], 5)
        self.suite.start()
        self.envoy = Envoy(directory / "envoy")
        own = [f"--certificate={self.certs / 'edge.pem'}", f"--key={self.certs / 'edge.key'}"]
        self.envoy.configure(self.suite, "--watched", "--check", *own, f"--client-ca={self.certs / 'ca.pem'}")
        self.envoy.start()

    def get(self, path: str, token: str | None) -> httpx.Response:
        """Ask Envoy over HTTPS."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(verify=ssl.create_default_context(cafile=self.certs / "ca.pem"), trust_env=False) as client:
            return client.get(f"https://localhost:{self.envoy.port}{path}", headers=headers)

    def channel(self, holder: str = "") -> grpc.Channel:
        """A channel to Envoy's gRPC port; with a certificate if a holder is named."""
        pair = [(self.certs / f"{holder}.{kind}").read_bytes() for kind in ("key", "pem")] if holder else [None, None]
        credentials = grpc.ssl_channel_credentials((self.certs / "ca.pem").read_bytes(), *pair)
        return grpc.secure_channel(f"localhost:{self.envoy.grpc_port}", credentials)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """All of it running."""
    made = Encrypted(tmp_path_factory.mktemp("encrypted-edge"))
    yield made
    made.envoy.stop()
    made.suite.stop()


def test_https_reaches_services_and_gateway(encrypted: Encrypted) -> None:
    """Straight and by the gateway; nobody is anybody without a token, though Envoy's own certificate is let in."""
    token = encrypted.suite.token("viewer")
    for path in (f"{API}/systems", f"{API}/mappings"):
        assert encrypted.get(path, token).status_code == 200
        assert encrypted.get(path, None).status_code == 401
    assert encrypted.get(f"{API}/systems", encrypted.suite.token("service:mapper")).status_code == 401
    assert encrypted.envoy.count("cluster.registry.ssl.handshake") > 0
    assert encrypted.envoy.count("cluster.registry.health_check.success") > 0


def test_grpc_needs_a_certificate_and_a_token(encrypted: Encrypted) -> None:
    token = (("authorization", f"Bearer {encrypted.suite.token('module:events')}"),)
    asked = registry_pb2.ListModuleSystemsRequest(module="events")
    with encrypted.channel("module-events") as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        stub.ListModuleSystems(asked, metadata=token, timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListModuleSystems(asked, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with encrypted.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        registry_pb2_grpc.RegistryServiceStub(channel).ListModuleSystems(asked, metadata=token, timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_renewed_certificates_are_taken_up(encrypted: Encrypted) -> None:
    """Without a restart, on both sides."""

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", encrypted.envoy.port), ca_certs=str(encrypted.certs / "ca.pem"))

    before = shown()
    for name in ("edge", "envoy"):
        encrypted.authority.issue(Holder("service", name), [], 5)
    await eventually(lambda: shown() != before)
    token = encrypted.suite.token("viewer")
    await eventually(lambda: encrypted.get(f"{API}/systems", token).status_code == 200)
