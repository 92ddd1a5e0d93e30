"""Which addresses may be reached: the table of ranges, the spellings of addresses, and names with several."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_ingest.egress import Egress, Networks, may_be_reached, networks_of
from intertie_ingest.errors import AddressNotAllowed, ConnectionUnusable, ExternalUnavailable

EVERYTHING: Networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))

#: an address of each range, at its edges where they matter
CLOSED = """
    0.0.0.0 0.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 100.100.100.200 168.63.129.16 192.0.0.0 192.0.0.8
    192.0.0.192 192.0.2.1 198.51.100.255 203.0.113.7 192.31.196.1 192.175.48.1 192.52.193.1 192.88.99.1 198.18.0.0
    198.19.255.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ff02::1 ff0e::1 fe80::1 febf::1 fec0::1 fd00:ec2::254 fd20:ce::254 100::1 100:0:0:1::1 2001:1::1 2001:2::1
    2001:3::1 2001:4:112::1 2001:10::1 2001:20::1 2001:30::1 2001:db8::1 2620:4f:8000::1 3fff::1 5f00::1
    ::ffff:169.254.169.254 ::ffff:0.0.0.0 ::ffff:0:169.254.169.254 ::169.254.169.254 64:ff9b::a9fe:a9fe
    64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1 2001:0:1:2:3:4:5601:5601
"""
PRIVATE = """
    10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
    ::1 fc00::1 fd12:3456::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 ::10.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808
    64:ff9b:1::808:808 2002:7f00:1:: 2002:808:808:: 2001:0:1:2:3:4:80ff:fffe
"""
ROUTED = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
    169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
    223.255.255.255 2606:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888
"""
NOWHERE = ["4000::1", "8000::1", "e000::1", "200::1", "fe00::1"]


