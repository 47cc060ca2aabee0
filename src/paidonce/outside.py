"""Which places outside this network may be called. Decided on the address that is connected to and
never on how it is spelled; what an address says before it is resolved is only checked for sense.

Sources: IANA's special-purpose registries for IPv4 and IPv6
(https://www.iana.org/assignments/iana-ipv4-special-registry, …-ipv6-special-registry), RFC 6890.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

LONGEST_URL = 2048
HTTPS_PORT = 443
FIRST_FREE_PORT = 1024
"""Below it are the well-known services of others; of them only HTTPS is called."""

_IPV4_DENIED = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata (100.100.100.200)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform, inside every virtual network
        "169.254.0.0/16",  # link-local; the clouds' metadata (169.254.169.254)
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF; Oracle's metadata (192.0.0.192)
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_IPV6_GLOBAL = IPv6Network("2000::/3")
"""All that is routed; loopback, unique-local, link-local, site-local, multicast, unspecified and
Amazon's metadata (fd00:ec2::254) are outside of it."""
_IPV6_DENIED = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")


class BadUrl(ValueError):
    """An address that is not called, in words that go on after its name."""


def is_public(address: str) -> bool:
    """Whether a numeric address is outside of every network of our own. An IPv4 address inside an
    IPv6 one counts as what it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _IPV4_DENIED)
    if found.ipv4_mapped is not None:
        return is_public(str(found.ipv4_mapped))
    if found in _NAT64:
        return is_public(str(IPv4Address(int(found) & 0xFFFF_FFFF)))
    is_isatap = (int(found) >> 32) & 0xFFFF_FFFF in _ISATAP
    is_denied = is_isatap or any(found in network for network in _IPV6_DENIED)
    return found.scope_id is None and found in _IPV6_GLOBAL and not is_denied


def is_loopback(address: str) -> bool:
    """127.0.0.0/8 and ::1, for development."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def check_url(url: str, *, allows_loopback: bool = False) -> bool:
    """Raises BadUrl unless `url` may be called: https, a full name or a public address, port 443 or
    a free one. True: it is on loopback (http or https), which `allows_loopback` allows."""
    if len(url) > LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise BadUrl("must be an ASCII URL of at most 2048 characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("must be an https URL") from None
    host = _host_of(parts.netloc)
    if parts.fragment or "#" in url:
        raise BadUrl("must have no fragment")
    is_here = host in _LOOPBACK_NAMES or is_loopback(host)
    if allows_loopback and is_here and parts.scheme in ("http", "https"):
        return True
    if parts.scheme != "https":
        raise BadUrl("must be an https URL")
    _check_host(host)
    if port is not None and port != HTTPS_PORT and port < FIRST_FREE_PORT:
        raise BadUrl("must be on port 443, or 1024 and above")
    return False


def _host_of(netloc: str) -> str:
    """The host, lower case; an IPv6 address without its brackets."""
    if "@" in netloc:
        raise BadUrl("must have no user and password in it")
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+))(?::[0-9]+)?", netloc)
    if found is None:
        raise BadUrl("must be an https URL with a host")
    return str(found[1] or found[2]).lower()


def _check_host(host: str) -> None:
    """A name with a dot, or an address in its one canonical spelling that is public."""
    if ":" in host or _ends_in_a_number(host):
        if not _is_canonical(host) or not is_public(host):
            raise BadUrl("must not be an address inside a network")
        return
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(host) > 253:
        raise BadUrl("must have a host name of letters, digits and hyphens")
    if len(labels) < 2 or labels[-1] == "localhost" or host in _LOOPBACK_NAMES:
        raise BadUrl("must have a full host name that is known outside")


def _ends_in_a_number(host: str) -> bool:
    """What a resolver may take for an IPv4 address: 127.1, 2130706433, 0x7f000001, 0177.0.0.1
    (https://url.spec.whatwg.org/#ends-in-a-number-checker)."""
    labels = host.rstrip(".").split(".")
    return bool(re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]))


def _is_canonical(host: str) -> bool:
    """IPv4 in four decimal numbers without leading zeros; of IPv6 every spelling is the same."""
    try:
        return isinstance(ip_address(host), IPv6Address) or str(IPv4Address(host)) == host
    except ValueError:
        return False
