"""Every list comes from the index of its narrowest filter, so that it stays fast as it grows."""

import time

import pytest

from stripesim.store.database import Database
from stripesim.store.objects import Objects, PageQuery
from stripesim.store.search_index import SearchIndex


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"customer": "cus_1"}, "objects_customer"),
        ({"customer": "cus_1", "type": "card"}, "objects_customer"),
        ({"customer": "cus_1", "payment_intent": "pi_1"}, "objects_customer"),
        ({"charge": "ch_1", "payment_intent": "pi_1"}, "objects_charge"),
        ({"email": "ada@example.com"}, "objects_email"),
        ({"type": "charge.failed"}, "objects_type"),
        ({"ref": "pm_1"}, "objects_ref"),
        ({}, "objects_kind"),
    ],
)
def test_a_page_uses_the_index_of_its_first_filter_and_sorts_nothing(filters, index):
    database = Database(None)
    seen = []
    database._connection.set_trace_callback(seen.append)
    Objects(database, SearchIndex(database, {}, {}, time.time)).page(
        PageQuery(kind="payment_method", filters=filters)
    )
    plan = "\n".join(row[3] for row in database.rows(f"EXPLAIN QUERY PLAN {seen[0]}"))
    assert f"USING INDEX {index} " in plan
    assert "TEMP B-TREE" not in plan
