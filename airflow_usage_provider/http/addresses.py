"""Which addresses anybody reaches, and connections to those alone.

A name is resolved once; every address is looked at before a socket is opened, and one of them is connected to. No DNS
answer can say one thing first and another later, and no redirect can probe the network that a worker is in.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from urllib3.util.connection import allowed_gai_family

from airflow_usage_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

    from airflow_usage_provider.http.deadline import Deadline

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that anybody was ever given
_AZURE_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")  # a public address that leads to the host's own services
# What IANA keeps for special purposes and Python calls public, or called so before 3.11.9: among it the metadata
# service of Oracle's cloud, 192.0.0.192.
_SPECIAL = [ipaddress.ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")]
ALLOW_STEP = "If that is your deployment, set allow_private_download to true in the connection's extra."


def is_public_address(address: str) -> bool:
    """Whether an IP address is reachable by everybody: not loopback, private, link-local, reserved or multicast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif (embedded := ip.ipv4_mapped or ip.sixtofour) is not None:
            ip = embedded
        elif ip not in _GLOBAL_UNICAST:
            return False
    is_special = ip == _AZURE_WIRE_SERVER or any(ip in network for network in _SPECIAL)
    return ip.is_global and not ip.is_multicast and not is_special


def connect(connection: HTTPConnection, deadline: Deadline | None, *, public_only: bool) -> socket.socket:
    """
    Open the socket of a connection, within its timeout for each address.

    :param deadline: no further address is tried when it has passed.
    :param public_only: refuse names and addresses that are not reachable by everybody.
    :raises ConfigurationError: an address is refused; none was connected to.
    :raises OSError: none of the addresses answers, or the name has none.
    """
    host = connection.host.strip("[]")
    found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    if public_only and not all(is_public_address(str(address[0])) for *_, address in found):
        raise ConfigurationError(
            f"The download URL's host {host} is at a loopback, private or link-local address", next_step=ALLOW_STEP
        )
    failure: OSError = socket.gaierror("no address")
    for family, kind, protocol, _, address in found:
        try:
            return _open_socket(connection, family, kind, protocol, address)
        except OSError as error:
            failure = error
        if deadline is not None and deadline.has_passed:
            break
    raise failure


def _open_socket(connection: HTTPConnection, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        for option in connection.socket_options or ():
            sock.setsockopt(*option)
        sock.settimeout(connection.timeout)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
