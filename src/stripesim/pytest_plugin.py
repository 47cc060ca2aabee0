"""The pytest plugin: fixture `stripe_simulator`, a running and empty simulator for every test.

A server is started when the first test asks for it, one per set of options and per process (so one
per worker of pytest-xdist), and emptied for each test; faults, clock and webhook settings are then
as after a start, and a request that a fault still holds is cut, not executed. A test that needs
more than one, or one of its own, takes `start_stripe_simulator`.

Options: fixture `stripe_simulator_config`, which a project or a module may override; its default
comes from the ini option `stripesim` and from `--stripesim NAME=VALUE`.

A test that failed reports what its simulators were asked and what events they made.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from stripesim.clock import read_time
from stripesim.config import Config
from stripesim.testing import ControlClient, ControlError, SimulatorThread

SIMULATORS = pytest.StashKey[list[ControlClient]]()
OPTIONS = {field.name: field for field in dataclasses.fields(Config)}
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
Starter = Callable[..., SimulatorThread]


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "options of the simulators that tests get, as NAME=VALUE (for example seed=7)"
    parser.addini("stripesim", what, type="linelist", default=[])
    group = parser.getgroup("stripesim", "Stripe simulator")
    group.addoption(
        "--stripesim", action="append", default=[], metavar="NAME=VALUE", help=f"{what}; repeatable"
    )


def pytest_configure(config: pytest.Config) -> None:
    config_of(config)  # a wrong option is told before any test runs


def config_of(config: pytest.Config) -> Config:
    """The ini option, then the command line. Raises pytest.UsageError."""
    lines = [*config.getini("stripesim"), *config.getoption("--stripesim")]
    try:
        return Config(**dict(read_option(line) for line in lines))
    except ValueError as error:
        raise pytest.UsageError(f"stripesim: {error}") from None


def read_option(line: str) -> tuple[str, Any]:
    """`seed=7` as ("seed", 7); a flag needs no value. Raises pytest.UsageError."""
    name, _, text = (part.strip() for part in line.partition("="))
    name = name.replace("-", "_")
    if name not in OPTIONS:
        known = ", ".join(OPTIONS)
        raise pytest.UsageError(f"stripesim: no option {name!r}; there are {known}")
    kind = str(OPTIONS[name].type)
    try:
        return name, read_time(text) if name == "start_time" else _value(kind, text)
    except ValueError:
        raise pytest.UsageError(f"stripesim: {name}={text!r} is no {kind}") from None


def _value(kind: str, text: str) -> Any:
    """By the field's type in `Config`. Raises ValueError."""
    if "bool" in kind:
        if text.lower() not in ("", *YES, *NO):
            raise ValueError
        return text.lower() not in NO
    if not text:
        raise ValueError
    return int(text) if "int" in kind else float(text) if "float" in kind else text


@pytest.fixture(scope="session")
def stripe_simulator_config(pytestconfig: pytest.Config) -> Config:
    """How the simulators are started: a `stripesim.config.Config`. Override it at any scope."""
    return config_of(pytestconfig)


@pytest.fixture(scope="session")
def _stripe_simulator_servers() -> Iterator[dict[Config, SimulatorThread]]:
    """The servers that are running, by their options; empty until a test asks for one."""
    servers: dict[Config, SimulatorThread] = {}
    yield servers
    for server in servers.values():
        server.__exit__()


@pytest.fixture
def stripe_simulator(
    request: pytest.FixtureRequest,
    stripe_simulator_config: Config,
    _stripe_simulator_servers: dict[Config, SimulatorThread],
) -> Iterator[SimulatorThread]:
    """`.url`, `.secret_key`, `.publishable_key`, and the control plane as methods."""
    server = _stripe_simulator_servers.get(stripe_simulator_config)
    if server is None:
        server = SimulatorThread(stripe_simulator_config).__enter__()
        _stripe_simulator_servers[stripe_simulator_config] = server
    server.reset()
    request.node.stash.setdefault(SIMULATORS, []).append(server)
    yield server
    server.clear_faults()
    server.webhooks(mode="drop", url=None)


@pytest.fixture
def start_stripe_simulator(
    request: pytest.FixtureRequest, stripe_simulator_config: Config
) -> Iterator[Starter]:
    """`start_stripe_simulator(seed=7)`: one more, of this test alone, with the given options
    beside those of `stripe_simulator_config`. It ends with the test.
    """
    started: list[SimulatorThread] = []

    def start(**options: Any) -> SimulatorThread:
        config = dataclasses.replace(stripe_simulator_config, **options)
        simulator = SimulatorThread(config).__enter__()
        started.append(simulator)
        request.node.stash.setdefault(SIMULATORS, []).append(simulator)
        return simulator

    yield start
    for simulator in started:
        simulator.__exit__()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """While the fixtures still live, so that the simulators can be asked."""
    report = yield
    if report.failed and report.when != "teardown":
        for simulator in item.stash.get(SIMULATORS, []):
            from stripesim.report import sections_of  # noqa: PLC0415  needed after a failure only

            try:
                report.sections += sections_of(simulator)
            except (ControlError, OSError) as error:
                report.sections.append((f"stripesim {simulator.url}", f"gives no answer: {error}"))
    return report
