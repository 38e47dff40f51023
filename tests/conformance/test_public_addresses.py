"""Addresses that a user of the product gave us: our own network is never called by them (SECURITY.md, outgoing calls)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.peer import Peer, answer
from workers.errors import SystemDown
from workers.http import Http, is_public

if TYPE_CHECKING:
    from collections.abc import Sequence

PRIVATE = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),  # noqa: S104 - refused
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::",
        "no address",
        "",
    ),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_within_a_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def call(found: Sequence[str], url: str, *, public_only: bool = True) -> int:
    """The status of a call where every name has these addresses."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return found

    with Http(user_agent="capsule-relay/test", pool_size=2, resolve=resolve) as http:
        return http.request("GET", url, system="unified", route="GET /", deadline_s=3.0, public_only=public_only).status


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"])  # noqa: S104 - refused
def test_a_name_that_leads_to_this_machine_is_not_called(address: str) -> None:
    with Peer(lambda link, _: link.sendall(answer(b"{}"))) as peer:
        with pytest.raises(SystemDown, match="no public address"):
            call([address], peer.url.replace("127.0.0.1", "product.example"))
        with pytest.raises(SystemDown, match="no public address"):
            call([address], peer.url)

    assert peer.heads == []


def test_where_private_addresses_are_allowed_it_is_called() -> None:
    with Peer(lambda link, _: link.sendall(answer(b"{}"))) as peer:
        assert call([], peer.url, public_only=False) == 200
