"""Where the processes listen: read, checked for being free, and handed to all of them."""

import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from intertie_chassis.errors import StartupError
from intertie_chassis.listening import is_loopback
from intertie_cli.settings import SERVICES, CliSettings


def reached(settings: CliSettings, parts: tuple[str, ...]) -> dict[str, str]:
    """Where each part is reached from this machine."""
    return {part: settings.address_of(part) for part in parts}


def environment(settings: CliSettings, addresses: Mapping[str, str], log_format: str) -> dict[str, str]:
    """The environment of the processes: ours, with one data directory, and with addresses that fit the listeners."""
    return {
        **os.environ,
        "INTERTIE_DATA_DIR": str(settings.data_dir.absolute()),
        "INTERTIE_LOG_FORMAT": log_format,
        "INTERTIE_DEMO_LISTEN": settings.demo_listen,
        **({"INTERTIE_TLS_DIR": str(settings.tls_dir.absolute())} if settings.tls_dir is not None else {}),
        **{f"INTERTIE_{part.upper()}_ADDRESS": address for part, address in addresses.items() if part in SERVICES},
        **{f"INTERTIE_{part.upper()}_METRICS_LISTEN": listen for part, listen in _metrics(settings, addresses).items()},
    }


def with_metrics(settings: CliSettings, parts: tuple[str, ...], port: int) -> CliSettings:
    """The settings with an address on the loopback for the metrics of each part, the first on this port; where a part
    has one, it keeps that.
    """
    listeners = {f"{part}_metrics_listen": f"127.0.0.1:{port + number}" for number, part in enumerate(parts)}
    return settings.model_copy(
        update={name: listen for name, listen in listeners.items() if not getattr(settings, name)}
    )


def _metrics(settings: CliSettings, parts: Iterable[str]) -> dict[str, str]:
    """Where the parts show their metrics, for those that do."""
    found = {part: str(getattr(settings, f"{part}_metrics_listen", "")) for part in parts}
    return {part: listen for part, listen in found.items() if listen}


def kept(file: Path) -> str:
    """The address on the loopback that the file names while it is free, else a free one, which the file names then."""
    if file.exists():
        known = file.read_text(encoding="utf-8").strip()
        if is_loopback(known) and _is_free(known, str(file)):
            return known
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        chosen = f"127.0.0.1:{probe.getsockname()[1]}"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(f"{chosen}\n", encoding="utf-8")
    return chosen


def check_free(settings: CliSettings, parts: tuple[str, ...]) -> None:
    """Raises StartupError that names every address which another program has, and the setting that moves ours."""
    taken = []
    for part in parts:
        listen = str(getattr(settings, f"{part}_listen"))
        if not _is_free(listen, f"INTERTIE_{part.upper()}_LISTEN"):
            taken.append(f"{listen} for {part} (INTERTIE_{part.upper()}_LISTEN)")
    for part, listen in _metrics(settings, parts).items():
        if not _is_free(listen, f"INTERTIE_{part.upper()}_METRICS_LISTEN"):
            taken.append(f"{listen} for the metrics of {part} (INTERTIE_{part.upper()}_METRICS_LISTEN)")
    if taken:
        raise StartupError(
            f"other programs listen where the suite would: {', '.join(taken)}; stop them (another `intertie up`?), "
            "or set other addresses"
        )


def _is_free(listen: str, setting: str) -> bool:
    host, colon, port = listen.rpartition(":")
    if not (colon and port.isdigit() and int(port) < 65_536):
        raise StartupError(f"{setting}: {listen} is not host:port")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen(1)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise StartupError(f"{setting}: cannot listen on {listen} ({error.strerror})") from None
    return True


_TAKEN = {98, 48}  # EADDRINUSE on Linux and on macOS