@pytest.mark.parametrize("address", CLOSED.split())
def test_some_are_never_reached(address: str) -> None:
    """Link-local with the clouds' metadata, multicast, reserved …: also not when all networks are allowed."""
    assert not may_be_reached(ip_address(address), ())
    assert not may_be_reached(ip_address(address), EVERYTHING)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_ones_only_when_allowed(address: str) -> None:
    """What is private, or embeds an IPv4 address, needs a network that covers it."""
    assert not may_be_reached(ip_address(address), ())
    assert not may_be_reached(ip_address(address), (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert may_be_reached(ip_address(address), EVERYTHING)


@pytest.mark.parametrize("address", ROUTED.split())
def test_the_internet_is_reached(address: str) -> None:
    """What is routed needs no network."""
    assert may_be_reached(ip_address(address), ())


@pytest.mark.parametrize("address", NOWHERE)
def test_what_is_not_routed_is_not_reached(address: str) -> None:
    """IPv6 outside of 2000::/3 goes nowhere, so nothing opens it."""
    assert not may_be_reached(ip_address(address), EVERYTHING)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::ffff:0:{}", "::{}", "64:ff9b::{}", "64:ff9b:1::{}"]))
def test_embedding_gives_no_more_than_the_address(inner: object, form: str) -> None:
    """An embedded address is reached only where the plain one is, even when the embedding network is allowed."""
    outer = ip_address(form.format(inner))
    networks = (ip_network("::/0"),)
    if may_be_reached(outer, networks) and outer != ip_address("::1"):
        assert may_be_reached(ip_address(str(inner)), networks)


ODD = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "①②⑦.0.0.1", "１２７.0.0.1", "127。0。0。1", "localhost"]


@pytest.mark.parametrize("host", ODD)
async def test_odd_spellings_are_what_they_resolve_to(host: str) -> None:
    """A number, octal, hexadecimal, short or full-width form of the loopback is the loopback."""
    with pytest.raises(AddressNotAllowed):
        await Egress().addresses(host, 80, ())
    assert set(await Egress().addresses(host, 80, EVERYTHING)) <= {"127.0.0.1", "::1"}


NO_HOSTS = ["", " ", "fe80::1%eth0", "::1%lo", "[fe80::1%25eth0]", "a b", "a..b", "x" * 70, "y" * 300, "a/b", "u@h"]
NO_HOSTS += [
    "127.0.0.1#",
    "127.0.0.1?",
    "127.0.0.1:80",
    "h\\",
    "h\x00",
    "h\n",
    "0",
    "[::ffff:127.0.0.1]",
    "169.254.169.254",
]


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_what_is_no_host_is_refused(host: str) -> None:
    """Zone ids, delimiters of URLs and control characters have no way to be judged otherwise."""
    with pytest.raises(AddressNotAllowed):
        await Egress().addresses(host, 80, (ip_network("127.0.0.0/8"), ip_network("fe80::/10")))


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_ports_that_are_none(port: int) -> None:
    """A port is 1 to 65535."""
    with pytest.raises(AddressNotAllowed):
        await Egress().addresses("1.1.1.1", port, ())


def answers(*addresses: str) -> Egress:
    """An egress for which every name has these addresses."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return Egress(resolve=resolve)


async def test_every_answer_must_pass() -> None:
    """A name with one private address is refused as a whole; else all addresses are given, once each."""
    assert await answers("1.1.1.1", "2606:4700::1111", "1.1.1.1").addresses("name", 80, ()) == [
        "1.1.1.1",
        "2606:4700::1111",
    ]
    for bad in ("127.0.0.1", "169.254.169.254", "fe80::1%2", "::ffff:10.0.0.1", "nonsense"):
        with pytest.raises(AddressNotAllowed):
            await answers("1.1.1.1", bad).addresses("name", 80, ())


async def test_names_that_do_not_resolve() -> None:
    """Neither the resolver's error nor the absence of an answer says more than that."""

    async def broken(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name in the inside network")

    for egress in (answers(), Egress(resolve=broken)):
        with pytest.raises(ExternalUnavailable) as raised:
            await egress.addresses("name.internal", 80, ())
        assert "inside" not in raised.value.message


async def test_own_listeners_are_never_reached() -> None:
    """Whatever is allowed: the suite's own ports on this machine are not for external systems."""
    egress = Egress([("127.0.0.1", 7001), ("0.0.0.0", 7002), ("::", 7003), ("ingest", 7004), ("1.1.1.1", 7005)])
    refused = [("127.0.0.1", 7001), ("127.9.9.9", 7001), ("127.0.0.1", 7002), ("::1", 7002), ("127.0.0.1", 7003)]
    refused += [("127.0.0.1", 7004), ("1.1.1.1", 7005), ("::ffff:127.0.0.1", 7001), ("localhost", 7002)]
    for host, port in refused:
        with pytest.raises(AddressNotAllowed):
            await egress.addresses(host, port, EVERYTHING)
    for host, port in [("127.0.0.1", 7000), ("8.8.8.8", 7002), ("127.0.0.1", 7005)]:
        assert await egress.addresses(host, port, EVERYTHING) == [host]


async def test_one_text_for_every_refusal() -> None:
    """What is refused, and why, cannot be told apart."""
    texts = set()
    for host in ("10.0.0.1", "169.254.169.254", "fe80::1%eth0", "localhost"):
        with pytest.raises(AddressNotAllowed) as raised:
            await Egress().addresses(host, 80, ())
        texts.add((raised.value.message, tuple(raised.value.metadata)))
    assert len(texts) == 1


def test_networks_are_read() -> None:
    """Networks and single addresses, of both versions."""
    assert networks_of({}) == networks_of({"allowed_networks": None}) == ()
    assert networks_of({"allowed_networks": ["10.1.0.0/16", "::1", " 127.0.0.1 "]}) == (
        ip_network("10.1.0.0/16"),
        ip_network("::1/128"),
        ip_network("127.0.0.1/32"),
    )


@pytest.mark.parametrize("listed", ["10.0.0.0/8", ["10.0.0.1/8"], [10], [""], ["localhost"], {}, ["::1"] * 101])
def test_networks_that_are_none(listed: object) -> None:
    """Nonsense makes the connection unusable, instead of opening nothing or all without a word."""
    with pytest.raises(ConnectionUnusable, match="allowed_networks"):
        networks_of({"allowed_networks": listed})
