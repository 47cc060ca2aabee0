"""Every setting (docs/settings.md), read from the environment once, checked before anything
starts."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, Self, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import jwt
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from paidonce.endpoints import Endpoint, endpoints_of, parse_endpoints, parse_secrets
from paidonce.observability import has_card_number

Mode = Literal["test", "live"]
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SHORTEST_MERCHANT_KEY = 16
SHORTEST_WEBHOOK_SECRET = 8
"""Behind `whsec_`; Stripe's are longer. A template whose variable was empty is noticed."""
AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class SettingsError(Exception):
    """A missing or wrong setting, in one sentence that names it."""


class EnvironmentSettings(BaseSettings):
    """Environment variables, upper case, by the names of the fields; an empty one is not set.
    Addresses may hold a password, so they are left out of what a traceback could show, like
    secrets."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    @model_validator(mode="after")
    def _no_card_numbers(self) -> Self:
        """Names of endpoints, addresses and the like are stored and logged."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if has_card_number(text):
                raise ValueError(f"{name.upper()} holds what looks like a card number")
        return self


class DatabaseSettings(EnvironmentSettings):
    """What a migration needs."""

    database_url: str = Field(
        "sqlite:///paidonce.db", description="sqlite:///file.db or postgresql://…", repr=False
    )
    database_pool_size: int = Field(
        10, ge=1, le=100, description="PostgreSQL: connections of one process, at most"
    )
    users_table: str = Field(
        "", description="the host's users table; empty: `users`, where there is one"
    )
    users_id_column: str = Field("id", min_length=1, description="its id, the tokens' `sub`")
    users_email_column: str = Field("email", min_length=1, description="its e-mail")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not re.match(r"sqlite:///.+|postgres(ql)?://.+", value):
            raise ValueError("must be sqlite:///file.db or postgresql://…")
        try:
            address = urlsplit(value)
            _port = address.port
        except ValueError:
            raise ValueError("must be sqlite:///file.db or postgresql://…") from None
        user_and_password, _, _ = address.netloc.rpartition("@")
        if "@" in user_and_password or user_and_password.count(":") > 1:
            raise ValueError("needs @ and : in a user or password written as %40 and %3A")
        return value


class TokenSettings(EnvironmentSettings):
    """How the app's tokens are checked."""

    auth_jwt_secret: SecretStr = Field(
        SecretStr(""), description="HS256 secret of the app's tokens, at least 32 bytes"
    )
    auth_jwks_url: str = Field(
        "", description="JWKS URL of the app's RS256 or ES256 tokens", repr=False
    )
    auth_audience: str = Field("", description="checked when set")
    auth_issuer: str = Field("", description="checked when set")

    @field_validator("auth_jwt_secret")
    @classmethod
    def _jwt_secret(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value().encode()) < 32:
            raise ValueError("must have at least 32 bytes")
        try:
            jwt.get_algorithm_by_name("HS256").prepare_key(value.get_secret_value() or "unset")
        except jwt.InvalidKeyError:  # whoever knows a public key could sign with it
            raise ValueError(
                "must be a shared secret, not a key; keys go by AUTH_JWKS_URL"
            ) from None
        return value

    @field_validator("auth_jwks_url")
    @classmethod
    def _jwks_url(cls, value: str) -> str:
        url = urlsplit(value)
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
        if value and not (is_safe and url.netloc):  # who changes the answer, signs the tokens
            raise ValueError("must be an https URL; http only on loopback")
        return value

    @model_validator(mode="after")
    def _one_kind_of_token(self) -> Self:
        if not self.auth_jwt_secret.get_secret_value() and not self.auth_jwks_url:
            raise ValueError("AUTH_JWT_SECRET or AUTH_JWKS_URL is required")
        if self.auth_jwt_secret.get_secret_value() and self.auth_jwks_url:
            raise ValueError("AUTH_JWT_SECRET and AUTH_JWKS_URL exclude each other: set one")
        return self


class StripeSettings(EnvironmentSettings):
    """What a call to Stripe needs."""

    stripe_secret_key: SecretStr = Field(description="test or live secret key")
    stripe_api_base: str = Field("", description="empty: Stripe itself", repr=False)

    @property
    def mode(self) -> Mode:
        return key_mode(self.stripe_secret_key.get_secret_value())

    @field_validator("stripe_secret_key")
    @classmethod
    def _secret_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", value.get_secret_value()):
            raise ValueError("must be a secret key (sk_test_…, sk_live_… or rk_…)")
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _api_base(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/]+/?$", value):
            raise ValueError("must be empty or an http(s) address without a path")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _live_goes_to_stripe(self) -> Self:
        if self.mode == "live" and self.stripe_api_base:
            raise ValueError("STRIPE_API_BASE must be empty with live keys")
        return self


