"""The circuit breaker in front of Stripe."""

from paidonce.gateway.circuit import FAULTS_TO_OPEN, OPEN_SECONDS, Circuit


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Circuit, Time]:
    time = Time()
    circuit = Circuit(time)
    for _ in range(FAULTS_TO_OPEN):
        assert circuit.may_call() and not circuit.is_open
        circuit.note_fault()
    return circuit, time


def test_a_row_of_faults_opens_it() -> None:
    circuit, _ = opened()
    assert circuit.is_open
    assert not circuit.may_call()


def test_one_answer_in_between_starts_the_count_again() -> None:
    circuit = Circuit(Time())
    for _ in range(3):
        for _ in range(FAULTS_TO_OPEN - 1):
            circuit.note_fault()
        circuit.note_answer()
    assert circuit.may_call() and not circuit.is_open


def test_it_tries_again_within_five_seconds() -> None:
    assert OPEN_SECONDS < 5
    circuit, time = opened()
    time.now += OPEN_SECONDS - 0.01
    assert not circuit.may_call()
    time.now += 0.02
    assert not circuit.is_open
    assert circuit.may_call()


def test_half_open_lets_one_call_through() -> None:
    circuit, time = opened()
    time.now += OPEN_SECONDS
    assert [circuit.may_call() for _ in range(4)] == [True, False, False, False]


def test_the_trial_calls_fault_keeps_it_open_and_its_answer_closes_it() -> None:
    circuit, time = opened()
    time.now += OPEN_SECONDS
    assert circuit.may_call()
    circuit.note_fault()
    assert circuit.is_open and not circuit.may_call()
    time.now += OPEN_SECONDS
    assert circuit.may_call()
    circuit.note_answer()
    assert not circuit.is_open
    assert [circuit.may_call() for _ in range(4)] == [True] * 4


def test_a_trial_call_that_never_comes_back_does_not_close_it_for_ever() -> None:
    circuit, time = opened()
    time.now += OPEN_SECONDS
    assert circuit.may_call()
    time.now += OPEN_SECONDS
    assert circuit.may_call()
