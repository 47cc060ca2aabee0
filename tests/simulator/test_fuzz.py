"""A sample of `make fuzz`, and the proof that the fuzzer and its books can find something."""

import copy

import pytest
import requests

from proof.stripesim.books import RULES, Books, find_contradictions, read_books
from proof.stripesim.fuzz.answers import find_flaws, private_words_in
from proof.stripesim.fuzz.forms import Ref
from proof.stripesim.fuzz.play import Finding, Player
from proof.stripesim.fuzz.search import search
from proof.stripesim.fuzz.steps import Send
from proof.stripesim.fuzz.stories import PRELUDE, ROUTES, kinds_on
from stripesim.config import Config
from stripesim.objects import customers, refunds
from stripesim.routes import Router
from stripesim.testing import SimulatorThread

TAKEN = {
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_intents/{id}/capture",
    "POST /v1/refunds",
    "POST /v1/setup_intents/{id}/confirm",
}
HEADERS = {"content-type": "application/json", "request-id": "r", "stripe-version": "v"}


@pytest.fixture
def player(tmp_path):
    data = tmp_path / "stripesim.db"
    with SimulatorThread(Config(data=str(data))) as simulator:
        yield Player(simulator, data)


def test_a_sample_of_the_fuzzer_finds_nothing(player):
    failure = search(player, first_seed=7, requests=400)
    assert failure is None, f"{failure.text}\n" + "\n".join(failure.story)
    assert {200, 400, 401, 404} <= set(player.statuses)
    assert player.taken >= TAKEN, "nobody comes so far"


def test_every_route_is_called_with_the_kinds_its_path_names():
    assert set(ROUTES) == {route.name for route in Router().routes()} and len(ROUTES) > 50
    assert kinds_on("/v1/customers/{id}/sources/{id}") == ["customer", "card"]
    assert kinds_on("/v1/radar/early_fraud_warnings/{id}") == ["radar.early_fraud_warning"]


def test_a_handler_that_raises_is_found_with_the_shortest_story(player, monkeypatch):
    names = {"description", "email", "name", "phone"}

    def break_on_names(call, customer, params):
        del call, customer
        return {}[params] if names & set(params) else None

    monkeypatch.setattr(customers, "_apply", break_on_names)
    failure = search(player, first_seed=1, requests=3000)
    assert failure is not None and failure.text == "status 500"
    assert len(failure.story) == 1
    assert any(f"{name}=" in failure.story[-1] for name in names)


def test_a_refund_of_more_than_was_taken_is_found_in_the_books(player, monkeypatch):
    monkeypatch.setattr(refunds, "_check_amount", lambda charge, params: 441)
    with pytest.raises(Finding, match="gave back 441 of 440"):
        player.play([*PRELUDE[:4], refund_of_newest()])
    monkeypatch.undo()
    player.play([*PRELUDE[:4], refund_of_newest()])


def refund_of_newest():
    return Send("POST /v1/refunds", form=(("payment_intent", Ref("payment_intent", 0)),))


def test_an_answer_that_is_not_replayed_is_found(player, monkeypatch):
    create = Send("POST /v1/customers", idempotency_key="k1")
    player.play([create, create])
    monkeypatch.setattr("stripesim.store.journal.Journal.saved_answer", lambda *_: None)
    with pytest.raises(Finding, match="executed again under the same key"):
        player.play([create, create])


@pytest.mark.parametrize(
    ("status", "text", "flaw"),
    [
        (500, "{}", "status 500"),
        (400, "no", "the answer is no JSON"),
        (400, '{"error":{"type":"nope","message":"m"}}', "error of type 'nope', message 'm'"),
        (400, '{"error":{"type":"api_error","message":"m","code":null}}', "error.code is None"),
        (400, '{"error":{"type":"card_error","message":"m"}}', "card_error with 400"),
        (200, '{"id":"cus_1","object":"customer","_sim":{}}', 'the answer holds "_sim"'),
        (200, '{"object":"list","data":[],"url":"/"}', "a page without data or has_more"),
    ],
)
def test_an_answer_that_is_not_in_stripes_shape_is_found(status, text, flaw):
    assert flaw in find_flaws(status, HEADERS, text)


def test_a_private_word_may_come_back_where_the_request_said_it():
    text = '{"error":{"message":"Received unknown parameter: sqlite3","type":"api_error"}}'
    said = private_words_in("/v1/customers [('sqlite3', '1')]")
    flaws = [find_flaws(400, HEADERS, text, words) for words in ((), said)]
    assert [flaw for flaw in flaws[0] if flaw not in flaws[1]] == ["the answer holds sqlite3"]


@pytest.fixture(scope="module")
def good_books(tmp_path_factory):
    data = tmp_path_factory.mktemp("books") / "stripesim.db"
    with SimulatorThread(Config(data=str(data))) as simulator:
        Player(simulator, data).play(PRELUDE)
        return read_books(data)


def test_a_part_that_was_captured_and_given_back_whole_adds_up(tmp_path):
    data = tmp_path / "stripesim.db"
    held = {"amount": 1000, "currency": "usd", "confirm": "true", "capture_method": "manual"}
    with SimulatorThread(Config(data=str(data))) as simulator:

        def post(path, **form):
            auth = (simulator.secret_key, "")
            answer = requests.post(f"{simulator.url}{path}", data=form, auth=auth, timeout=10)
            assert answer.status_code == 200, answer.text
            return answer.json()

        intent = post("/v1/payment_intents", payment_method="pm_card_visa", **held)["id"]
        post(f"/v1/payment_intents/{intent}/capture", amount_to_capture=200)
        post("/v1/refunds", payment_intent=intent)
        assert find_contradictions(read_books(data)) == []


SPOILED = {
    "intents_and_charges": ("payment_intent", "succeeded", {"amount_received": 439}),
    "intents_alone": ("payment_intent", "succeeded", {"next_action": {}}),
    "charges_alone": ("charge", "succeeded", {"amount_captured": 10_000}),
    "refunds_and_charges": ("charge", "succeeded", {"amount_refunded": 7}),
    "balance_transactions": ("balance_transaction", None, {"net": 1}),
    "disputes": ("dispute", None, {"amount": 10_000}),
    "ledger": ("refund", "succeeded", {"amount": 39}),
    "methods": ("payment_method", None, {"customer": "cus_other"}),
    "events": ("event", None, {"type": "customer.updated"}),
}


@pytest.mark.parametrize("rule", SPOILED)
def test_each_rule_of_the_books_finds_what_it_is_for(good_books, rule):
    assert find_contradictions(good_books) == []
    kind, status, change = SPOILED[rule]
    books: Books = copy.deepcopy(good_books)
    for obj in books.of(kind):
        if status in (None, obj.get("status")):
            obj.update(change)
    found = next(found for found in RULES if found.__name__ == rule)
    assert list(found(books)) != []
