"""What is sent: a story is a list of steps against one empty simulator.

hypothesis draws stories and, when one fails, finds the shortest that still does.
"""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from proof.stripesim.fuzz.forms import (
    NASTY,
    Ref,
    Strategy,
    any_ref,
    garbage_form,
    nearly_valid_form,
    ref,
    valid_form,
)
from proof.stripesim.fuzz.roads import roads
from proof.stripesim.fuzz.steps import Authenticate, Control, Raw, Send, Step, Wait
from stripesim.routes import Router

KINDS_ON_PATHS = {
    "sources": "card",
    "cards": "card",
    "early_fraud_warnings": "radar.early_fraud_warning",
}


ROUTES = sorted(route.name for route in Router().routes())
# The roads that money takes are walked more often than the others.
BUSY = [
    "POST /v1/customers", "POST /v1/payment_methods", "POST /v1/payment_methods/{id}/attach",
    "POST /v1/payment_intents", "POST /v1/payment_intents", "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_intents/{id}/capture", "POST /v1/payment_intents/{id}/cancel",
    "POST /v1/payment_intents/{id}", "POST /v1/refunds", "POST /v1/charges",
    "POST /v1/setup_intents", "POST /v1/payment_methods/{id}/detach",
]  # fmt: skip
KEYS = st.sampled_from(
    ["sk_test_fuzz"] * 12 + ["pk_test_fuzz"] * 4 + ["ek_test_fuzz", "rk_test_x", "sk_live_x", ""]
    + ["sk_test_", "Basic", "x" * 300, "sk_test_é", "pk_live_1234567890abc"]
)  # fmt: skip
VERSIONS = st.sampled_from(
    [None] * 8 + ["2026-10-28.endive", "2026-03-25.dahlia", "2025-10-29.clover", "2024-06-20"]
    + ["2020-08-27", "2015-10-16", "2011-01-01", "2099-01-01", "nonsense", "2026-10-28", "\xff"]
)  # fmt: skip
IDEMPOTENCY_KEYS = st.sampled_from(
    [None] * 6 + ["k1", "k1", "k2", "k3", "", " ", "k" * 255, "k" * 256, "\xe9", "a,b", '"']
)  # fmt: skip
CONTENT_TYPES = st.sampled_from(
    [None] * 10
    + ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "x" * 99]
)
SIMPLE_FORM = b"amount=440&currency=usd"
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"", b"&", b"=", b"&&==&", b"%", b"%zz=1", b"a=%ff%fe", b"amount=440&currency=%00",
            b"[", b"]", b"[]=1", b"a[=1", b"a]=1", b"a[[b]]=1", b"a[b=1", b"a[b]c=1", b"=1&a",
            b'{"amount": 440}', b"[1,2]", b"metadata[a]=1&metadata=2", b"metadata=2&metadata[a]=1",
            b"amount=440&amount=441&currency=usd", b"amount[]=440&amount[]=1&currency=usd",
            SIMPLE_FORM + b"&expand[]=" + b"a." * 50 + b"b",
            SIMPLE_FORM + b"&metadata" + b"[x]" * 19 + b"=1",
            SIMPLE_FORM + b"&metadata" + b"[x]" * 4000 + b"=1",
            b"&".join(b"metadata[k%d]=v" % i for i in range(60)) + b"&" + SIMPLE_FORM,
            b"&".join(b"f%d=v" % i for i in range(2500)),
            b"description=" + b"x" * 70_000 + b"&" + SIMPLE_FORM, b"x" * (4 * 1024 * 1024 + 1),
            "description=é☃".encode("utf-16"), b"\xef\xbb\xbf" + SIMPLE_FORM,
            b"--x\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n440\r\n--x--\r\n",
        ]
    ),
)  # fmt: skip
RAW = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.sampled_from(
        [
            b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
            b"GET /v1/customers HTTP/1.1\r\n\r\n", b"GET /v1/customers HTTP/1.0\r\n\r\n",
            b"POST /v1/customers HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/customers HTTP/1.1\r\nHost: a\r\nContent-Length: 9e9\r\n\r\n",
            b"POST /v1/customers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /v1/customers HTTP/1.1\r\nHost: a\r\nAuthorization: \xff\xfe\r\n\r\n",
            b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"BREW /v1/customers HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /v1/customers?limit=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET http://other.example/v1/customers HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /v1/customers HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n",
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /v1/customers HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 90_000 + b"\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HEAD /v1/customers HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
    ),
)  # fmt: skip
CONTROL_PATHS = (
    "/_sim/clock", "/_sim/faults", "/_sim/webhooks", "/_sim/nope", "/_sim/",
    "/_sim/requests?after=x", "/_sim/audit?group_by=%00", "/_sim/payment_intents//authenticate",
    "/_sim/payment_intents/pi_x/authenticate", "/3d_secure_2/hosted?payment_intent=x&source=y",
    "/3d_secure_2/hosted", "/_sim/payment_intents/x/y/authenticate",
)  # fmt: skip
CONTROL_BODIES = (
    b"", b"{", b"[]", b"1", b'"a"', b"null", b'{"advance_seconds":"x"}', b'{"advance_seconds":-1}',
    b'{"advance_seconds":NaN}', b'{"advance_seconds":1e400}', b'{"advance_seconds":[]}',
    b"\xff\xfe",
    b'{"fault":{"kind":"nope"}}', b'{"fault":[],"match":1}', b'{"mode":[]}', b'{"mode":"x"}',
    b'{"duplicate":-1}', b'{"outcome":1}', b'{"match":{"path":"["},"fault":{}}', b"[" * 3000,
    b'{"seed":{}}', b'{"delay_seconds":"1"}', b'{"shuffle":3}', b'{"url":7}',
)  # fmt: skip


