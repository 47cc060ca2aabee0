"""The reference pages say what the code says: error codes, settings, commands, links."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import pytest
import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from docs.markdown import (
    ROOT,
    list_anchors,
    list_documents,
    list_links,
    list_rows,
    read,
)
from paidonce.domain import errors
from paidonce.payments.hints import WANTED_TYPES
from paidonce.settings import Settings
from proof import reliability
from proof.stripesim import figures
from support.described import described_routes

# --- routes --------------------------------------------------------------------------------------


def test_every_route_stands_in_the_table_of_the_api_and_no_other() -> None:
    named = re.findall(r"^\| `([A-Z]+) (/api/[^`? ]+)`", read(ROOT / "docs/api.md"), re.MULTILINE)
    written = {(method, re.sub(r"{[^}]*}", "{}", path)) for method, path in named}
    described = {
        (method, re.sub(r"{[^}]*}", "{}", route.path))
        for route in described_routes()
        for method in route.methods or ()
    }
    assert written - {("POST", "/api/webhooks/stripe")} == described


# --- error codes ---------------------------------------------------------------------------------


def sample(hint: object, name: str) -> Any:
    """An argument for a constructor of an error, by its annotation."""
    values: dict[object, Any] = {int: 1, str: name, bool: False}
    return values.get(hint)


def list_errors() -> dict[str, list[errors.ServiceError]]:
    """Every error the domain can make, by code; more than one where an argument decides."""
    made: dict[str, list[errors.ServiceError]] = {}
    for name, function in inspect.getmembers(errors, inspect.isfunction):
        hints = get_type_hints(function)
        if not issubclass(hints.get("return", object), errors.ServiceError):
            continue
        parameters = inspect.signature(function).parameters.values()
        arguments = {
            item.name: sample(hints[item.name], name)
            for item in parameters
            if item.default is inspect.Parameter.empty
        }
        variants = [arguments]
        flags = [key for key, value in arguments.items() if isinstance(value, bool)]
        variants += [{**arguments, flag: True} for flag in flags]
        for variant in variants:
            error = function(**variant)
            made.setdefault(error.code, []).append(error)
    return made


def documented_errors() -> dict[str, list[str]]:
    text = read("docs/errors.md").split("## The codes")[1]
    return {row[0].strip("`"): row for row in list_rows(text)}


def test_every_error_code_is_documented_and_no_other() -> None:
    codes = list_errors()
    assert len(codes) > 20
    assert documented_errors().keys() == codes.keys()


@pytest.mark.parametrize("code", sorted(list_errors()))
def test_an_error_code_is_documented_as_it_is_answered(code: str) -> None:
    _, status, next_step, money, meaning = documented_errors()[code]
    made = list_errors()[code]
    assert status == str(made[0].http_status)
    assert {word.strip("`") for word in next_step.split(" or ")} == {e.next_step for e in made}
    assert money.replace(" ", "_") == made[0].money
    assert len(meaning) > 10


def test_every_next_step_is_explained() -> None:
    text = read("docs/errors.md").split("## What to do")[1].split("\n## ")[0]
    assert {row[0].strip("`") for row in list_rows(text)} == set(errors.NextStep)


# --- settings ------------------------------------------------------------------------------------


def documented_settings() -> dict[str, list[str]]:
    return {row[0].strip("`").lower(): row for row in list_rows(read("docs/settings.md"))}


def default_of(field: FieldInfo) -> str:
    """A setting's default as the page writes it."""
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_documented_and_no_other() -> None:
    assert len(Settings.model_fields) > 15
    assert documented_settings().keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_documented_with_its_default_and_its_choices(name: str) -> None:
    _, default, meaning = documented_settings()[name]
    field = Settings.model_fields[name]
    assert default == default_of(field)
    for choice in getattr(field.annotation, "__args__", ()):
        assert f"`{choice}`" in meaning
    assert ("Secret." in meaning) == (field.annotation is SecretStr)


# --- commands ------------------------------------------------------------------------------------


def find_typer(module: str) -> typer.Typer:
    """The module's typer application: the one named `app`, or the only one."""
    found = {
        name: item
        for name, item in vars(importlib.import_module(module)).items()
        if isinstance(item, typer.Typer)
    }
    assert found, f"{module} has no typer application"
    return found["app"] if "app" in found else next(iter(found.values()))


def list_commands(program: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    children = getattr(command, "commands", None)
    if not children:
        yield program, command
        return
    for name, child in children.items():
        yield from list_commands(f"{program} {name}", child)


def all_documents() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in list_documents())


@pytest.mark.parametrize("program", ["paidonce", "stripesim"])
def test_every_command_and_option_is_documented_and_explains_itself(program: str) -> None:
    root = typer.main.get_command(find_typer(f"{program}.cli"))
    documents = all_documents()
    commands = dict(list_commands(program, root))
    assert commands
    for words, command in commands.items():
        assert words in documents, f"{words} is in no document"
        assert command.help, f"{words} has no help"
        for parameter in command.params:
            spellings = [*parameter.opts, *parameter.secondary_opts]
            options = [text for text in spellings if text.startswith("--")]
            if options and parameter.name != "help":
                assert any(text in documents for text in options), f"{words} {options}: nowhere"


def test_every_make_target_is_listed_by_make_help() -> None:
    lines = read("Makefile").splitlines()
    phony = next(line for line in lines if line.startswith(".PHONY:")).split()[1:]
    explained = {line.split(":")[0] for line in lines if " ## " in line}
    assert explained == set(phony)


def test_the_types_of_events_to_subscribe_to_are_documented() -> None:
    rows = list_rows(read("docs/webhooks.md"))
    assert sorted(row[0].strip("`") for row in rows) == sorted(WANTED_TYPES)


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list_documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_project_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in list_links(text):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = path.parent / url.path if url.path else path
        assert target.exists(), f"{link} does not exist"
        if url.fragment:
            assert url.fragment in list_anchors(target.read_text(encoding="utf-8")), link


# --- reliability ---------------------------------------------------------------------------------


def test_the_reliability_page_names_tests_that_exist_and_every_invariant() -> None:
    text = read("docs/reliability.md")
    rows = {row[0]: row for row in list_rows(text.split("## The one place")[0])}
    assert rows.keys() == {f"I{n}" for n in range(1, 15)}
    named = re.findall(r"`((?:tests|proof|spec)/[\w/]+\.py)`", text)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_what_was_measured_is_what_the_commands_wrote() -> None:
    text = read("docs/reliability.md")
    assert reliability.BEGIN + "\n" + reliability.measured() + reliability.END in text


def test_what_was_measured_of_the_simulator_is_what_the_commands_wrote() -> None:
    text = read("docs/simulator.md")
    assert reliability.BEGIN + "\n" + figures.measured() + reliability.END in text
