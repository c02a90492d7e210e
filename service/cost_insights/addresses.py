"""Addresses such as `127.0.0.1:50051`, on which the service listens."""

import ipaddress
import socket
from functools import lru_cache
from urllib.parse import urlsplit

_SOCKETS = ("unix:", "unix-abstract:")


class AddressError(Exception):
    """An address is malformed, or the service cannot or must not listen on it."""


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of an address such as `127.0.0.1:50051`; raises AddressError."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise AddressError(
            f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:50051"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """The address of a host and a port: what `split_address` takes apart."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def socket_family(host: str) -> socket.AddressFamily:
    """The family of the sockets that listen on a host of `split_address`."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_socket(address: str) -> bool:
    """Whether an address is a Unix domain socket, such as `unix:/run/cost-insights.sock`."""
    return address.startswith(_SOCKETS)


@lru_cache(maxsize=64)
def names_this_machine(host: str | None) -> bool:
    """Whether the `host` of an HTTP request is `localhost`, an address, or absent.

    A page of any site can have a name of its own lead here and then call a service on loopback as
    its own origin (DNS rebinding); an address cannot be made to lead elsewhere.
    """
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname if host.isascii() else None
        if name is None:
            return False
        if name == "localhost" or name.endswith(".localhost"):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address; raises AddressError."""
    if is_socket(address):
        return True
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
