"""What a crash could break and the auditor cannot see from Stripe, books and answers alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from proof.auditor import Books, Stripe
from proof.crash_points.shop import Shop

EXECUTED = (200, 402)
WORKED = ("done", "ignored", "forgotten")
KEPT_SECONDS = 90 * 24 * 3600.0


def findings(shop: Shop, stripe: Stripe, books: Books) -> Iterator[str]:
    """Sentences, each with the name of the promise that is broken."""
    yield from shop.complaints
    requests = shop.stage.simulator.requests()
    yield from _sends(requests, books)
    if not shop.is_restored:
        yield from _intentions(requests, books)
    yield from _refunds(requests, books)
    yield from _captures(requests)
    yield from _absent(shop, stripe)
    yield from _wishes(shop, books)
    yield from _events(shop, books)
    yield from _told(shop, books)
    yield from _log(shop, books)


def _sends(requests: list[dict[str, Any]], books: Books) -> Iterator[str]:
    """An attempt is one key, and Stripe executed it once at most, however often it was sent."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    executed: Counter[str] = Counter()
    attempts = [row["id"] for row in books.tables["payment_attempts"]]
    for request in requests:
        key = request["idempotency_key"] or ""
        attempt = next((id for id in attempts if id in key), None)
        if attempt is None or not request["path"].endswith("/confirm") or key.startswith("rc:"):
            continue
        keys[attempt].add(key)
        executed[attempt] += request["status"] in EXECUTED and not request["replayed"]
    for attempt, used in keys.items():
        if len(used) > 1:
            yield f"one key: attempt {attempt} was sent under {len(used)} keys"
        if executed[attempt] > 1:
            yield f"one key: Stripe executed attempt {attempt} {executed[attempt]} times"


def _intentions(requests: list[dict[str, Any]], books: Books) -> Iterator[str]:
    """What money moves under stands in the books before it is sent."""
    known = {row["id"] for table in ("payment_attempts", "refunds") for row in books.tables[table]}
    known |= {row["payment_id"] for row in books.tables["captures"]}
    for key in {request["idempotency_key"] or "" for request in requests}:
        kind, _, rest = key.partition(":")
        if kind in ("cf", "rc", "re", "cp") and not known & set(rest.split(":")):
            yield f"write first: {key} is of nothing that our books know"


def _refunds(requests: list[dict[str, Any]], books: Books) -> Iterator[str]:
    """A refund has the next key only where the row says so."""
    for row in books.tables["refunds"]:
        keys = {
            key for request in requests if row["id"] in (key := request["idempotency_key"] or "")
        }
        if len(keys) > row["key_no"] + 1:
            yield f"one key: refund {row['id']} was sent under {len(keys)} keys"


def _told(shop: Shop, books: Books) -> Iterator[str]:
    """The merchant took exactly the events of our books, an order's one after the other."""
    if not shop.tells_events:
        return
    told = shop.stage.receiver.read()
    taken = list(dict.fromkeys(each["id"] for each in told if each["is_taken"]))
    rows = sorted(books.tables["outbox"], key=lambda row: row["position"])
    for row in rows:
        if row["id"] not in taken:
            yield f"told: {row['kind']} of order {row['order_id']} was never taken"
    for unknown in {each["id"] for each in told} - {row["id"] for row in rows}:
        yield f"told: event {unknown} is not in our books"
    for order_id in {row["order_id"] for row in rows}:
        ours = [row["id"] for row in rows if row["order_id"] == order_id]
        came = [event_id for event_id in taken if event_id in ours]
        if came != [event_id for event_id in ours if event_id in came]:
            yield f"told: the events of order {order_id} came in another order"


def _captures(requests: list[dict[str, Any]]) -> Iterator[str]:
    """A hold is captured once."""
    executed = Counter(
        request["path"]
        for request in requests
        if request["path"].endswith("/capture")
        and request["status"] == 200
        and not request["replayed"]
    )
    for path, times in executed.items():
        if times > 1:
            yield f"one capture: {path} was executed {times} times"


def _absent(shop: Shop, stripe: Stripe) -> Iterator[str]:
    """With nobody there, what was never sent before the crash is never sent after it."""
    if shop.has_come_back:
        return
    for attempt, sends in shop.sends_at_death.items():
        if sends == 0 and any(attempt in key for key in stripe.keys.values()):
            yield f"absent payer: attempt {attempt} was first sent after its payer had left"


def _wishes(shop: Shop, books: Books) -> Iterator[str]:
    """One order of each key, and of each basket where it is known again."""
    is_each_known = all(not name.startswith("#") for _, name in shop.wishes)
    if is_each_known and len(books.tables["orders"]) > len(shop.wishes) > 0:
        yield f"one order: {len(books.tables['orders'])} came of {len(shop.wishes)} wishes"


def _events(shop: Shop, books: Books) -> Iterator[str]:
    """An event that was answered 200 is stored, and worked on to its end; it may be forgotten when
    it is old."""
    states = {row["id"]: row["state"] for row in books.tables["stripe_events"]}
    for event_id, taken_at in shop.events_taken.items():
        is_old = shop.stage.clock.added - taken_at > KEPT_SECONDS
        state = states.get(event_id, "forgotten" if is_old else "lost")
        if state not in WORKED:
            yield f"I7 event {event_id} was answered 200 and is {state}"


def strays(stripe: Stripe, books: Books) -> Iterator[str]:
    """What Stripe has beside a payment's intent is canceled, once the sweep has had its time."""
    held = {row["stripe_payment_intent_id"] for row in books.tables["payments"]}
    waiting = {
        row["id"]
        for row in books.tables["payments"]
        if row["state"] == "live" and row["stripe_payment_intent_id"] is None
    }
    for intent in stripe.intents.values():
        is_over = intent["metadata"].get("payment_id") not in waiting
        if is_over and intent["id"] not in held and intent["status"] != "canceled":
            yield f"stray: no payment holds {intent['id']}, and it is {intent['status']}"


def _log(shop: Shop, books: Books) -> Iterator[str]:
    """Nothing that happened was a surprise to the code, and no alarm was a false one."""
    text = shop.stage.log.read_text(errors="replace") if shop.stage.log.exists() else ""
    if "Traceback" in text:
        yield f"a traceback in the log: {text[-1500:]}"
    alarms = _true_alarms(books)
    for line in text.splitlines():
        is_true = shop.is_restored or any(f'"event": "{alarm}"' in line for alarm in alarms)
        if '"level": "critical"' in line and not is_true:
            yield f"a false alarm: {line}"


def _true_alarms(books: Books) -> set[str]:
    """What there was to raise an alarm about."""
    found = set()
    if any(row["status"] == "canceled" for row in books.tables["orders"]):
        found |= {"payment.surplus", "refund.failed"}
    if any(row["state"] in ("refused", "failed") for row in books.tables["refunds"]):
        found.add("refund.failed")
    if books.tables["disputes"]:
        found.add("dispute.changed")
    if (
        any(row["state"] == "declined" for row in books.tables["payment_attempts"])
        or (books.tables["declined_saves"])
    ):
        found.add("card_testing.limit_exceeded")
    if books.tables["fraud_warnings"]:
        found.add("fraud.warned")
    return found
