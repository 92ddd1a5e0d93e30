"""The suite over TLS, with certificates of `intertie certs`: it carries deliveries, and tells whom it turned away."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import certificate_samples
from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_chassis import clients, errors
from intertie_chassis.identity import FixedToken
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.authority import Authority, Holder
from suite import Row, Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title", "date": "date"}}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite on embedded SQLite whose processes have certificates; one of a module is there, too."""
    directory = tmp_path_factory.mktemp("encrypted")
    suite = Suite(directory, env={"INTERTIE_TLS_DIR": str(directory / "certs")})
    suite.cli("certs", "init")
    Authority.open(directory / "certs").issue(Holder("module", "events"), [], 5)
    yield suite.start()
    suite.stop()


def _certificate(suite: Suite, name: str) -> TlsFiles:
    certs = suite.directory / "certs"
    return TlsFiles(certs / f"{name}.pem", certs / f"{name}.key", certs / "ca.pem")


async def _ask(suite: Suite, service: str, name: str, method: str, request: Any, role: str = "") -> Any:
    """Calls a service directly with a certificate, and a token if a role is named."""
    token = FixedToken(suite.token(role)) if role else None
    address = suite.env[f"INTERTIE_{service.upper()}_ADDRESS"]
    stub: Any = {"registry": registry_pb2_grpc.RegistryServiceStub, "audit": audit_pb2_grpc.AuditServiceStub}[service]
    async with clients.connect(address, token, service=service, tls=_certificate(suite, name)) as channel:
        return await getattr(stub(channel), method)(request)


async def test_a_webhook_lands_also_after_certificates_were_renewed(encrypted: Suite) -> None:
    encrypted.add_system("encrypted")
    encrypted.add_mapping("encrypted", "events", CONFIG)

    def titles() -> list[str]:
        return [row["event_title"] for row in encrypted.rows("events", "event_title LIKE %s", ["encrypted%"])]

    record = {"id": "1", "title": "encrypted one", "date": "2025-01-20"}
    await eventually(lambda: encrypted.webhook("encrypted", record).status_code == 202)
    await eventually(lambda: titles() == ["encrypted one"])
    renewed = ("registry", "ingest", "mapper", "gateway")
    for name in renewed:
        Authority.open(encrypted.directory / "certs").issue(Holder("service", name), [], 5)

    def all_have_looked() -> bool:
        encrypted.get("/systems")  # the gateway looks when it calls
        return encrypted.log.read_text().count("certificate read again") >= len(renewed)

    await eventually(all_have_looked, every=0.2)
    answer = encrypted.webhook("encrypted", {**record, "id": "2", "title": "encrypted two"})
    assert answer.status_code == 202, answer.text
    await eventually(lambda: titles() == ["encrypted one", "encrypted two"])
    assert "encrypted" in encrypted.cli("systems", "list").stdout


async def test_clear_text_gets_no_answer(encrypted: Suite) -> None:
    async with grpc.aio.insecure_channel(encrypted.env["INTERTIE_INGEST_ADDRESS"]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_gateways_certificate_does_not_speak_for_its_clients(encrypted: Suite) -> None:
    """Who brings no token is nobody, though the gateway would be let in."""
    assert encrypted.request("GET", "/systems", role=None).status_code == 401
    assert encrypted.request("GET", "/systems", role="service:mapper").status_code == 401
    assert encrypted.request("GET", "/systems", role="viewer").status_code == 200


async def test_who_was_turned_away_stands_in_the_log(encrypted: Suite) -> None:
    """By HTTP and by gRPC: without a token, by role, by certificate; by whichever process."""
    certificate_samples.issue(encrypted.directory / "certs", "stranger", uris=["spiffe://intertie/service/stranger"])
    assert encrypted.request("GET", "/checkpoints", role=None, headers={"X-Request-Id": "my-own-id"}).status_code == 401
    created = {"system_name": "never", "display_name": "never", "system_type": "hybrid"}
    assert encrypted.request("POST", "/systems", json=created, role="viewer").status_code == 403
    with pytest.raises(errors.PermissionDenied):
        await _ask(encrypted, "registry", "module-events", "DeleteSystem", registry_pb2.DeleteSystemRequest())
    with pytest.raises(errors.Unauthenticated):
        await _ask(encrypted, "audit", "stranger", "ListEntries", audit_pb2.ListEntriesRequest(), role="admin")

    def entry(method: str, reason: str) -> Row:
        entries = encrypted.get("/logs", query_type="access", limit=1000)["logs"]
        assert all(entry["status"] == "error" for entry in entries)
        found = [
            entry
            for entry in entries
            if entry["query_string"].endswith(f"/{method}") and entry["request_payload"]["reason"] == reason
        ]
        assert found, f"no entry of {method} among {len(entries)}"
        return dict(found[0])

    no_token = await eventually(lambda: entry("ListCheckpoints", "UNAUTHENTICATED"))
    assert (no_token["response_status"], no_token["actor"], no_token["request_id"]) == (401, "", "my-own-id")
    assert no_token["request_payload"]["peer"] == "127.0.0.1"
    by_role = await eventually(lambda: entry("CreateSystem", "PERMISSION_DENIED"))
    assert (by_role["response_status"], by_role["actor"], by_role["module_name"]) == (403, "viewer", "")
    by_module = await eventually(lambda: entry("DeleteSystem", "PERMISSION_DENIED"))
    assert (by_module["actor"], by_module["module_name"]) == ("module:events", "events")
    by_certificate = await eventually(lambda: entry("ListEntries", "CERTIFICATE_REFUSED"))
    assert (by_certificate["response_status"], by_certificate["actor"]) == (401, "")
    assert by_certificate["request_payload"]["count"] >= 1


async def test_a_command_without_certificates_is_told_what_may_be_wrong(encrypted: Suite) -> None:
    address = encrypted.env["INTERTIE_REGISTRY_ADDRESS"]
    env = {**os.environ, **encrypted.env, "INTERTIE_TLS_DIR": "", "INTERTIE_REGISTRY_ADDRESS": address}
    said = subprocess.run(encrypted.command("systems", "list"), env=env, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert f"(registry on {address})" in said.stderr
    assert "this command speaks clear text" in said.stderr
