"""Whose request this is, by address: the peer, or who stands behind the proxies we trust."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from paidonce.observability import get_logger

Address = IPv4Address | IPv6Address
NETWORK_BITS = 64
UNKNOWN = "unknown"  # a peer without an address: a Unix socket
log = get_logger(__name__)


class ClientAddresses:
    """Reads `X-Forwarded-For` from the right, as far as each hop is one of `trusted`."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._has_warned = False

    def of(self, scope: Scope) -> str:
        """The address as text, IPv4 also when it came inside IPv6. Of an IPv6 address the first 64
        bits: that much everybody has who has one (RFC 6177), and could come from 2^64 addresses.

        Everything left of the first hop we do not trust is what the client chose to send. An entry
        that is no address ends the walk at the proxy that sent it.
        """
        client = scope.get("client")
        nearest = _parse(client[0]) if client else None
        if nearest is None:
            return UNKNOWN
        if self._is_trusted(nearest):
            for entry in reversed(_forwarded_for(scope)):
                address = _parse(entry)
                if address is None:
                    break
                nearest = address
                if not self._is_trusted(address):
                    break
        elif not self._has_warned and _forwarded_for(scope):
            self._warn_of(nearest)
        return str(_counted(nearest))

    def _warn_of(self, proxy: Address) -> None:
        """Once: all who come through it count as one, and the declines of some keep all out."""
        self._has_warned = True
        log.warning("proxy.not_trusted", address=str(proxy), setting="TRUSTED_PROXIES")

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _counted(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    return IPv6Network((address, NETWORK_BITS), strict=False).network_address


def _forwarded_for(scope: Scope) -> list[str]:
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [entry.strip() for line in lines for entry in line.decode("latin-1").split(",")]


def _parse(text: str) -> Address | None:
    """An address, with or without a port: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
