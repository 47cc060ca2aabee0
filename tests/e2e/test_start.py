"""A wrong setting stops the start: exit code 2 and one sentence that names it, no secret in it."""

import contextlib
import sqlite3
from collections.abc import Mapping

import pytest

from e2e.serving import DRAINED, assert_one_sentence, start_serving
from stripesim.testing import SimulatorThread
from support.environment import JWT_SECRET, environment
from support.processes import Process, StartProcess, free_port, script

NOBODY = "http://127.0.0.1:9"
LIVE_SECRET_KEY = "sk_live_0123456789abcdef"
LIVE_PUBLISHABLE_KEY = "pk_live_0123456789abcdef"
LIVE = {"STRIPE_SECRET_KEY": LIVE_SECRET_KEY, "STRIPE_PUBLISHABLE_KEY": LIVE_PUBLISHABLE_KEY}


def start_in_vain(
    start_process: StartProcess, settings: Mapping[str, str | None], *command: str
) -> Process:
    """Start it, wait for exit code 2, and see that nothing was served. None unsets a setting."""
    given = {name: value for name, value in settings.items() if value is not None}
    command = command or ("serve", "--port", str(free_port()))
    process = start_process(script("paidonce"), *command, environment=given)
    assert process.wait() == 2, process.stderr()
    assert process.stdout() == ""
    return process


@pytest.mark.parametrize(
    "name", ["STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "PAYMENT_RETURN_URL", "AUTH_JWT_SECRET"]
)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_required_setting_that_is_not_there_is_named(
    start_process: StartProcess, empty_sqlite_url: str, name: str, value: str | None
) -> None:
    settings = {**environment(empty_sqlite_url, NOBODY), name: value}
    process = start_in_vain(start_process, settings)
    assert_one_sentence(process.stderr(), name)


WRONG = {
    "database-url-garbage": ({"DATABASE_URL": "mysql://localhost/shop"}, "DATABASE_URL"),
    "database-url-no-file": ({"DATABASE_URL": "sqlite:///"}, "DATABASE_URL"),
    "database-url-no-folder": (
        {"DATABASE_URL": "sqlite:////nonexistent/folder/paidonce.db"},
        "DATABASE_URL",
    ),
    "database-url-nobody": (
        {"DATABASE_URL": "postgresql://user:pw-of-tests@127.0.0.1:9/shop"},
        "DATABASE_URL",
    ),
    "short-jwt-secret": ({"AUTH_JWT_SECRET": "31-bytes-are-not-enough-to-sign"}, "AUTH_JWT_SECRET"),
    "jwks-url": (
        {"AUTH_JWT_SECRET": "", "AUTH_JWKS_URL": "ftp://auth.example/jwks"},
        "AUTH_JWKS_URL",
    ),
    "live-keys-with-a-base": (LIVE, "STRIPE_API_BASE"),
    "live-secret-test-publishable": (
        {"STRIPE_SECRET_KEY": LIVE_SECRET_KEY, "STRIPE_API_BASE": ""},
        "STRIPE_PUBLISHABLE_KEY",
    ),
    "test-secret-live-publishable": (
        {"STRIPE_PUBLISHABLE_KEY": LIVE_PUBLISHABLE_KEY},
        "STRIPE_PUBLISHABLE_KEY",
    ),
    "keys-swapped": (
        {
            "STRIPE_SECRET_KEY": "pk_test_0123456789abcdef",
            "STRIPE_PUBLISHABLE_KEY": "sk_test_0123456789abcdef",
        },
        "STRIPE_SECRET_KEY",
    ),
    "return-url-http": ({"PAYMENT_RETURN_URL": "http://evil.example/return"}, "PAYMENT_RETURN_URL"),
    "return-url-script": ({"PAYMENT_RETURN_URL": "javascript:alert(1)"}, "PAYMENT_RETURN_URL"),
    "return-url-relative": ({"PAYMENT_RETURN_URL": "/return"}, "PAYMENT_RETURN_URL"),
    "api-base": ({"STRIPE_API_BASE": "127.0.0.1:8100"}, "STRIPE_API_BASE"),
    "confirmation-method": (
        {"STRIPE_CONFIRMATION_METHOD": "sometimes"},
        "STRIPE_CONFIRMATION_METHOD",
    ),
    "method-policy": ({"PAYMENT_METHOD_POLICY": "never"}, "PAYMENT_METHOD_POLICY"),
    "use-sdk": ({"STRIPE_USE_SDK": "perhaps"}, "STRIPE_USE_SDK"),
    "proxies": ({"TRUSTED_PROXIES": "10.0.0.0/99"}, "TRUSTED_PROXIES"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(
    start_process: StartProcess, empty_sqlite_url: str, case: str
) -> None:
    changes, name = WRONG[case]
    settings = {**environment(empty_sqlite_url, NOBODY), **changes}
    process = start_in_vain(start_process, settings)
    assert_one_sentence(process.stderr(), name)
    secrets = (LIVE_SECRET_KEY, "sk_test_0123456789abcdef", "pw-of-tests", "31-bytes", "evil")
    assert [word for word in secrets if word in process.stderr()] == []


def test_the_other_commands_refuse_as_serve_does_and_need_only_what_they_use(
    start_process: StartProcess, empty_sqlite_url: str
) -> None:
    settings = environment(empty_sqlite_url, NOBODY)
    for command, name in (
        (("worker",), "STRIPE_SECRET_KEY"),
        (("db", "upgrade"), "DATABASE_URL"),
        (("token", "--user", "alice"), "AUTH_JWT_SECRET"),
    ):
        wrong = "mysql://x" if name == "DATABASE_URL" else None
        process = start_in_vain(start_process, {**settings, name: wrong}, *command)
        assert_one_sentence(process.stderr(), name)
    for command, name in (
        (("db", "upgrade"), "DATABASE_URL"),
        (("token", "--user", "alice"), "AUTH_JWT_SECRET"),
    ):
        process = start_process(script("paidonce"), *command, environment={name: settings[name]})
        assert process.wait() == 0, process.stderr()


def test_a_database_of_test_data_refuses_live_keys(
    start_process: StartProcess, sqlite_url: str, stripe_simulator: SimulatorThread
) -> None:
    serving = start_serving(start_process, environment(sqlite_url, stripe_simulator.url))
    assert serving.process.terminate() in DRAINED
    settings = {**environment(sqlite_url, ""), **LIVE}
    process = start_in_vain(start_process, settings)
    assert_one_sentence(process.stderr(), "STRIPE_SECRET_KEY", "test", "live")


def test_a_database_of_another_account_is_refused(
    start_process: StartProcess, sqlite_url: str, stripe_simulator: SimulatorThread
) -> None:
    settings = environment(sqlite_url, stripe_simulator.url)
    assert start_serving(start_process, settings).process.terminate() in DRAINED
    path = sqlite_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        [(account,)] = connection.execute("SELECT stripe_account_id FROM paidonce_installation")
        assert account.startswith("acct_")
        connection.execute("UPDATE paidonce_installation SET stripe_account_id = 'acct_of_another'")
    process = start_in_vain(start_process, settings)
    assert_one_sentence(process.stderr(), "STRIPE_SECRET_KEY", "account")


def test_stripe_does_not_have_to_answer_for_a_start(
    start_process: StartProcess, sqlite_url: str
) -> None:
    serving = start_serving(start_process, environment(sqlite_url, NOBODY))
    assert serving.process.terminate() in DRAINED
    assert "Traceback" not in serving.process.stderr()
    assert JWT_SECRET not in serving.process.stderr() + serving.process.stdout()
