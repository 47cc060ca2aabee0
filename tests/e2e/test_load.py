"""A sample of `make ha`: restarts under load, ten times the load that fits, a Stripe that hangs."""

import asyncio
from pathlib import Path

import pytest

from proof.load import hanging, overload, restarts
from proof.load.cluster import running_on

pytestmark = pytest.mark.timeout(300)  # calm may take its time on a busy machine


def test_rolling_restarts_under_load_drop_no_payment(sqlite_url: str, tmp_path: Path) -> None:
    with running_on(sqlite_url, tmp_path, servers=3, workers=1) as cluster:
        result = asyncio.run(restarts.run(cluster, restarts=3))
    assert result["violations"] == []
    assert result["restarts"] == 3
    assert result["charges"] > 20


def test_ten_times_the_load_gets_only_answers_that_are_agreed(
    sqlite_url: str, tmp_path: Path
) -> None:
    with running_on(sqlite_url, tmp_path, servers=1) as cluster:
        result = asyncio.run(overload.run(cluster, seconds=3, capacity_seconds=2))
    assert result["violations"] == []
    answers = result["answers"]
    turned_away = {"503 service_unavailable", "429 too_many_requests"}
    assert sum(n for words, n in answers.items() if words.split(": ")[1] in turned_away) > 50
    assert answers["pay: 200 success"] > 10


def test_a_stripe_that_hangs_leaves_reads_served_with_a_pool_of_one(
    postgres_url: str, tmp_path: Path
) -> None:
    with running_on(postgres_url, tmp_path, servers=1, DATABASE_POOL_SIZE="1") as cluster:
        result = asyncio.run(hanging.run(cluster, payers=9))
    assert result["violations"] == []
    assert result["reads meanwhile"] > 20
