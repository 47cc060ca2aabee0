"""What a story is made of."""

from dataclasses import dataclass
from typing import Any

from proof.stripesim.fuzz.forms import Form, Ref


@dataclass(frozen=True)
class Send:
    """One request. `ids` stand where the path says {id}; `body` is sent instead of the form."""

    route: str
    ids: tuple[Any, ...] = ()
    form: Form = ()
    key: str = "sk_test_fuzz"
    idempotency_key: str | None = None
    version: str | None = None
    content_type: str | None = None
    body: bytes | None = None


@dataclass(frozen=True)
class Raw:
    """Bytes on a connection of their own."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Time passes on the simulator's clock."""

    seconds: int


@dataclass(frozen=True)
class Authenticate:
    """A button of the challenge page, or what the control plane does instead."""

    intent: Ref
    outcome: str
    on_page: bool = False


@dataclass(frozen=True)
class Control:
    """A call of the control plane that cannot be understood."""

    method: str
    path: str
    body: bytes


Step = Send | Raw | Wait | Authenticate | Control
