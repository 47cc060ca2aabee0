"""A sample of `make durability`, and the proof that it can find a loss."""

import sqlite3

import pytest

from proof.stripesim import durability


def test_two_kills_under_load_lose_nothing(tmp_path):
    tally = durability.prove(kills=2, seed=3, data=tmp_path / "stripesim.db")
    assert tally.wrong == []
    assert tally.counts["kills"] == 2 and tally.counts["answers replayed"] > 20


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("DELETE FROM idempotency", "is answered"),
        ("DELETE FROM objects WHERE kind = 'payment_intent'", "which is gone"),
        ("DELETE FROM ledger WHERE entry = 'captured'", "the ledger says"),
    ],
)
def test_a_store_that_loses_something_is_found_out(tmp_path, monkeypatch, loss, words):
    def lose(data, leftover, dice):
        del leftover, dice
        with sqlite3.connect(data) as connection:
            connection.execute(loss)
        connection.close()

    monkeypatch.setattr(durability, "leave", lose)
    monkeypatch.setattr(durability, "LONGEST_LIFE", durability.SHORTEST_LIFE)
    tally = durability.prove(kills=1, seed=1, data=tmp_path / "stripesim.db")
    assert any(words in text for text in tally.wrong)