class OperatorSettings(DatabaseSettings, StripeSettings):
    """What a command that works on users and Stripe needs."""


class Settings(OperatorSettings, TokenSettings):
    """Everything that the service needs."""

    stripe_publishable_key: str = Field(description="test or live publishable key")
    stripe_webhook_secret: SecretStr = Field(
        SecretStr(""), description="comma separated while rotating; empty closes the endpoint"
    )
    payment_return_url: str = Field(description="an https URL or the app's own scheme")
    merchant_api_key: SecretStr = Field(
        SecretStr(""), description="comma separated while rotating; empty closes the merchant side"
    )
    stripe_confirmation_method: Literal["automatic", "manual"] = Field(
        "automatic", description="who confirms after 3-D Secure"
    )
    stripe_use_sdk: bool = Field(
        True, description="next actions are handled by the mobile SDK; false: redirect_to_url"
    )
    payment_method_policy: Literal["attach", "single_use"] = Field(
        "attach", description="keep cards usable, or use each entry once"
    )
    payment_method_types: str = Field("card", description="comma separated, sent with each intent")
    unknown_window_seconds: int = Field(
        900, ge=1, description="how long an unknown outcome waits before its intent is canceled"
    )
    authentication_window_seconds: int = Field(
        900, ge=1, description="how long an untouched 3-D Secure challenge stays open"
    )
    declines_per_user_and_hour: int = Field(10, ge=1, description="card testing: declines a user")
    declines_per_address_and_hour: int = Field(
        100, ge=1, description="card testing: declines an address"
    )
    declines_per_device_and_hour: int = Field(
        10, ge=1, description="card testing: declines a device"
    )
    cards_per_user_and_hour: int = Field(
        10, ge=1, description="card testing: different cards a user"
    )
    cards_per_device_and_hour: int = Field(
        10, ge=1, description="card testing: different cards a device"
    )
    cards_per_address_and_hour: int = Field(
        100, ge=1, description="card testing: different cards an address"
    )
    cards_without_delay: int = Field(
        4, ge=1, description="card testing: cards before each further one makes wait longer"
    )
    release_unsaved_methods_after_days: int = Field(
        30, ge=1, description="how long a card that nobody asked to keep may lie idle"
    )
    same_order_within_seconds: int = Field(
        900, ge=0, le=86_400, description="the same basket again is the same unpaid order; 0: never"
    )
    capture_method: Literal["automatic", "manual"] = Field(
        "automatic", description="orders are charged at once, or held until they are captured"
    )
    order_expires_after_hours: int = Field(
        0, ge=0, le=8760, description="unpaid orders are canceled after so long; 0: never"
    )
    refund_surplus: bool = Field(
        True, description="give back money that fits no order; false: it stays, with an alarm"
    )
    max_requests: int = Field(
        100, ge=1, le=1000, description="requests of each kind in work at a time; more get 503"
    )
    drain_delay_seconds: float = Field(
        1.0, ge=0, le=300, description="how long requests are still taken in after SIGTERM"
    )
    worker_port: int = Field(
        0, ge=0, le=65535, description="where a worker by itself says how it is; 0: nowhere"
    )
    worker_host: str = Field("127.0.0.1", description="the address for it")
    event_endpoints: str = Field(
        "",
        description="where outgoing events go: an https URL, or name=URL, comma separated",
        repr=False,
    )
    event_secrets: SecretStr = Field(
        SecretStr(""), description="their signing secrets: whsec_…, or name=whsec_…"
    )
    event_allow_loopback: bool = Field(
        False, description="development: events may go to an http address of this machine"
    )
    trusted_proxies: str = Field(
        "", description="comma separated addresses or networks whose X-Forwarded-For is believed"
    )

    @property
    def webhook_secrets(self) -> list[str]:
        return _split(self.stripe_webhook_secret.get_secret_value())

    @property
    def merchant_api_keys(self) -> list[str]:
        return _split(self.merchant_api_key.get_secret_value())

    @property
    def outgoing_endpoints(self) -> list[Endpoint]:
        """Who is told of events; none: nothing is sent."""
        signing = self.event_secrets.get_secret_value()
        allows_loopback = self.event_allow_loopback
        return endpoints_of(self.event_endpoints, signing, allows_loopback=allows_loopback)

    @property
    def trusted_proxy_networks(self) -> list[IPv4Network | IPv6Network]:
        return [ip_network(part, strict=False) for part in _split(self.trusted_proxies)]

    @field_validator("stripe_publishable_key")
    @classmethod
    def _publishable_key(cls, value: str) -> str:
        if not re.fullmatch(r"pk_(test|live)_[A-Za-z0-9_]+", value):
            raise ValueError("must be a publishable key (pk_test_… or pk_live_…)")
        return value

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr) -> SecretStr:
        for secret in _split(value.get_secret_value()):
            prefix, _, rest = secret.partition("_")
            if prefix != "whsec" or len(rest) < SHORTEST_WEBHOOK_SECRET:
                raise ValueError(
                    "must be empty or comma separated secrets, whsec_… with at least"
                    f" {SHORTEST_WEBHOOK_SECRET} characters behind it"
                )
        return value

    @field_validator("merchant_api_key")
    @classmethod
    def _merchant_key(cls, value: SecretStr) -> SecretStr:
        keys = _split(value.get_secret_value())
        if any(len(key) < SHORTEST_MERCHANT_KEY for key in keys):  # it opens refunds
            each = "in each of its keys" if len(keys) > 1 else "(openssl rand -hex 32 makes one)"
            raise ValueError(f"must have at least {SHORTEST_MERCHANT_KEY} characters {each}")
        return value

    @field_validator("event_endpoints")
    @classmethod
    def _endpoints(cls, value: str) -> str:
        parse_endpoints(value, allows_loopback=True)
        return value

    @field_validator("event_secrets")
    @classmethod
    def _event_secrets(cls, value: SecretStr) -> SecretStr:
        parse_secrets(value.get_secret_value())
        return value

    @field_validator("payment_method_types")
    @classmethod
    def _method_types(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z_]+(,[a-z_]+)*", value):
            raise ValueError("must be comma separated types, card for one")
        return value

    @field_validator("payment_return_url")
    @classmethod
    def _return_url(cls, value: str) -> str:
        url = urlsplit(value)
        is_web = url.scheme in ("http", "https")
        is_loopback = url.hostname in LOOPBACK
        if not url.scheme or (is_web and not url.netloc):
            raise ValueError("must be an https URL or the app's own scheme")
        if url.scheme in ("javascript", "data", "file") or (
            url.scheme == "http" and not is_loopback
        ):
            raise ValueError("must be an https URL or the app's own scheme")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        for part in _split(value):
            try:
                ip_network(part, strict=False)
            except ValueError:
                raise ValueError("must be comma separated addresses or networks") from None
        return value

    @model_validator(mode="after")
    def _events_are_told(self) -> Self:
        if self.event_allow_loopback and self.mode == "live":
            raise ValueError("EVENT_ALLOW_LOOPBACK must be false with live keys")
        try:
            _ = self.outgoing_endpoints
        except ValueError as error:
            name = "" if str(error).startswith("EVENT_") else "EVENT_ENDPOINTS "
            raise ValueError(f"{name}{error}") from None
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if key_mode(self.stripe_publishable_key) != self.mode:
            raise ValueError(
                "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY must both be test or both be live"
            )
        return self


