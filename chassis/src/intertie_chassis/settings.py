"""What every process reads from its environment (``INTERTIE_…``); each service adds its own fields.

``docs/settings.md`` is made from the descriptions here. Secrets are SecretStr: no repr, log or error shows them.
"""

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from intertie_chassis.errors import StartupError
from intertie_chassis.file_settings import SecretFiles

_EMBEDDED_FILES = {
    "registry": "registry.db",
    "ingest": "ingest.db",
    "audit": "audit.db",
    "target": "campaign.db",
}
_DRIVERS = {"mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"}


def metrics_listen(process: str) -> Any:
    """The setting that says where a process shows its metrics."""
    return Field(
        default="",
        pattern=r"^$|^.+:[0-9]{1,5}$",
        description=f"Where {process} shows its metrics (`GET /metrics`), `host:port`, for example `127.0.0.1:9464`; "
        "it asks nobody who they are, so keep it in a network of yours. Empty: nowhere.",
    )


class Settings(BaseSettings):
    """The settings that all processes share."""

    model_config = SettingsConfigDict(
        env_prefix="INTERTIE_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        default=Path("data"),
        description="Directory of keys, tokens and the embedded databases. Made when it does not exist.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the database of all owners, e.g. `mysql://user:password@host/LGU`. "
        "Unset: embedded SQLite files in the data directory.",
    )
    database_password: SecretStr | None = Field(
        default=None,
        description="Password for each of these URLs that names a user and no password; as it is, not percent-encoded.",
    )
    registry_database_url: SecretStr | None = Field(
        default=None, description="Database of registry, when it has its own."
    )
    ingest_database_url: SecretStr | None = Field(default=None, description="Database of ingest, when it has its own.")
    audit_database_url: SecretStr | None = Field(default=None, description="Database of audit, when it has its own.")
    target_database_url: SecretStr | None = Field(
        default=None,
        description="Database of the modules' tables, links and checkpoints (mapper), when it has its own.",
    )
    table_prefix: str = Field(
        default="campaign_department_",
        pattern=r"^[A-Za-z0-9_]{0,32}$",
        description="What all table names begin with.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto",
        description="`json`, `console` (coloured), or `auto`: console when standard error is a terminal.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level logged."
    )
    identity_keys: Path | None = Field(
        default=None,
        description="JSON Web Key Set that tokens are verified with. Unset: the data directory's, made at first start.",
    )
    service_token: SecretStr | None = Field(
        default=None,
        description="The token with which this process calls others. Unset: minted with the data directory's key.",
    )
    service_token_file: Path | None = Field(
        default=None, description="File that holds the service token; read again when it changes."
    )
    tls_dir: Path | None = Field(
        default=None,
        description="Directory of certificates, as `intertie certs init` makes it: `<process>.pem`, `<process>.key` "
        "and `ca.pem`. With it, or the next three, services speak TLS, and ask every caller for a certificate.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="This process's certificate, in PEM; read again when it changes, as are the next two."
    )
    tls_key: Path | None = Field(default=None, description="The private key of the certificate, in PEM.")
    tls_ca: Path | None = Field(
        default=None, description="Certificates of the authorities whose certificates are believed, in PEM."
    )
    tls_callers: str = Field(
        default="",
        description="Whose certificates may call this process, separated by commas: `service:gateway`, "
        "`module:events`, `module:*`, or the URI in a certificate. Empty: Intertie's own services, and all modules.",
    )
    drain_seconds: float = Field(
        default=20.0,
        ge=0,
        le=300,
        description="How long a stopping process lets calls end that have begun, in seconds.",
    )
    max_concurrent_calls: int = Field(
        default=512, ge=1, description="Calls answered at the same time by one process; more are refused as OVERLOADED."
    )
    registry_listen: str = Field(default="127.0.0.1:50051", description="Where registry listens.")
    ingest_listen: str = Field(default="127.0.0.1:50052", description="Where ingest listens.")
    mapper_listen: str = Field(default="127.0.0.1:50053", description="Where mapper listens.")
    audit_listen: str = Field(default="127.0.0.1:50054", description="Where audit listens.")
    pull_listen: str = Field(default="127.0.0.1:50055", description="Where pull listens.")
    gateway_listen: str = Field(default="127.0.0.1:8080", description="Where the HTTP gateway listens.")
    registry_metrics_listen: str = metrics_listen("registry")
    ingest_metrics_listen: str = metrics_listen("ingest")
    mapper_metrics_listen: str = metrics_listen("mapper")
    audit_metrics_listen: str = metrics_listen("audit")
    pull_metrics_listen: str = metrics_listen("pull")
    gateway_metrics_listen: str = metrics_listen("the gateway (each of several workers on the next port)")
    traces_endpoint: str = Field(
        default="",
        pattern=r"^$|^https?://[^/\s]+/?$",
        description="Where spans go, by OTLP over gRPC: `http://collector:4317`, or `https://…` with TLS. Empty: "
        "nowhere. Headers, certificates and time-outs: OpenTelemetry's `OTEL_EXPORTER_OTLP_…` and `OTEL_BSP_…`.",
    )
    traces_ratio: float = Field(
        default=0.01, ge=0, le=1, description="Which part of the requests from outside is traced; 1: all."
    )
    traces_trust_senders: bool = Field(
        default=False,
        description="Whether the sampled flag in a `traceparent` of whoever sends HTTP requests decides, in place of "
        "the ratio. Only where a proxy of yours sets it.",
    )
    registry_address: str = Field(default="127.0.0.1:50051", description="Where registry is reached.")
    ingest_address: str = Field(default="127.0.0.1:50052", description="Where ingest is reached.")
    mapper_address: str = Field(default="127.0.0.1:50053", description="Where mapper is reached.")
    audit_address: str = Field(default="127.0.0.1:50054", description="Where audit is reached.")
    pull_address: str = Field(default="127.0.0.1:50055", description="Where pull is reached.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the code gives, then the environment, then the files that the environment names."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @classmethod
    def load(cls) -> Self:
        """The settings of this process.

        Raises StartupError that names each variable at fault; no value is shown, since it may be a secret.
        """
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(
                f"INTERTIE_{str(fault['loc'][0]).upper() if fault['loc'] else '…'}: {fault['msg']}"
                for fault in error.errors(include_input=False, include_url=False)
            )
            raise StartupError(f"the settings are not valid: {faults}") from None

    def database_url_for(self, owner: str) -> str:
        """The SQLAlchemy URL, with an async driver, of the owner ``registry``, ``ingest``, ``audit``, or ``mapper``
        (alias ``target``).

        Its own if set, else the common one, else the embedded file. It may hold a password: never log it.
        Raises StartupError for a kind of database that is not supported.
        """
        owner = "target" if owner == "mapper" else owner
        if owner not in _EMBEDDED_FILES:
            raise ValueError(f"{owner} owns no tables")
        own: SecretStr | None = getattr(self, f"{owner}_database_url")
        configured = own or self.database_url
        if configured is None:
            path = (self.data_dir / _EMBEDDED_FILES[owner]).absolute()
            return f"sqlite+aiosqlite:///{path}"
        url = with_async_driver(configured.get_secret_value())
        return url if self.database_password is None else with_password(url, self.database_password.get_secret_value())

    @property
    def has_tls(self) -> bool:
        """Whether this process speaks TLS with others."""
        return bool(self.tls_dir or self.tls_certificate or self.tls_key or self.tls_ca)

    @property
    def embedded_files(self) -> list[Path]:
        """Where the owners' embedded databases are, or would be."""
        return [self.data_dir / name for name in _EMBEDDED_FILES.values()]


def with_async_driver(url: str) -> str:
    """The same database URL with the driver that the suite uses.

    Raises StartupError for a kind of database that is not supported.
    """
    scheme, separator, rest = url.strip().partition("://")  # a line end of the file that the variable was read from
    driver = _DRIVERS.get(scheme.partition("+")[0].lower())
    if not separator or driver is None:
        raise StartupError(
            "the database URL must begin with mysql://, mariadb:// or sqlite:///; "
            "see INTERTIE_DATABASE_URL and INTERTIE_<OWNER>_DATABASE_URL"
        )
    return f"{driver}://{rest}"


def with_password(url: str, password: str) -> str:
    """The same database URL with the password, where it names a user and has none; otherwise as it is."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not at or ":" in user:
        return url
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{host}{slash}{path}"
