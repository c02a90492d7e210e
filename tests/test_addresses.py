"""Addresses are split into a host and a port, and joined again."""

import pytest

from cost_insights.addresses import AddressError, is_loopback, join_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::]:50051", ("::", 50051)),
    ],
)
def test_an_address_is_split_and_joined(address: str, parts: tuple[str, int]) -> None:
    """The brackets of an IPv6 address are no part of the host, and come back."""
    assert split_address(address) == parts
    assert join_address(*parts) == address


@pytest.mark.parametrize("address", ["", "localhost", ":50051", "localhost:", "a:65536", "a:١"])
def test_what_is_not_an_address_is_named(address: str) -> None:
    """The error quotes the text and shows an address."""
    with pytest.raises(AddressError) as refused:
        split_address(address)
    assert str(refused.value) == (
        f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:50051"
    )


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/cost-insights.sock", True),
        ("0.0.0.0:1", False),
        ("example.org:1", False),
    ],
)
def test_loopback_is_reached_from_this_machine_only(address: str, loopback: bool) -> None:
    """Sockets and loopback addresses count as loopback; a name that must be looked up does not."""
    assert is_loopback(address) is loopback