def key_mode(key: str) -> Mode:
    """The mode a Stripe key is for, from its second part."""
    return "live" if key.split("_")[1:2] == ["live"] else "test"


def load_settings() -> Settings:
    """Read the environment, or raise SettingsError with one sentence that names the setting."""
    return load(Settings)


def load(kind: type[AnySettings]) -> AnySettings:
    """The part of the settings that a command needs; raises as `load_settings` does."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper() if first["loc"] else ""
        if first["type"] == "missing":
            raise SettingsError(f"{name} is required but not set.") from None
        allowed = _allowed(kind.model_fields[name.lower()]) if name else None
        reason = allowed or first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name} {reason}".strip().removesuffix("…") + ".") from None


def _allowed(field: FieldInfo) -> str | None:
    """What a switch, a choice or a number may be; None for text, whose own check says it."""
    if field.annotation is bool:
        return "must be true or false"
    if get_origin(field.annotation) is Literal:
        return f"must be {' or '.join(get_args(field.annotation))}"
    if field.annotation not in (int, float):
        return None
    word = "whole number" if field.annotation is int else "number"
    least, most = (
        next((getattr(bound, name) for bound in field.metadata if hasattr(bound, name)), None)
        for name in ("ge", "le")
    )
    return f"must be a {word} from {least}" + (f" to {most}" if most is not None else "")


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
