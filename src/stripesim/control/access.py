"""Who may use the control plane: who knows the token, or without one this machine only.

A web page of another site runs in a browser of this machine, so its calls come from here too. Two
things give it away. A name that was made to lead here (DNS rebinding) stands in `Host`, and is no
name of this machine. A call to another origin (CSRF) carries `Origin`, or `Sec-Fetch-Site` where a
browser leaves `Origin` out (Fetch standard, "Sec-Fetch-Site"); the page at `/_sim` itself may be
come to by a link, since it shows nothing that the caller could read. A token is in no browser's
keeping, so whoever sends it needs none of this.

The address is the connection's. `X-Forwarded-For` counts when a proxy on this machine sends it
(`server.make_server`), so who comes through such a proxy is another machine's.
"""

import hmac
import ipaddress
import re

from stripesim.http import Request

HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::\d+)?")
OWN_SITES = (None, "same-origin", "none")  # "none": typed into the address bar


class Refused(Exception):
    """The call is refused with `status`; the text says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_access(request: Request, token: str | None, *, is_page: bool) -> None:
    """Raises Refused. `is_page`: the page and its files, which hold nothing of the store."""
    if token:
        given = request.headers.get("authorization", "").encode()
        if not is_page and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise Refused(401, "the control plane needs its token as Bearer")
        return
    if not is_loopback(request.client_ip):
        raise Refused(403, "the control plane is open to this machine only; set a token")
    if not _is_name_of_this_machine(request.headers.get("host")):
        raise Refused(403, "the control plane is open under 127.0.0.1 and localhost; set a token")
    origin = request.headers.get("origin")
    if origin is not None and origin != request.base_url:
        raise Refused(403, "the control plane answers no page of another site")
    if not is_page and request.headers.get("sec-fetch-site") not in OWN_SITES:
        raise Refused(403, "the control plane answers no page of another site")


def is_loopback(address: str | None) -> bool:
    found = _address(address)
    return found is not None and found.is_loopback


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address((text or "").removeprefix("::ffff:"))
    except ValueError:
        return None


def _is_name_of_this_machine(host: str | None) -> bool:
    """A client without `Host` is no browser. 0.0.0.0 is what a server on all addresses prints."""
    if host is None:
        return True
    match = HOST.fullmatch(host.lower())
    name = (match[1] or match[2]) if match else ""
    address = _address(name)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return name == "localhost" or name.endswith(".localhost")
