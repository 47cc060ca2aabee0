"""The simulator and the service with the demo's page as two processes on SQLite, ready to be paid.

The keys and secrets are made anew for every demo; they open nothing but the simulator.
"""

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import SecretStr

from paidonce.settings import Settings, TokenSettings
from paidonce.tokens import make_token

START_SECONDS = 50.0
TICK_SECONDS = 0.1
STOP_SECONDS = 30.0
TERMINAL_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")  # they would take over ours
CHOSEN_PORTS = range(10_000, 32_000)  # below the ephemeral ones of Linux, macOS and Windows
PRODUCTS = [
    {"productId": "coffee", "name": "Coffee beans", "amountMinor": 1250, "currency": "usd"},
    {"productId": "grinder", "name": "Grinder", "amountMinor": 44000, "currency": "usd"},
    {"productId": "cup", "name": "Cup", "amountMinor": 899, "currency": "usd"},
]


class DemoError(Exception):
    """The demo cannot start; one sentence that says why."""


class Demo:
    """A running demo. Leaving the context stops its processes, the server first."""

    def __init__(self, *, port: int, stripe_port: int, data_dir: Path | None) -> None:
        if port and port == stripe_port:
            raise DemoError("--port and --stripe-port must differ.")
        self._port = port or free_port()
        self._stripe_port = stripe_port or free_port()
        self._is_temporary = data_dir is None
        self._data_dir = data_dir or Path(tempfile.mkdtemp(prefix="paidonce-demo-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_stopped = False  # by a signal, whose handler may take no lock: no Event
        self.url = f"http://127.0.0.1:{self._port}"
        self.page_url = f"{self.url}/demo"
        self.stripe_url = f"http://127.0.0.1:{self._stripe_port}"
        try:
            self._environment = self._read_or_make_environment()
        except (OSError, ValueError) as error:
            raise DemoError(f"--data-dir {data_dir} cannot be used: {error}.") from None

    def __enter__(self) -> "Demo":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            for port in (self._port, self._stripe_port):
                _check_free(port)
            self._start()
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop_all()

    def wait(self) -> None:
        """Until Ctrl-C or SIGTERM, or until one of the processes ends by itself."""
        while not self._is_stopped:
            time.sleep(TICK_SECONDS)
            for process in self._processes:
                if process.poll() is not None:
                    raise DemoError(f"a process of the demo ended with {process.returncode}")

    def open_page(self) -> None:
        """Show the page in the person's browser, if there is one; whatever it does, we go on."""
        threading.Thread(target=_open_in_browser, args=[self.page_url], daemon=True).start()

    def as_json(self) -> str:
        """The one line of `--json`."""
        return json.dumps(
            {
                "url": self.url,
                "stripe_url": self.stripe_url,
                "token": self._token("demo-user"),
                "other_token": self._token("other-user"),
                "merchant_api_key": self._environment["MERCHANT_API_KEY"],
                "webhook_secret": self._environment["STRIPE_WEBHOOK_SECRET"],
            }
        )

    def as_text(self) -> str:
        """What a person needs: the page to play with, and how to pay an order with curl."""
        token = self._token("demo-user")
        return f"""
Open this page        {self.page_url}
paidonce is running   {self.url}
Stripe simulator      {self.stripe_url}

  export URL={self.url}
  export TOKEN={token}
  export MERCHANT_API_KEY={self._environment["MERCHANT_API_KEY"]}

1. An order (440.00 usd):
  ORDER=$(curl -s $URL/api/mobile-app/orders -H "Authorization: Bearer $TOKEN" \\
    -H "Content-Type: application/json" \\
    -d '{{"items":[{{"productId":"grinder","quantity":1}}]}}' \\
    | sed 's/.*"orderId":"\\([^"]*\\)".*/\\1/')

2. Pay it (again and again: one charge):
  curl -s $URL/api/mobile-app/orders/$ORDER/pay -H "Authorization: Bearer $TOKEN" \\
    -H "Content-Type: application/json" -d '{{"paymentToken":"pm_card_visa"}}'

3. What was charged, from the simulator's own ledger:
  curl -s "{self.stripe_url}/_sim/audit?group_by=order_id"

pm_card_chargeCustomerFail declines. pm_card_authenticationRequired asks for 3-D Secure: open the
address that this prints for the answer's paymentIntentId, then POST …/pay/confirm:
  curl -s {self.stripe_url}/v1/payment_intents/$INTENT -u sk_test_any: \\
    | sed 's/.*"stripe_js":"\\([^"]*\\)".*/\\1/'

Ctrl-C stops the demo.
"""

    def _on_signal(self, *_: object) -> None:
        self._is_stopped = True

    def _read_or_make_environment(self) -> dict[str, str]:
        """Keys and secrets; kept with the data when the data is kept."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        kept = self._data_dir / "demo.json"
        if kept.exists():
            values: dict[str, str] = json.loads(kept.read_text())
        else:
            values = {
                "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(12)}",
                "STRIPE_PUBLISHABLE_KEY": f"pk_test_{secrets.token_hex(12)}",
                "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
                "AUTH_JWT_SECRET": secrets.token_hex(32),
                "MERCHANT_API_KEY": f"merchant_{secrets.token_hex(16)}",
            }
            kept.touch(mode=0o600)
            kept.write_text(json.dumps(values))
        return {
            **values,
            "STRIPE_API_BASE": self.stripe_url,
            "DATABASE_URL": f"sqlite:///{(self._data_dir / 'paidonce.db').resolve()}",
            "PAYMENT_RETURN_URL": f"{self.page_url}/back",
            "DECLINES_PER_USER_AND_HOUR": "1000",  # a person tries every declining card
            "CARDS_PER_USER_AND_HOUR": "1000",
            "CARDS_WITHOUT_DELAY": "1000",
            "SAME_ORDER_WITHIN_SECONDS": "0",  # and buys the same again and again
        }

    def _start(self) -> None:
        webhook = ["--webhook-url", f"{self.url}/api/webhooks/stripe"]
        secret = ["--webhook-secret", self._environment["STRIPE_WEBHOOK_SECRET"]]
        data = ["--data", str(self._data_dir / "stripe.db")]
        port = ["--port", str(self._stripe_port)]
        self._run(["stripesim", "serve", "--strict-method-types", *port, *data, *webhook, *secret])
        self._wait_until_up(f"{self.stripe_url}/_sim/health")
        token = {"PAIDONCE_DEMO_TOKEN": self._token("demo-user")}
        self._run(["paidonce.demo.app", str(self._port)], token)
        self._wait_until_up(f"{self.url}/readyz")
        key = self._environment["MERCHANT_API_KEY"]
        _put_json(f"{self.url}/api/products", key, {"products": PRODUCTS})

    def _run(self, command: list[str], variables: Mapping[str, str] | None = None) -> None:
        """Our own module in a process of its own; its output is log, so it goes to stderr."""
        self._processes.append(
            subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *command],
                env={**_without_settings(), **self._environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                start_new_session=True,  # Ctrl-C is for the demo alone, which stops them in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread of the demo holds a lock
            )
        )

    def _wait_until_up(self, url: str) -> None:
        ends_at = time.monotonic() + START_SECONDS
        while time.monotonic() < ends_at and not self._is_stopped:
            if self._processes[-1].poll() is not None:
                raise DemoError("a process of the demo could not start; its words stand above.")
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
            time.sleep(0.05)
        if self._is_stopped:
            raise DemoError("stopped while starting.")
        raise DemoError(f"{url} did not answer within {START_SECONDS:.0f} s.")

    def _token(self, user: str) -> str:
        secret = SecretStr(self._environment["AUTH_JWT_SECRET"])
        settings = TokenSettings(
            auth_jwt_secret=secret, auth_jwks_url="", auth_audience="", auth_issuer=""
        )
        return make_token(settings, user)

    def _stop_all(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._is_temporary:
            shutil.rmtree(self._data_dir, ignore_errors=True)


def free_port() -> int:
    """A free port that the system does not hand out meanwhile to anybody who asks for any."""
    while True:
        port = secrets.choice(CHOSEN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _open_in_browser(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        browser = webbrowser.get()
        if Path(getattr(browser, "name", "")).name not in TERMINAL_BROWSERS:
            browser.open(url)


def _end_with_parent() -> None:
    """In the child: SIGTERM when the demo dies, however it dies (Linux's PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoError(
                f"port {port} is in use; choose others with --port and --stripe-port."
            ) from None


def _without_settings() -> dict[str, str]:
    """The caller's environment less what configures a real service."""
    return {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}


def _put_json(url: str, key: str, body: Any) -> None:
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        url,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        return
