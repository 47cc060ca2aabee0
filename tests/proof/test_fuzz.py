"""A sample of `make fuzz-api`, and that its judge sees what is wrong."""

import json
from typing import Any

import pytest

from proof.fuzz.__main__ import REQUESTS as IN_A_RUN
from proof.fuzz.__main__ import fuzz
from proof.fuzz.answers import Answer, Judge
from proof.fuzz.target import running_target

REQUESTS = 1200
SAID_IN_DOCS = {"requests in a run": IN_A_RUN, "requests per database in the suite": REQUESTS}
"""What docs/security.md says."""
RIGHT = {
    "status": "error",
    "message": "No.",
    "errors": ["No."],
    "code": "no",
    "nextStep": "retry",
    "requestId": "r",
}
HEADERS = {"content-type": "application/json", "cache-control": "no-store", "request-id": "r"}
DOCUMENT = {"paths": {"/here": {"get": {"responses": {"200": {}, "404": {}}}}}}


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
@pytest.mark.timeout(300)
def test_a_sample_of_bad_requests_finds_nothing(database: str) -> None:
    with running_target(database) as target:
        result = fuzz(target, REQUESTS, seed=7)
    assert result["what was found"] == []
    assert result["requests"] == REQUESTS and result["routes never called"] == []
    assert {"200", "400", "401", "404"} <= set(result["statuses"])


def flaws_of(
    http_status: int = 404, headers: dict[str, str] | None = None, **changes: Any
) -> list[str]:
    body = {name: value for name, value in {**RIGHT, **changes}.items() if value is not None}
    answer = Answer(http_status, {**HEADERS, **(headers or {})}, json.dumps(body).encode())
    return Judge(DOCUMENT, ["sk_secret"]).find_flaws(("GET", "/here"), "", answer)


def test_the_judge_has_nothing_against_a_right_answer() -> None:
    assert flaws_of() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": "key sk_secret"},
        {"message": "Traceback (most recent call last)"},
        {"message": 'File "/x/y.py", line 3'},
        {"message": "SELECT id FROM orders"},
        {"message": None},
        {"message": ""},
        {"errors": []},
        {"errors": [1]},
        {"errors": None},
        {"code": "No"},
        {"code": None},
        {"status": "success"},
        {"status": "failed"},
        {"nextStep": "panic"},
        {"requestId": "other"},
        {"data": {}},
        {"retryAfter": 3},
    ],
    ids=str,
)
def test_the_judge_sees_an_envelope_that_is_wrong(wrong: dict[str, Any]) -> None:
    assert flaws_of(**wrong)


def test_a_word_of_the_request_hides_no_other_that_comes_back() -> None:
    answer = Answer(404, HEADERS, json.dumps({**RIGHT, "message": "x.py in asyncpg"}).encode())
    assert Judge(DOCUMENT, []).find_flaws(("GET", "/here"), "x.py", answer)


def test_the_judge_sees_statuses_and_headers_that_are_wrong() -> None:
    for status in (200, 409, 500, 502, 302):
        assert flaws_of(status), status
    for status in (500, 409):
        answer = Answer(status, HEADERS, b"")
        assert Judge(DOCUMENT, []).find_flaws(None, "", answer, has_envelope=False), status
    assert flaws_of(headers={"content-type": "text/html"})
    assert flaws_of(headers={"cache-control": ""})
    assert Judge(DOCUMENT, []).find_flaws(None, "", Answer(404, HEADERS, b"Not found"))
