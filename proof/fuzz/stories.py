"""schemathesis on the server's own OpenAPI: each operation by itself, then stories that follow the
links from a new order to everything that can be done with it."""

from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from proof.fuzz.answers import Answer, Judge
from proof.fuzz.play import Report
from proof.fuzz.target import Target

STEPS = 8


def play_stories(target: Target, judge: Judge, report: Report, *, requests: int, seed: int) -> None:
    """About so many requests: half of them alone, half in stories."""
    schema = schemathesis.openapi.from_dict(target.document)
    schema.config.update(base_url=target.url)
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    each = max(1, requests // 2 // len(operations))
    for operation in operations:
        _play_alone(target, judge, report, operation, each, seed)
    machine = _machine_of(schema, _caller(target, judge, report))
    stories = hypothesis.settings(
        max_examples=max(1, requests // 2 // STEPS), stateful_step_count=STEPS, **_quiet()
    )
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=stories)


def _quiet() -> dict[str, Any]:
    return {
        "deadline": None,
        "database": InMemoryExampleDatabase(),
        "suppress_health_check": list(hypothesis.HealthCheck),
        "derandomize": False,
        "phases": [hypothesis.Phase.generate],
    }


def _play_alone(
    target: Target, judge: Judge, report: Report, operation: Any, count: int, seed: int
) -> None:
    call = _caller(target, judge, report)

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=count, **_quiet())
    @hypothesis.given(case=operation.as_strategy())
    def play(case: Any) -> None:
        call(case)

    play()


def _caller(target: Target, judge: Judge, report: Report) -> Callable[[Any], Any]:
    """Sends a case in the name it needs, and judges the answer."""

    def call(case: Any) -> Any:
        template, method = case.operation.path, case.operation.method.upper()
        who = "ann" if "/mobile-app/" in template else "merchant"
        headers = {"Authorization": f"Bearer {target.tokens[who]}"}
        response = case.call(base_url=target.url, headers=headers, timeout=60)
        report.requests += 1
        report.statuses[response.status_code] += 1
        report.routes[f"{method} {template}"] += 1
        found = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
        answer = Answer(response.status_code, found, response.content)
        sent = f"{case.formatted_path} {case.query} {case.body}"
        for flaw in judge.find_flaws((method, template), sent, answer):
            report.findings.append(
                f"{flaw}: {answer.body[:300]!r}\n      sent {method} {sent[:800]}"
            )
        return response

    return call


def _machine_of(schema: Any, call: Callable[[Any], Any]) -> Any:
    class Stories(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Any, **_: Any) -> Any:
            return call(case)

        def validate_response(self, *_: Any, **__: Any) -> None:
            """`call` has judged it."""

    return Stories