def kinds_on(path: str) -> list[str]:
    """The kind of object for each {id} of a path: that of the segment before it."""
    steps = path.split("/")
    return [
        KINDS_ON_PATHS.get(before, before.removesuffix("s"))
        for before, step in pairwise(steps)
        if step == "{id}"
    ]


@st.composite
def sends(draw: st.DrawFn) -> Send:
    route = draw(st.one_of(st.sampled_from(BUSY), st.sampled_from(BUSY), st.sampled_from(ROUTES)))
    ids = tuple(draw(_path_id(kind)) for kind in kinds_on(route))
    how = draw(st.integers(0, 19))
    if how < 14:
        form = draw(valid_form(route))
    elif how < 18:
        form = draw(nearly_valid_form(route))
    else:
        form = draw(garbage_form)
    if draw(st.integers(0, 7)) > 0:  # seven of eight are sent as an SDK sends them
        key = draw(st.integers(0, 19))
        return Send(route, ids, form, idempotency_key=f"k{key}" if key < 2 else None)
    return Send(
        route,
        ids,
        form,
        key=draw(KEYS),
        idempotency_key=draw(IDEMPOTENCY_KEYS),
        version=draw(VERSIONS),
        content_type=draw(CONTENT_TYPES),
        body=draw(st.none() | BODIES),
    )


def _path_id(kind: str) -> Strategy:
    factories = st.sampled_from(["pm_card_visa", "tok_visa"])
    wrong = st.one_of(any_ref, st.sampled_from(NASTY), factories)
    return st.integers(0, 11).flatmap(lambda n: wrong if n == 11 else ref(kind))


others = st.one_of(
    st.builds(Wait, st.sampled_from([1, 6, 3600, 90_000, 700_000])),
    st.builds(
        Authenticate,
        ref("payment_intent"),
        st.sampled_from(["success", "success", "fail", "again"]),
    ),
    st.builds(Raw, RAW),
    st.builds(
        Control,
        st.sampled_from(["POST", "GET", "DELETE", "PUT"]),
        st.sampled_from(CONTROL_PATHS),
        st.sampled_from(CONTROL_BODIES),
    ),
)
steps = st.integers(0, 11).flatmap(lambda n: others if n == 11 else sends())


def _first(route: str, *ids: Ref | str, **form: Any) -> Send:
    return Send(route, ids, tuple(form.items()))


def _newest(kind: str) -> Ref:
    return Ref(kind, 0)


# What most stories begin with: one object of every kind, intents in every state.
PRELUDE: list[Step] = [
    _first("POST /v1/customers", email="b@example.org"),
    _first("POST /v1/customers", email="ada@example.com"),
    _first(
        "POST /v1/payment_methods/{id}/attach",
        "pm_card_visa",
        customer=_newest("customer"),
    ),
    _first(
        "POST /v1/payment_intents",
        amount="440",
        currency="usd",
        confirm="true",
        customer=_newest("customer"),
        payment_method=_newest("payment_method"),
    ),
    _first("POST /v1/refunds", payment_intent=_newest("payment_intent"), amount="40"),
    *(
        _first(
            "POST /v1/payment_intents",
            amount="1000",
            currency="usd",
            confirm="true",
            payment_method=f"pm_card_{card}",
            capture_method=capture,
        )
        for card, capture in (
            ("visa", "manual"),
            ("authenticationRequired", "automatic"),
            ("createDispute", "automatic"),
            ("pendingRefund", "automatic"),
            ("refundFail", "automatic"),
        )
    ),
    _first("POST /v1/charges", amount="700", currency="usd", source="tok_visa", capture="false"),
    _first("POST /v1/setup_intents", customer=_newest("customer")),
    _first("POST /v1/customers/{id}/sources", _newest("customer"), source="tok_visa"),
    _first(
        "POST /v1/webhook_endpoints", url="http://127.0.0.1:9/hook", **{"enabled_events[]": "*"}
    ),
    *(
        _first(f"GET /v1/{kind}")
        for kind in ("charges", "disputes", "events", "balance_transactions")
    ),
    _first("POST /v1/payment_intents", amount="440", currency="usd"),
]
# A list of lists, since hypothesis's lists are short: a story has about 40 steps.
alone = st.lists(steps, min_size=1, max_size=12)
parts = st.one_of(alone, alone, roads)
drawn_steps = st.lists(parts, min_size=1, max_size=8)
stories = st.tuples(st.sampled_from([0, 1, 1, 1]), drawn_steps).map(
    lambda drawn: [*(PRELUDE if drawn[0] else []), *(step for part in drawn[1] for step in part)]
)
