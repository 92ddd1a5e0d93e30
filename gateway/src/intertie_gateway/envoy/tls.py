"""TLS in Envoy's words: certificates come from files that are read again when they are replaced."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

UPSTREAM, AUTHORITY, SERVED, CLIENTS, HTTP_CLIENTS = "upstream", "authority", "served", "clients", "http_clients"
SECRETS = "secret-*.yaml"
"""The files that say where certificates are."""

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_FLOOR = {"tls_minimum_protocol_version": "TLSv1_2"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files that Envoy can read."""

    certificate: PurePath
    key: PurePath


@dataclass(frozen=True, slots=True)
class Tls:
    """What is encrypted, and with which files; None: it is not."""

    upstream: Pair | None = None
    """With which Envoy calls the services."""
    authority: PurePath | None = None
    """Whose certificates the services have."""
    served: Pair | None = None
    """What the listeners show."""
    clients: PurePath | None = None
    """The authority whose certificates callers of the gRPC listener must have."""
    http_clients: PurePath | None = None
    """The same of the HTTP listener."""

    def secrets(self) -> dict[str, dict[str, Any]]:
        """The secrets that the transport sockets name, by the files that they stand in, one in each."""
        found: dict[str, dict[str, Any]] = {}
        for name, pair in ((UPSTREAM, self.upstream), (SERVED, self.served)):
            if pair is not None:
                found[name] = {"tls_certificate": _certificate(pair)}
        for name, path in ((AUTHORITY, self.authority), (CLIENTS, self.clients), (HTTP_CLIENTS, self.http_clients)):
            if path is not None:
                found[name] = {"validation_context": _authority(path)}
        return {
            _file(name): {"@type": f"{_TLS}.Secret", "name": name, **secret} for name, secret in sorted(found.items())
        }

    def towards(self, service: str, directory: PurePath) -> dict[str, Any] | None:
        """The transport socket with which a service is called, which must have a certificate of its name; None: none.

        Args:
            directory: of the configuration's files.
        """
        if self.upstream is None:
            return None
        names = [{"san_type": "DNS", "matcher": {"exact": service}}]
        context = {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "sni": service,
            "common_tls_context": {
                "tls_params": _FLOOR,
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [_named(UPSTREAM, directory)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": names},
                    "validation_context_sds_secret_config": _named(AUTHORITY, directory),
                },
            },
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def of_listener(self, protocols: list[str], clients: str, directory: PurePath) -> dict[str, Any] | None:
        """The transport socket of a listener.

        Args:
            protocols: what is offered in the handshake.
            clients: CLIENTS or HTTP_CLIENTS; asked for a certificate where that authority is known.
            directory: of the configuration's files.
        """
        if self.served is None:
            return None
        common: dict[str, Any] = {
            "tls_params": _FLOOR,
            "alpn_protocols": protocols,
            "tls_certificate_sds_secret_configs": [_named(SERVED, directory)],
        }
        context: dict[str, Any] = {"@type": f"{_TLS}.DownstreamTlsContext", "common_tls_context": common}
        if (self.clients if clients == CLIENTS else self.http_clients) is not None:
            common["validation_context_sds_secret_config"] = _named(clients, directory)
            context["require_client_certificate"] = True
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _certificate(pair: Pair) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(pair.certificate)},
        "private_key": {"filename": str(pair.key)},
        "watched_directory": {"path": str(pair.certificate.parent)},
    }


def _authority(path: PurePath) -> dict[str, Any]:
    return {"trusted_ca": {"filename": str(path)}, "watched_directory": {"path": str(path.parent)}}


def _file(name: str) -> str:
    return SECRETS.replace("*", name)


def _named(name: str, directory: PurePath) -> dict[str, Any]:
    source = {"path_config_source": {"path": str(directory / _file(name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}
