"""The pytest plugin: fixture `stripe_simulator`, a running and empty simulator for every test.

One server is started per session and emptied for each test; faults, clock and webhook settings
are then as after a start.
"""

from collections.abc import Iterator

import pytest

from stripesim.testing import SimulatorThread


@pytest.fixture(scope="session")
def _stripe_simulator_server() -> Iterator[SimulatorThread]:
    with SimulatorThread() as simulator:
        yield simulator


@pytest.fixture
def stripe_simulator(_stripe_simulator_server: SimulatorThread) -> Iterator[SimulatorThread]:
    """`.url`, `.secret_key`, `.publishable_key`, and the control plane as methods."""
    _stripe_simulator_server.reset()
    yield _stripe_simulator_server
    _stripe_simulator_server.clear_faults()
    _stripe_simulator_server.webhooks(mode="drop", url=None)
