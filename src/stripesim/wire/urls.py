"""Addresses in parameters: a webhook's `url`, a `return_url` (which may have an app's scheme)."""

import re
from urllib.parse import urlsplit

from stripesim.wire.errors import StripeError, invalid_request

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
PLAIN = re.compile(r"[!#-;=?-~]+")  # no blanks, quotes, angle brackets; nothing beyond ASCII
# Both recorded: the second in stripe/stripe-react-native#539 and flutter-stripe#1485.
NO_SCHEME = "Invalid URL: An explicit scheme (such as https) must be provided."
NOT_VALID = "Not a valid URL"


def check_url(url: str, param: str) -> str:
    """The address itself. Raises StripeError 400 `url_invalid`."""
    if not SCHEME.match(url):
        raise _invalid(NO_SCHEME, param)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  reading it is what checks it
    except ValueError as error:
        raise _invalid(NOT_VALID, param) from error
    if not PLAIN.fullmatch(url) or not (parts.netloc or parts.path):
        raise _invalid(NOT_VALID, param)
    return url


def _invalid(message: str, param: str) -> StripeError:
    return invalid_request(message, code="url_invalid", param=param)
