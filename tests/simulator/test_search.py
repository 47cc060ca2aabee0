"""Search: Stripe's query language, its pages, and its lag behind what was written."""

import pytest

from stripesim.config import Config
from stripesim.testing import SimulatorThread

OLD = "2020-03-02"


@pytest.fixture(scope="module")
def _server():
    with SimulatorThread(Config(search_lag=0)) as simulator:
        yield simulator


@pytest.fixture
def now(_server, wire_to):
    """A simulator whose search sees everything at once."""
    _server.reset()
    return wire_to(_server)


def search(wire, resource, query, **params):
    answer = wire.get(f"/v1/{resource}/search", {"query": query, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(wire, resource, query, **params):
    return [found["id"] for found in search(wire, resource, query, **params)["data"]]


def refusal(wire, resource, query, **options):
    answer = wire.get(f"/v1/{resource}/search", {"query": query}, **options)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


@pytest.fixture
def intents(now):
    def make(**form):
        return now.intent(**form)["id"]

    return {
        "book": make(**{"metadata[order_id]": "6735", "metadata[it's]": 'a "b"'}),
        "pen": make(amount=1000, currency="eur", **{"metadata[order_id]": "6736"}),
        "paid": now.pay(amount=2000, payment_method="pm_card_visa")["id"],
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("amount>999 AND metadata['order_id']:'6736'", ["pen"]),
        ('metadata["order_id"]:"6735"', ["book"]),
        ("amount>=1000", ["paid", "pen"]),
        ("amount<1000", ["book"]),
        ("amount<=1000 -amount:440", ["pen"]),
        ("amount:440", ["book"]),
        ("amount:'440'", ["book"]),
        ("currency:'EUR'", ["pen"]),
        ("-currency:'usd'", ["pen"]),
        ("status:'succeeded'", ["paid"]),
        ("status~'REQUIRES'", ["pen", "book"]),
        ("status:'succeeded' or currency:'eur'", ["paid", "pen"]),
        ("metadata['order_id']:null", ["paid"]),
        ("-metadata['order_id']:null", ["pen", "book"]),
        ("customer:NULL AND amount>999", ["paid", "pen"]),
        ("metadata['it\\'s']:'a \"b\"'", ["book"]),
        ('metadata["it\'s"]:"a \\"b\\""', ["book"]),
        ("created>1", ["paid", "pen", "book"]),
        ("created<1", []),
        ("metadata['order_id']:'673'", []),
        ("amount>999 currency:'usd'", ["paid"]),
    ],
)
def test_a_query_finds_what_it_says_newest_first(now, intents, query, found):
    assert ids(now, "payment_intents", query) == [intents[name] for name in found]


def test_customers_are_found_by_what_is_known_of_them(now):
    made = now.ok(
        "/v1/customers", {"email": "Amy@rocketrides.io", "name": "Amy Kim", "phone": "+1"}
    )
    now.ok("/v1/customers", {"email": "bob@example.com", "name": "Zoë"})
    for query in ("email:'amy@ROCKETRIDES.io'", "email~'amy'", "name~'kim'", "phone:'+1'"):
        assert ids(now, "customers", query) == [made["id"]], query
    assert len(ids(now, "customers", "name:'zoë'")) == 1
    now.send("DELETE", f"/v1/customers/{made['id']}")
    assert ids(now, "customers", "email~'amy'") == []


def test_charges_are_found_by_their_card(now):
    paid = now.pay(payment_method="pm_card_mastercard")["latest_charge"]
    now.pay(payment_method="pm_card_visa")
    card = now.get(f"/v1/charges/{paid}").json()["payment_method_details"]["card"]
    path = "payment_method_details.card."
    for query in (
        f"{path}last4:'4444'",
        f"{path}brand:'mastercard'",
        f"{path}fingerprint:'{card['fingerprint']}'",
        f"{path}exp_year:{card['exp_year']} {path}last4:4444",
    ):
        assert ids(now, "charges", query) == [paid], query
    assert ids(now, "charges", "refunded:'true'") == []
    now.ok("/v1/refunds", {"charge": paid})
    assert ids(now, "charges", "refunded:'true' disputed:'false'") == [paid]


def test_pages_follow_each_other_and_are_counted_on_request(now):
    made = [now.customer() for _ in range(5)]
    first = search(now, "customers", "email~'ada'", limit=2, **{"expand[]": "total_count"})
    assert first["object"] == "search_result" and first["url"] == "/v1/customers/search"
    assert (first["has_more"], first["total_count"]) == (True, 5)
    second = search(now, "customers", "email~'ada'", limit=2, page=first["next_page"])
    last = search(now, "customers", "email~'ada'", limit=2, page=second["next_page"])
    assert (last["has_more"], last["next_page"]) == (False, None)
    assert "total_count" not in last and "_sim" not in last
    pages = [*first["data"], *second["data"], *last["data"]]
    assert [customer["id"] for customer in pages] == made[::-1]


def test_results_can_be_expanded(now):
    customer = now.customer()
    now.intent(customer=customer)
    found = search(now, "payment_intents", "amount:440", **{"expand[]": "data.customer"})
    assert found["data"][0]["customer"]["id"] == customer


@pytest.mark.parametrize(
    "query",
    [
        "asdf", "amount:", "amount>", ":1", "amount:x", "status:succeeded", "status:'a",
        "(amount:1)",
        "amount:1 AND", "AND amount:1", "amount:1,currency:'usd'", " ", "amount:1amount:2'",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_format(now, query):
    error = refusal(now, "payment_intents", query)
    assert error["message"] == (
        'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` '
        'to query for metadata or key:"value" to query for other fields.'
    )


def test_unknown_fields_are_named(now):
    error = refusal(now, "payment_intents", "foo:'bar'")
    assert error["message"] == (
        "Field `foo` is an unsupported search field for resource `payment_intents`. See "
        "http://stripe.com/docs/search#query-fields-for-payment-intents for a list of supported "
        "fields."
    )
    assert "`customers`" in refusal(now, "customers", "amount:1")["message"]


@pytest.mark.parametrize(
    "query",
    [
        "amount:1 AND amount:2 OR amount:3",
        " ".join(["amount:1"] * 11),
        "currency~'usd'",
        "status>3",
        "status~'su'",
        "status~null",
    ],
)
def test_the_rules_of_the_language_are_kept(now, query):
    assert refusal(now, "payment_intents", query)["param"] == "query"
    assert ids(now, "payment_intents", " ".join(["amount:1"] * 10)) == []


def test_bad_pages_missing_queries_and_old_versions_are_refused(now):
    path = "/v1/customers/search"
    missing = now.get(path).json()["error"]
    assert (missing["param"], missing["message"]) == ("query", "Missing required param: query.")
    for page in ("x", "MTp4", "%%", "LTE6LTE"):
        error = now.get(path, {"query": "name:'x'", "page": page}).json()["error"]
        assert error["param"] == "page"
    assert now.get(path, {"query": "name:'x'", "limit": 101}).status_code == 400
    assert "2020-08-27" in refusal(now, "customers", "name:'x'", version=OLD)["message"]


def test_a_new_object_is_found_only_after_the_lag(wire):
    customer = wire.customer()
    intent = wire.pay(payment_method="pm_card_visa")
    assert ids(wire, "customers", "email~'ada'") == []
    wire.simulator.advance_clock(15)
    assert ids(wire, "customers", "email~'ada'") == []
    wire.simulator.advance_clock(6)
    assert ids(wire, "customers", "email~'ada'") == [customer]
    assert ids(wire, "payment_intents", "amount:440") == []
    wire.simulator.advance_clock(200)
    assert ids(wire, "payment_intents", "amount:440") == [intent["id"]]
    assert ids(wire, "charges", "amount:440") == [intent["latest_charge"]]


def test_until_then_it_is_found_by_what_it_was(wire):
    customer = wire.ok("/v1/customers", {"email": "old@example.com", "metadata[a]": "1"})
    other = wire.customer()
    wire.simulator.advance_clock(30)
    wire.ok(f"/v1/customers/{customer['id']}", {"email": "new@example.com", "metadata[a]": "2"})
    wire.ok(f"/v1/customers/{other}", {"name": "changed in between"})
    assert ids(wire, "customers", "email:'new@example.com'") == []
    (found,) = search(wire, "customers", "email:'old@example.com' metadata['a']:'1'")["data"]
    assert found["email"] == "new@example.com"
    wire.simulator.advance_clock(30)
    assert ids(wire, "customers", "email:'old@example.com'") == []
    assert ids(wire, "customers", "metadata['a']:'2'") == [customer["id"]]


def test_a_refund_is_found_later_too(wire):
    paid = wire.pay(payment_method="pm_card_visa")["latest_charge"]
    wire.simulator.advance_clock(100)
    wire.ok("/v1/refunds", {"charge": paid})
    last4 = "payment_method_details.card.last4:'4242'"
    assert ids(wire, "charges", f"refunded:'false' {last4} disputed:'false'") == [paid]
    assert ids(wire, "charges", "refunded:'true'") == []
    wire.simulator.advance_clock(100)
    assert ids(wire, "charges", "refunded:'true'") == [paid]


def test_while_a_change_settles_the_results_flap_the_same_way_with_the_same_seed(wire_to):
    def flaps():
        with SimulatorThread(Config(seed=7, search_lag=100)) as simulator:
            wire = wire_to(simulator)
            wire.customer()
            simulator.advance_clock(105)
            flapping = [len(ids(wire, "customers", "email~'ada'")) for _ in range(20)]
            simulator.advance_clock(30)
            settled = [len(ids(wire, "customers", "email~'ada'")) for _ in range(5)]
            return flapping, settled

    first = flaps()
    assert 0 < sum(first[0]) < 20 and first[1] == [1] * 5
    assert flaps() == first


def test_versions_that_nobody_can_find_any_more_are_forgotten(wire_to):
    with SimulatorThread(Config(search_lag=10)) as simulator:
        wire = wire_to(simulator)
        world = simulator._server.config.app.world
        customer = wire.customer()
        for _ in range(30):
            simulator.advance_clock(20)
            wire.ok(f"/v1/customers/{customer}", {"name": "x"})
        (count,) = world.database.row("SELECT count(*) FROM search_versions")
        assert count <= 2
