"""A missing or wrong setting stops the start with one sentence that names it."""

import base64
import os

import pytest

from paidonce.endpoints import new_secret
from paidonce.settings import Settings, SettingsError, load_settings

GOOD = {
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "PAYMENT_RETURN_URL": "https://shop.example/return",
    "AUTH_JWT_SECRET": "x" * 32,
}

EVENT_SECRET = new_secret()
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----"


def _environment(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**GOOD, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)


def test_the_required_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(monkeypatch, {})
    settings = load_settings()
    assert settings.mode == "test"
    assert settings.webhook_secrets == [] and settings.merchant_api_keys == []
    assert settings.stripe_confirmation_method == "automatic"
    assert settings.payment_method_policy == "attach"
    assert settings.stripe_use_sdk is True


@pytest.mark.parametrize(
    "name", ["STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "PAYMENT_RETURN_URL"]
)
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _environment(monkeypatch, {name: None})
    with pytest.raises(SettingsError, match=f"^{name} is required but not set.$"):
        load_settings()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"AUTH_JWT_SECRET": None}, "AUTH_JWT_SECRET or AUTH_JWKS_URL"),
        ({"AUTH_JWKS_URL": "https://login.example/jwks"}, "AUTH_JWKS_URL"),
        ({"AUTH_JWT_SECRET": "too short"}, "AUTH_JWT_SECRET"),
        ({"AUTH_JWT_SECRET": None, "AUTH_JWKS_URL": "ftp://x"}, "AUTH_JWKS_URL"),
        ({"AUTH_JWT_SECRET": None, "AUTH_JWKS_URL": "http://login.example/jwks"}, "AUTH_JWKS_URL"),
        ({"AUTH_JWT_SECRET": None, "AUTH_JWKS_URL": "https:/jwks"}, "AUTH_JWKS_URL"),
        ({"AUTH_JWT_SECRET": PUBLIC_KEY}, "AUTH_JWT_SECRET must be a shared secret"),
        ({"AUTH_JWT_SECRET": '{"kty": "RSA", "n": "0123456789abcdef"}'}, "AUTH_JWT_SECRET"),
        ({"MERCHANT_API_KEY": "quite-short-key"}, "MERCHANT_API_KEY must have at least 16 char"),
        ({"MERCHANT_API_KEY": f"{'long' * 9}, quite-short-key "}, "MERCHANT_API_KEY must have at"),
        ({"MERCHANT_API_KEY": " quite-short-key"}, "MERCHANT_API_KEY must have at least 16 char"),
        ({"STRIPE_SECRET_KEY": "pk_test_1"}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_PUBLISHABLE_KEY": "sk_test_1"}, "STRIPE_PUBLISHABLE_KEY"),
        ({"STRIPE_PUBLISHABLE_KEY": "pk_live_1"}, "STRIPE_PUBLISHABLE_KEY"),
        ({"PAYMENT_RETURN_URL": "shop.example"}, "PAYMENT_RETURN_URL"),
        ({"PAYMENT_RETURN_URL": "http://shop.example"}, "PAYMENT_RETURN_URL"),
        ({"PAYMENT_RETURN_URL": "javascript:alert(1)"}, "PAYMENT_RETURN_URL"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:p@ss:w0rd@127.0.0.1:1/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:p:w0rd@127.0.0.1:1/x"}, "DATABASE_URL"),
        ({"STRIPE_API_BASE": "localhost"}, "STRIPE_API_BASE"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_abcdefgh,we_abcdefgh"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_abcdefgh, whsec_abcdefg"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_CONFIRMATION_METHOD": "sometimes"}, "STRIPE_CONFIRMATION_METHOD"),
        ({"PAYMENT_METHOD_POLICY": "maybe"}, "PAYMENT_METHOD_POLICY"),
        ({"STRIPE_USE_SDK": "perhaps"}, "STRIPE_USE_SDK"),
        ({"UNKNOWN_WINDOW_SECONDS": "0"}, "UNKNOWN_WINDOW_SECONDS"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8, somewhere"}, "TRUSTED_PROXIES"),
        ({"EVENT_ENDPOINTS": "https://shop.example"}, "EVENT_SECRETS"),
        ({"EVENT_SECRETS": EVENT_SECRET}, "EVENT_ENDPOINTS"),
        ({"EVENT_SECRETS": "whsec_c2hvcnQ="}, "EVENT_SECRETS"),
        ({"EVENT_SECRETS": "no secret"}, "EVENT_SECRETS"),
        ({"EVENT_ENDPOINTS": "http://a.example", "EVENT_SECRETS": EVENT_SECRET}, "EVENT_ENDPOINTS"),
        ({"EVENT_ENDPOINTS": "https://10.0.0.1", "EVENT_SECRETS": EVENT_SECRET}, "EVENT_ENDPOINTS"),
        (
            {"EVENT_ENDPOINTS": "http://localhost:1", "EVENT_SECRETS": EVENT_SECRET},
            "EVENT_ENDPOINTS",
        ),
        ({"EVENT_ENDPOINTS": "a=https://a.example,a=https://b.example"}, "EVENT_ENDPOINTS"),
        (
            {
                "STRIPE_SECRET_KEY": "sk_live_1",
                "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
                "EVENT_ALLOW_LOOPBACK": "true",
            },
            "EVENT_ALLOW_LOOPBACK",
        ),
        (
            {
                "STRIPE_SECRET_KEY": "sk_live_1",
                "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
                "STRIPE_API_BASE": "http://127.0.0.1:8100",
            },
            "STRIPE_API_BASE",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_without_its_value(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], named: str
) -> None:
    _environment(monkeypatch, changes)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    sentence = str(refused.value)
    assert named in sentence and "\n" not in sentence and sentence.endswith(".")
    for name in ("AUTH_JWT_SECRET", "EVENT_SECRETS", "MERCHANT_API_KEY"):
        secret = changes.get(name)
        assert secret is None or secret.strip(" ,") not in sentence
    assert "quite-short" not in sentence


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_setting_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As `NAME=` in a compose file or a shell means it."""
    outcomes = []
    for value in (None, ""):
        _environment(monkeypatch, {name.upper(): value})
        try:
            outcomes.append(load_settings().model_dump())
        except SettingsError as refused:
            outcomes.append({"refused": str(refused)})
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("name", "value", "rest"),
    [
        ("STRIPE_USE_SDK", "perhaps", "must be true or false."),
        ("EVENT_ALLOW_LOOPBACK", "2", "must be true or false."),
        ("CAPTURE_METHOD", "sometimes", "must be automatic or manual."),
        ("PAYMENT_METHOD_POLICY", "Attach", "must be attach or single_use."),
        ("MAX_REQUESTS", "many", "must be a whole number from 1 to 1000."),
        ("MAX_REQUESTS", "2.5", "must be a whole number from 1 to 1000."),
        ("MAX_REQUESTS", "1001", "must be a whole number from 1 to 1000."),
        ("SAME_ORDER_WITHIN_SECONDS", "-1", "must be a whole number from 0 to 86400."),
        ("CARDS_WITHOUT_DELAY", "0", "must be a whole number from 1."),
        ("DRAIN_DELAY_SECONDS", "nan", "must be a number from 0 to 300."),
        ("DRAIN_DELAY_SECONDS", "301", "must be a number from 0 to 300."),
        ("PAYMENT_METHOD_TYPES", "card, link", "must be comma separated types, card for one."),
        ("TRUSTED_PROXIES", "somewhere", "must be comma separated addresses or networks."),
        ("DATABASE_URL", "shop.db", "must be sqlite:///file.db or postgresql://."),
    ],
)
def test_a_refusal_says_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, rest: str
) -> None:
    _environment(monkeypatch, {name: value})
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"{name} {rest}"


def test_endpoints_have_names_and_secrets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_secret()
    _environment(
        monkeypatch,
        {
            "EVENT_ENDPOINTS": "https://shop.example/a?b=c&d=, books=https://books.example",
            "EVENT_SECRETS": f"{EVENT_SECRET}, books={other} ,main={other}",
        },
    )
    settings = load_settings()
    found = {each.name: (each.url, each.secrets) for each in settings.outgoing_endpoints}
    mine, theirs = (base64.b64decode(text[6:]) for text in (EVENT_SECRET, other))
    assert found == {
        "main": ("https://shop.example/a?b=c&d=", (mine, theirs)),
        "books": ("https://books.example", (theirs,)),
    }
    for shown in (repr(settings), repr(settings.outgoing_endpoints)):
        assert EVENT_SECRET not in shown and other not in shown and str(mine) not in shown


def test_without_endpoints_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(monkeypatch, {})
    assert load_settings().outgoing_endpoints == []


def test_lists_are_split_and_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(
        monkeypatch,
        {
            "STRIPE_WEBHOOK_SECRET": f"whsec_{'a' * 8}, whsec_{'b' * 8}",
            "MERCHANT_API_KEY": f"{'one' * 6},,{'two' * 6} ",
            "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        },
    )
    settings = load_settings()
    assert settings.webhook_secrets == ["whsec_" + "a" * 8, "whsec_" + "b" * 8]
    assert settings.merchant_api_keys == ["one" * 6, "two" * 6]
    assert [str(network) for network in settings.trusted_proxy_networks] == [
        "10.0.0.0/8",
        "::1/128",
    ]
    assert "whsec_aaa" not in repr(settings) and "sk_test_1" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["myapp://payment-return", "https://x.example", "http://localhost:1/r"]
)
def test_an_apps_own_scheme_and_loopback_are_return_urls(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    _environment(monkeypatch, {"PAYMENT_RETURN_URL": url})
    assert load_settings().payment_return_url == url
