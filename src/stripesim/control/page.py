"""The page at `/_sim`: files of this package, with a policy that lets nothing else in."""

from mimetypes import guess_type
from pathlib import Path

from stripesim.http import Answer

FILES = Path(__file__).parent / "page"
PAGE_PATHS = ("/_sim", "/_sim/")
FILE_PREFIX = "/_sim/page/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_of_page(method: str, path: str) -> bool:
    return method == "GET" and (path in PAGE_PATHS or path.startswith(FILE_PREFIX))


def page_file(path: str) -> Answer | None:
    """The page or one of its files; None when there is no such file."""
    name = "index.html" if path in PAGE_PATHS else path.removeprefix(FILE_PREFIX)
    files = {file.name: file for file in FILES.iterdir() if file.is_file()}
    if name not in files:
        return None
    kind = guess_type(name)[0] or "application/octet-stream"
    charset = "" if kind.startswith("image/") else "; charset=utf-8"
    return Answer(200, files[name].read_bytes(), HEADERS, kind + charset)
