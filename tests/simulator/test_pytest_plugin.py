"""The pytest plugin, in projects made for the test: isolation, options, and the report of failures.

Those that look at processes run in one of their own, as users run them.
"""

import re
import subprocess
import sys
import textwrap

import pytest

from stripesim.config import Config
from stripesim.pytest_plugin import OPTIONS, read_option

pytest_plugins = ["pytester"]
CALL = """
import urllib.request

def call(simulator, path, data=b"", key="sk_test_x", **headers):
    headers = {"Authorization": "Bearer " + key} | headers
    request = urllib.request.Request(simulator.url + path, data or None, headers, method="POST")
    return urllib.request.urlopen(request, timeout=5).read()
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Write the files, run pytest; its result. A process of its own loads no other plugins."""

    def run(code, *arguments, ini="", conftest="", own_process=False):
        pytester.makeini(f"[pytest]\n{ini}")
        pytester.makepyfile(calls=CALL, test_it="from calls import call\n" + textwrap.dedent(code))
        pytester.makeconftest(textwrap.dedent(conftest))
        if own_process:
            monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            arguments = ("-p", "stripesim.pytest_plugin", *arguments)
        start = pytester.runpytest_subprocess if own_process else pytester.runpytest_inprocess
        return start("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *arguments)

    return run


FAILING = """
    def test_pay(stripe_simulator):
        sim = stripe_simulator
        with sim.receive_webhooks() as inbox:
            call(sim, "/v1/customers", b"name=Ada", **{"Idempotency-Key": "order-1"})
            call(sim, "/v1/customers", b"name=Ada", **{"Idempotency-Key": "order-1"})
            sim.create_card("4242424242424242", cvc="987")
            inbox.wait_for("customer.created")
            sim.flush_webhooks()
            sim.add_fault(kind="rate_limit", match={"path": "/v1/refunds"})
            try:
                call(sim, "/v1/refunds")
            except OSError:
                pass
            try:
                call(sim, "/v1/payment_intents", b"amount=1&currency=usd&metadata[a]=sk_live_12345")
            except OSError:
                pass
        assert False, "the reason"
"""


def test_a_failed_test_shows_requests_events_and_faults(run):
    result = run(FAILING)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "the reason" in text
    for line in (
        r"requests to stripesim http://127\.0\.0\.1:\d+ -",
        r"\d\d:\d\d:\d\d\.\d{3} POST /v1/customers +200 key=order-1\n",
        r"POST /v1/customers +200 key=order-1 replayed\n",
        r"POST /v1/payment_methods +200\n",
        r"POST /v1/refunds +429 rate_limit fault=rate_limit\n",
        r"POST /v1/payment_intents +400 amount_too_small\n",
        r"customer\.created cus_\w+ delivered \(200\)\n",
        r"rate_limit for path=/v1/refunds: matched 1, struck 1\n",
    ):
        assert re.search(line, text), line
    shown = text.partition("requests to stripesim")[2]
    assert "4242424242424242" not in shown and "987" not in shown and "12345" not in shown


def test_a_passed_test_and_one_without_a_simulator_report_nothing(run):
    result = run(
        """
        def test_good(stripe_simulator):
            call(stripe_simulator, "/v1/customers")

        def test_other():
            assert False
        """,
        "-rA",
    )
    result.assert_outcomes(passed=1, failed=1)
    assert "stripesim http" not in result.stdout.str()


def test_a_fixture_that_fails_reports_too_and_long_logs_are_cut(run):
    result = run(
        """
        import pytest

        @pytest.fixture
        def shop(stripe_simulator):
            for number in range(40):
                call(stripe_simulator, "/v1/customers", b"name=n%d" % number)
            raise RuntimeError("no shop")

        def test_it(shop):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "… 10 before" in text
    assert len(re.findall(r"POST /v1/customers +200", text)) == 30


def test_a_simulator_that_gives_no_answer_does_not_hide_the_failure(run):
    result = run(
        """
        def test_it(start_stripe_simulator):
            start_stripe_simulator().__exit__()
            assert False, "the reason"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the reason*", "*gives no answer*"])


def test_every_test_has_an_empty_simulator_under_one_address(run):
    result = run(
        """
        import contextlib, pytest, threading
        seen = []

        def ask_late(sim):
            with contextlib.suppress(OSError):
                call(sim, "/v1/refunds")

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(stripe_simulator, turn):
            sim = stripe_simulator
            seen.append(sim.url)
            assert len(set(seen)) == 1
            assert sim.requests() == [] and sim.faults() == [] and sim.objects("customer") == []
            assert sim.state()["advanced_seconds"] == 0 and sim.state()["webhook_mode"] == "deliver"
            call(sim, "/v1/customers", **{"Idempotency-Key": "the same"})
            sim.advance_clock(3600)
            sim.webhooks(mode="pause", duplicate=2)
            sim.add_fault(kind="latency", seconds=1, match={"path": "/v1/refunds"})
            late = threading.Thread(target=ask_late, args=(sim,), daemon=True)
            late.start()
            while not sim.faults()[0]["struck"]:
                pass
        """
    )
    result.assert_outcomes(passed=2)


def test_a_test_can_have_more_than_one_of_its_own(run):
    result = run(
        """
        def test_it(stripe_simulator, start_stripe_simulator):
            other, seeded = start_stripe_simulator(), start_stripe_simulator(seed=7)
            again = start_stripe_simulator(seed=7)
            assert len({s.url for s in (stripe_simulator, other, seeded, again)}) == 4
            call(other, "/v1/customers")
            assert stripe_simulator.requests() == [] and len(other.requests()) == 1
            cards = [s.create_card() for s in (seeded, again, other)]
            assert cards[0] == cards[1] != cards[2]
        """
    )
    result.assert_outcomes(passed=1)


def test_what_a_test_switched_on_ends_with_it_and_not_with_the_next(run):
    result = run(
        """
        KEPT = []

        def test_first(stripe_simulator):
            KEPT.append(stripe_simulator)
            stripe_simulator.add_fault(kind="rate_limit")
            stripe_simulator.set_webhook_target("http://127.0.0.1:1/", "whsec_x")

        def test_then():
            settings = KEPT[0].webhooks()
            assert KEPT[0].faults() == []
            assert (settings["mode"], settings["target"]) == ("drop", None)
        """
    )
    result.assert_outcomes(passed=2)


def test_workers_of_xdist_do_not_meet(run):
    pytest.importorskip("xdist")
    result = run(
        """
        import os, time, pytest

        @pytest.mark.parametrize("turn", range(6))
        def test_it(stripe_simulator, turn, tmp_path_factory):
            shared = tmp_path_factory.getbasetemp().parent
            worker = os.environ["PYTEST_XDIST_WORKER"]
            (shared / (worker + ".url")).write_text(stripe_simulator.url)
            call(stripe_simulator, "/v1/customers")
            time.sleep(0.05)
            assert len(stripe_simulator.requests()) == 1
            urls = [p.read_text() for p in shared.glob("*.url")]
            assert len(urls) == len(set(urls))
        """,
        "-p", "xdist", "-n", "2",
        own_process=True,
    )  # fmt: skip
    result.assert_outcomes(passed=6)


def test_no_server_runs_before_a_test_asks_for_one(run):
    result = run(
        """
        import sys, threading

        def test_first():
            assert "stripesim.server" not in sys.modules
            assert threading.active_count() == 1

        def test_then(stripe_simulator):
            assert stripe_simulator.health() == {"status": "ready"}
        """,
        own_process=True,
    )  # fmt: skip
    result.assert_outcomes(passed=2)


CHECKS_SEED = """
    def test_it(stripe_simulator, stripe_simulator_config):
        assert stripe_simulator_config.seed == {seed}
        assert stripe_simulator_config.dashboard_methods is {methods}
        first = stripe_simulator.create_card()
        stripe_simulator.reset()
        assert (stripe_simulator.create_card() == first) is {repeats}
"""


def test_options_come_from_the_ini_file_and_from_the_command_line(run):
    code = CHECKS_SEED.format(seed=8, methods=True, repeats=True)
    ini = "stripesim =\n    seed = 7\n    dashboard-methods"
    run(code, "--stripesim", "seed=8", ini=ini).assert_outcomes(passed=1)


def test_a_project_overrides_the_options_with_a_fixture(run):
    code = CHECKS_SEED.format(seed=None, methods=False, repeats=False)
    conftest = """
        import pytest
        from stripesim.config import Config

        @pytest.fixture(scope="session")
        def stripe_simulator_config():
            return Config()
    """
    run(code, "--stripesim", "seed=8", conftest=conftest).assert_outcomes(passed=1)


def test_a_refused_call_of_the_control_plane_shows_the_line_of_the_test_only(run):
    result = run(
        """
        def test_fault(stripe_simulator):
            stripe_simulator.add_fault(kind="explode")

        def test_store(start_stripe_simulator):
            start_stripe_simulator(data="no/such/folder/sim.db")
        """
    )
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert "ControlError: POST /_sim/faults: 400" in text
    assert "ControlError: cannot use no/such/folder/sim.db as the store: unable to open" in text
    assert "HTTPError" not in text and "in _send" not in text and "sqlite3.connect" not in text


def test_a_wrong_option_is_told_before_any_test(run):
    result = run("def test_it(): pass", "--stripesim", "sead=7", own_process=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: stripesim: no option 'sead'; there are data, *"])


@pytest.mark.parametrize("option", ["sead=7", "seed=x", "seed", "dashboard_methods=perhaps", ""])
def test_a_wrong_option_is_refused(option):
    with pytest.raises(pytest.UsageError, match="stripesim: "):
        read_option(option)


def test_every_option_of_serve_is_an_option_of_the_fixture():
    for name, field in OPTIONS.items():
        value = {"fields_as_of": "2026-08-26"}.get(name, "7")
        value = "true" if "bool" in str(field.type) else value
        read, found = read_option(f"{name.replace('_', '-')} = {value}")
        assert read == name
        Config(**{read: found})


def test_the_plugin_needs_nothing_but_the_standard_library_until_a_server_starts():
    """In a project that has pytest and stripesim, and none of paidonce's other dependencies."""
    code = (
        "import sys, stripesim.pytest_plugin, stripesim.report, stripesim.receiver;"
        "third = {m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names);"
        "print(sorted(m for m in third if not m.startswith('_')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    needed_by_pytest = {"pytest", "pluggy", "iniconfig", "packaging", "pygments", "py"}
    assert set(eval(done.stdout)) - needed_by_pytest == {"stripesim"}
