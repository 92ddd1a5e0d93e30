"""An external system's connection, as whoever reaches it needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DATABASE_TYPES = ("database",)
API_TYPES = ("api", "rest", "soap", "graphql")


@dataclass(frozen=True, slots=True)
class ExternalConnection:
    """A connection with its credentials. Two are equal when they reach the same in the same way."""

    id: int
    system_id: int
    #: the system's name
    system: str
    #: `database`, `api`, `rest`, `soap` or `graphql`
    connection_type: str
    is_active: bool = True
    db_host: str = ""
    #: 0: the driver's own
    db_port: int = 0
    #: for SQLite the path of the file
    db_name: str = ""
    db_username: str = ""
    db_password: str = field(default="", repr=False)
    #: `mysql`, `postgresql`, `sqlite`, `mssql` or `oracle`
    db_driver: str = "mysql"
    #: its query may hold a key
    api_base_url: str = field(default="", repr=False)
    #: `bearer`, `basic`, `oauth2`, `apikey` or `none`
    api_auth_type: str = "bearer"
    api_auth_token: str = field(default="", repr=False)
    #: seconds
    api_timeout: int = 30
    #: what config_json holds, secrets included
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: why config_json cannot be used; then nothing may be reached
    problem: str = ""

    @property
    def is_database(self) -> bool:
        """Whether it leads to a database."""
        return self.connection_type in DATABASE_TYPES

    @property
    def is_api(self) -> bool:
        """Whether it leads to an API."""
        return self.connection_type in API_TYPES
