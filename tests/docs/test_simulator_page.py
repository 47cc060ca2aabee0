"""docs/simulator.md names every flag, fault, control-plane call and method of the fixture."""

import dataclasses
import inspect
import re

import pytest

from docs.markdown import list_rows, read
from stripesim.app import build_app
from stripesim.config import Config
from stripesim.control.faults import KINDS
from stripesim.testing import SimulatorThread

PAGE = read("docs/simulator.md")


def list_calls() -> list[str]:
    """`METHOD /_sim/…` of every call, as the control plane's own table has them."""
    app = build_app(Config())
    try:
        return [f"{method} {path}" for method, path in app.control._calls]
    finally:
        app.world.database.close()


def test_every_flag_is_documented_and_no_other() -> None:
    rows = [row[0] for row in list_rows(PAGE.split("## Keys and versions")[0])]
    documented = set(re.findall(r"--([a-z-]+)", " ".join(rows)))
    fields = {field.name.replace("_", "-") for field in dataclasses.fields(Config)}
    assert documented == fields | {"host", "port"}


def test_every_kind_of_fault_is_documented_and_no_other() -> None:
    rows = list_rows(PAGE.split("### Faults")[1].split("\n### ")[0])
    assert sorted(row[0].strip("`") for row in rows) == sorted(KINDS)


@pytest.mark.parametrize("call", list_calls())
def test_every_call_of_the_control_plane_is_documented(call: str) -> None:
    section = PAGE.split("## The control plane")[1].split("### Faults")[0]
    method, path = call.split()
    rows = [row[0] for row in list_rows(section)]
    plain = [re.sub(r"\?[^`]*", "", row).replace("{seq}", "{id}") for row in rows]
    assert any(path in re.findall(r"/_sim/[\w/{}]+", row) and method in row for row in plain), call


def test_every_method_of_the_fixture_is_documented() -> None:
    section = PAGE.split("## In tests")[1].split("\n## ")[0]
    methods = [
        name
        for name, _ in inspect.getmembers(SimulatorThread, inspect.isfunction)
        if not name.startswith("_") and name != "within"
    ]
    assert len(methods) > 20
    assert [name for name in methods if f"`{name}(" not in section] == []
