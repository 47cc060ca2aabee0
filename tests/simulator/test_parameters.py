"""Every endpoint refuses what its table of parameters does not have; the tests are made from it.

The table comes from the SDK's types (tools/generate_params.py), with what older integrations send.
"""

import pytest

from stripesim.routes import Router
from stripesim.wire import params
from stripesim.wire.errors import StripeError

TABLES = params.document()["endpoints"]
INTEGER_CODE = "parameter_invalid_integer"
# kind of a node -> what is sent for it, the code of the refusal, how its message begins
WRONG = {
    "integer": ("x", INTEGER_CODE, "Invalid integer: x"),
    "number": ("x", None, "Invalid decimal: x"),
    "boolean": ("perhaps", None, "Invalid boolean: perhaps"),
    "string": ({"a": "b"}, None, "Invalid string: {"),
    "map": ("x", None, "Invalid object"),
    "fields": ("x", None, "Invalid object"),
    "array": ("x", None, "Invalid array"),
    "enum": ("no_such", None, "Invalid {name}: must be one of "),
}
EXAMPLES = {"integer": "1", "number": "1.5", "boolean": "true", "string": "x", "any": "x"}


def kind_of(node):
    if isinstance(node, dict):
        kind = next(kind for kind in ("enum", "array", "fields") if kind in node)
        return "any" if node.get("loose") else kind
    return node


def example(node, name=""):
    """A value that the node takes."""
    kind = "string" if isinstance(node, dict) and node.get("loose") else kind_of(node)
    if kind == "fields":
        return parts(node) or {key: example(node["fields"][key], key) for key in some_key(node)}
    if kind == "array":
        return {"0": example(node["array"])}
    if kind == "enum":
        return node["enum"][0]
    if kind == "map":
        return {"a": "b"}
    return "https://x.example" if name == "return_url" else EXAMPLES[kind]


def parts(node):
    """The parts that an object needs."""
    return {key: example(node["fields"][key], key) for key in node.get("required", [])}


def some_key(node):
    """An object without any part cannot be written in a form."""
    return list(node["fields"])[:1]


def nodes(table, path=()):
    """Every node of a table below `path`: (path, node)."""
    for name, node in table["fields"].items():
        yield from node_and_below(node, (*path, name))


def node_and_below(node, path):
    yield path, node
    if isinstance(node, dict):
        if "fields" in node:
            yield from nodes(node, path)
        if "array" in node:
            yield from node_and_below(node["array"], (*path, "0"))


def with_value(table, path, value):
    """What the table needs, and `value` at `path`."""
    form, node = parts(table), table
    part = form
    for name in path[:-1]:
        node = node["array"] if "array" in node else node["fields"][name]
        part[name] = parts(node) if "fields" in node else {}
        part = part[name]
    part[path[-1]] = value
    return form


def name_of(path):
    return path[0] + "".join(f"[{part}]" for part in path[1:])


def flat(form, prefix=""):
    out = {}
    for key, value in form.items():
        name = f"{prefix}[{key}]" if prefix else key
        out |= flat(value, name) if isinstance(value, dict) else {name: value}
    return out


def send(wire, endpoint, form):
    """The error, which comes before any object is looked for."""
    method, _, path = endpoint.partition(" ")
    answer = wire.send(method, path.replace("{id}", "none"), flat(form))
    assert answer.status_code == 400, (endpoint, form, answer.text)
    return answer.json()["error"]


def test_every_route_has_its_table_and_every_table_its_route():
    assert set(TABLES) == {route.name for route in Router().routes()}


@pytest.mark.parametrize("endpoint", TABLES)
def test_an_unknown_parameter_is_refused(wire, endpoint):
    needed = with_value(TABLES[endpoint], ("no_such",), "x")
    error = send(wire, endpoint, needed)
    assert (error["code"], error["param"]) == ("parameter_unknown", "no_such")
    assert error["message"] == "Received unknown parameter: no_such"
    error = send(wire, endpoint, {**needed, "nor_such": "x"})
    assert error["message"] == "Received unknown parameters: no_such, nor_such"


@pytest.mark.parametrize("endpoint", [name for name in TABLES if TABLES[name].get("required")])
def test_a_required_parameter_that_is_left_out_is_named(wire, endpoint):
    table = TABLES[endpoint]
    full = parts(table)
    for name in table["required"]:
        error = send(wire, endpoint, {key: full[key] for key in full if key != name})
        assert (error["code"], error["param"]) == ("parameter_missing", name)
        assert error["message"] == f"Missing required param: {name}."


@pytest.mark.parametrize("endpoint", TABLES)
def test_a_wrong_type_is_refused_for_each_kind_of_node(wire, endpoint):
    seen = set()
    for path, node in nodes(TABLES[endpoint]):
        kind = kind_of(node)
        if kind == "any" or kind in seen:
            continue
        seen.add(kind)
        value, code, begin = WRONG[kind]
        error = send(wire, endpoint, with_value(TABLES[endpoint], path, value))
        assert (error.get("code"), error["param"]) == (code, name_of(path))
        assert error["message"].startswith(begin.replace("{name}", name_of(path)))


def test_every_node_of_every_table_refuses_a_wrong_type_and_takes_a_right_one():
    count, kinds = 0, set()
    for endpoint, table in TABLES.items():
        for path, node in nodes(table):
            right = with_value(table, path, example(node, path[-1]))
            params.check(endpoint, right, from_client_library=False)
            kind = kind_of(node)
            if kind == "any":
                continue
            with pytest.raises(StripeError) as refusal:
                wrong = with_value(table, path, WRONG[kind][0])
                params.check(endpoint, wrong, from_client_library=False)
            assert (refusal.value.status, refusal.value.param) == (400, name_of(path))
            count += 1
            kinds.add(kind)
    assert kinds == set(WRONG) and count > 3000


@pytest.mark.parametrize("endpoint", TABLES)
def test_a_part_that_an_object_needs_is_named_with_its_place(wire, endpoint):
    """The first object of the table that needs more than one part."""
    table = TABLES[endpoint]
    for path, node in nodes(table):
        if kind_of(node) == "fields" and len(node.get("required", [])) > 1:
            left_out = node["required"][0]
            some = {key: value for key, value in parts(node).items() if key != left_out}
            error = send(wire, endpoint, with_value(table, path, some))
            name = name_of((*path, left_out))
            assert (error["code"], error["param"]) == ("parameter_missing", name)
            return
