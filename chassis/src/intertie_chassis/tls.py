"""TLS between processes, both sides with a certificate: credentials that change with the files, without a restart."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from intertie_chassis.renewing_channel import RenewingChannel
from intertie_chassis.settings import Settings
from intertie_chassis.tls_files import Material, TlsFiles
from intertie_chassis.tokens import TokenSource


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Asks every client for a certificate of the authority. Each new connection gets what the files hold then."""
    served = files.material()
    lock = threading.Lock()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # grpc asks before each handshake, in threads of its own; None: as before.
        nonlocal served
        with lock:
            material = files.material()
            if material is served:
                return None
            served = material
            return _configuration(material)

    fetcher: Callable[[], Any] = renewed  # the stubs do not know that it may give None
    return grpc.dynamic_ssl_server_credentials(_configuration(served), fetcher, require_client_authentication=True)


def channel_to(
    address: str, service: str, files: TlsFiles | None, options: Sequence[tuple[str, Any]]
) -> grpc.aio.Channel:
    """A channel to a service: with TLS when there are files, else in clear text.

    With TLS the other side must have a certificate of the authority that bears the service's name as a DNS name,
    whatever the address. So no other process, though its certificate is of the same authority, can take its place.
    """
    if files is None:
        return grpc.aio.insecure_channel(address, options=options)

    def connect(material: Material) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(material.authority, material.key, material.certificate)
        own = (
            ("grpc.ssl_target_name_override", service),
            # Connections that were made with an older certificate are not shared.
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.secure_channel(address, credentials, options=[*options, *own])

    return RenewingChannel(connect, files.material)


def token_for(settings: Settings, name: str, files: TlsFiles | None) -> TokenSource | None:
    """The token with which the service `name` calls others; None when its certificate says who it is.

    Raises StartupError when it has neither, see `TokenSource.for_service`.
    """
    is_named = files is not None and files.material().identity.label == f"service:{name}"
    if is_named and settings.service_token is None and settings.service_token_file is None:
        return None
    return TokenSource.for_service(settings, name)


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], material.authority)
