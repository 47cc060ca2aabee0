"""Ways to lose an outgoing event, to tell it in the wrong order, or to tell it inside a network."""

from proof.planted.bug import Bug, Edit, crash, suite

BUGS: tuple[Bug, ...] = (
    Bug(
        "event-before-its-turn",
        "an order's events are told one after the other",
        (
            Edit(
                "paidonce/store/outbox.py",
                'if first is not None and first["event_id"] != row["event_id"]:',
                "if first is None:",
            ),
        ),
        ("what_is_not_taken_holds_up_its_own_order",),
        suite("tests/service/test_outgoing.py", "what_is_not_taken_holds_up_its_own_order"),
    ),
    Bug(
        "event-given-up-at-once",
        "what was not taken is sent again",
        (Edit("paidonce/outgoing/retries.py", "if tries >= MOST_TRIES:", "if tries >= 1:"),),
        ("was never taken",),
        crash("events_told:commit.claim#1:after:asks"),
    ),
    Bug(
        "event-refused-and-delivered",
        "delivered is what was answered with success",
        (
            Edit(
                "paidonce/outgoing/lane.py",
                "if sent.is_delivered and sent.status is not None:",
                "if sent.status is not None:",
            ),
        ),
        ("was never taken",),
        crash("events_told:commit.claim#1:after:asks"),
    ),
    Bug(
        "endpoint-inside-the-network",
        "an IPv4 address inside an IPv6 one counts as what it is",
        (
            Edit(
                "paidonce/outside.py",
                "    if found.ipv4_mapped is not None:\n"
                "        return is_public(str(found.ipv4_mapped))\n",
                "    if found.ipv4_mapped is not None:\n        return True\n",
            ),
        ),
        ("a_host_inside_is_refused_however_it_is_spelled",),
        suite("tests/unit/test_outside.py", "a_host_inside_is_refused_however_it_is_spelled"),
    ),
)
