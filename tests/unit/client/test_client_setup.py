"""What a client is made of: addresses and tokens of the environment, tokens that change, certificates, module names."""

import os
from pathlib import Path

import pytest

from intertie_chassis.keys import KeyRing
from intertie_chassis.settings import Settings
from intertie_client import AsyncClient, Client, Tls, Unauthenticated
from intertie_client.setup import DEFAULT_ADDRESSES, arguments_from
from intertie_client.tokens import FileToken, module_in, source_of


def test_without_settings_it_finds_the_suite_of_this_machine() -> None:
    """At the addresses that the services have by default."""
    fields = Settings.model_fields
    assert {name: fields[f"{name}_address"].default for name in DEFAULT_ADDRESSES} == DEFAULT_ADDRESSES
    assert arguments_from({}) == DEFAULT_ADDRESSES


def test_the_environment_says_where_and_who() -> None:
    """A proxy stands for all services; a token goes before a file."""
    assert arguments_from({"INTERTIE_ADDRESS": "edge:9443", "INTERTIE_PULL_ADDRESS": "pull:1"}) == {
        "address": "edge:9443"
    }
    found = arguments_from(
        {
            "INTERTIE_PULL_ADDRESS": "pull:50055",
            "INTERTIE_TOKEN_FILE": "/run/token",
            "INTERTIE_MODULE": "events",
            "INTERTIE_TLS_DIR": "/certs",
        }
    )
    assert found == {
        **DEFAULT_ADDRESSES,
        "pull": "pull:50055",
        "token": Path("/run/token"),
        "module": "events",
        "tls": Tls(Path("/certs/ca.pem"), Path("/certs/module-events.pem"), Path("/certs/module-events.key")),
    }
    assert arguments_from({"INTERTIE_TOKEN": "t", "INTERTIE_TOKEN_FILE": "/run/token"})["token"] == "t"
    assert arguments_from({"INTERTIE_TLS_CA": "/ca.pem"})["tls"] == Tls("/ca.pem")
    with pytest.raises(ValueError, match="INTERTIE_MODULE"):
        arguments_from({"INTERTIE_TLS_DIR": "/certs"})


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_what_does_not_go_together_is_refused(make: type[Client] | type[AsyncClient], tmp_path: Path) -> None:
    """When the client is made, not at some call."""
    with pytest.raises(ValueError, match="not both"):
        make("edge:1", pull="pull:1")
    with pytest.raises(ValueError, match="needs an address"):
        make()
    with pytest.raises(ValueError, match="above 0"):
        make("edge:1", timeout=0)
    with pytest.raises(ValueError, match="go together"):
        make("edge:1", tls=Tls(certificate="a.pem"))
    (tmp_path / "ca.pem").write_text("rubbish")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(ValueError, match="TLS"):
            make("edge:1", tls=Tls(ca=tmp_path / name))


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """However it is replaced; while it is away the last token stays."""
    file = tmp_path / "token"
    token = FileToken(file)
    with pytest.raises(Unauthenticated, match="cannot be read"):
        token()
    file.write_text("first\n")
    assert token() == "first"
    (tmp_path / "new").write_text("second")
    os.replace(tmp_path / "new", file)
    assert token() == "second"
    file.unlink()
    assert token() == "second"


def test_a_token_is_a_text_a_file_or_a_function(tmp_path: Path) -> None:
    """A text is the token itself, never the name of a file."""
    (tmp_path / "token").write_text("of the file")
    sources = (" text ", tmp_path / "token", lambda: "made")
    assert [source() for one in sources if (source := source_of(one))] == ["text", "of the file", "made"]
    assert source_of(None) is None


def test_a_module_s_token_says_which_module_it_is(tmp_path: Path) -> None:
    """Others, and what is no token at all, say nothing."""
    keys = KeyRing(tmp_path)
    keys.ensure()
    assert module_in(keys.mint("module:events")) == "events"
    for text in (keys.mint("operator"), "rubbish", "a.b.c", "a.W10.c", "", "a.eyJyb2xlIjo1fQ.c"):
        assert module_in(text) == ""


def test_no_repr_shows_a_token() -> None:
    """Whatever is printed of a client."""
    client = Client("edge:1", token="secret-token")
    assert "secret-token" not in f"{client!r} {client._setup!r}"
