"""Who gets a place at the door, and how many: counts alone, no request and no clock."""

import asyncio
from math import ceil
from typing import Any

import pytest

from paidonce.api.admission import MACHINE_PATHS, Admission, Lane, Place
from paidonce.api.bodies import Arrivals, BodyTooLarge
from paidonce.api.client_address import ClientAddresses
from paidonce.api.shell import Shell
from paidonce.domain.errors import ServiceError

SCOPE: dict[str, Any] = {"headers": []}


def hold(lane: Lane, holder: str) -> Place:
    place = Place(lane)
    place.hold(holder)
    return place


def fill(lane: Lane, *holders: str) -> list[Place]:
    """Each in turn takes a place as long as anybody gets one."""
    places: list[Place] = []
    waiting = list(holders)
    while waiting:
        for holder in list(waiting):
            try:
                places.append(hold(lane, holder))
            except ServiceError as error:
                assert error.code == "too_many_requests"
                waiting.remove(holder)
    return places


@pytest.mark.parametrize("greedy", [1, 2, 3, 9, 49, 99])
def test_however_many_are_greedy_who_comes_without_a_place_finds_one(greedy: int) -> None:
    lane = Lane(100)
    places = fill(lane, *(f"user={n}" for n in range(greedy)))
    assert max(lane.held.values()) == ceil(100 / (greedy + 1))
    places.append(hold(lane, "somebody else"))
    for place in places:
        place.leave()
        place.leave()
    assert (lane.free, lane.held) == (100, {})


def test_a_full_lane_is_busy_for_everybody() -> None:
    lane = Lane(2)
    hold(lane, "one"), hold(lane, "two")
    for holder in ("one", "three"):
        with pytest.raises(ServiceError) as refused:
            hold(lane, holder)
        assert refused.value.code == "service_unavailable"
    assert lane.held == {"one": 1, "two": 1}


def test_a_place_goes_over_from_an_address_to_its_user() -> None:
    lane = Lane(2)
    hold(lane, "address")
    place = hold(lane, "other address")  # the last one
    place.hold("user=alice")
    assert (lane.free, lane.held) == (0, {"address": 1, "user=alice": 1})


def test_who_is_refused_in_a_new_name_holds_nothing_any_more() -> None:
    lane = Lane(4)
    fill(lane, "user=alice")
    place = hold(lane, "address")
    with pytest.raises(ServiceError):
        place.hold("user=alice")
    place.leave()
    assert (lane.free, lane.held) == (2, {"user=alice": 2})


def pieces(*bodies: bytes) -> Any:
    """A `receive` that gives these and then waits for ever; the last one, "", ends the body."""
    waiting = list(bodies)

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": body != b""}

    return receive


async def test_who_takes_an_answer_slowly_holds_no_place() -> None:
    admission = Admission(2)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    held: list[int] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        held.append(len(admission.lane_of(scope).held))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all of it"})

    async def never_taken(_message: Any) -> None:
        await asyncio.Event().wait()

    shell = Shell(app, ClientAddresses(()), admission)
    async with asyncio.timeout(5):
        tasks = [
            asyncio.create_task(shell(dict(scope), pieces(b""), never_taken)) for _ in range(5)
        ]
        await asyncio.sleep(0.05)
    assert held == [1] * 5
    for task in tasks:
        assert not task.done()
        task.cancel()


async def test_the_slowest_bodies_give_way_and_the_others_come_in() -> None:
    arrivals = Arrivals(10, most_bytes=16)
    slow = []
    for _ in range(3):
        slow.append(asyncio.create_task(arrivals.read(SCOPE, pieces(b"half"))))
        await asyncio.sleep(0)
    assert await arrivals.read(SCOPE, pieces(b"all of ", b"it", b"")) == b"all of it"
    done, waiting = await asyncio.wait(slow, timeout=0)
    assert [task in done for task in slow] == [True, True, False]
    for task in done:
        error = task.exception()
        assert isinstance(error, ServiceError) and error.code == "service_unavailable"
    for task in waiting:
        task.cancel()


async def test_what_came_in_or_gave_way_counts_no_longer() -> None:
    arrivals = Arrivals(10, most_bytes=12)
    for _ in range(3):
        slow = asyncio.create_task(arrivals.read(SCOPE, pieces(b"half")))
        await asyncio.sleep(0)
        assert await arrivals.read(SCOPE, pieces(b"whole", b"")) == b"whole"
        with pytest.raises(BodyTooLarge):
            await arrivals.read(SCOPE, pieces(b"large", b"larger"))
        assert not slow.done()
        slow.cancel()
        await asyncio.wait([slow])


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    with pytest.raises(BodyTooLarge):
        await Arrivals(10, 100).read(SCOPE, pieces(b"12345", b"678901"))


@pytest.mark.parametrize("prefix", ["", "/shop/v2"])
@pytest.mark.parametrize("path", MACHINE_PATHS)
def test_probes_are_counted_apart_behind_any_prefix(prefix: str, path: str) -> None:
    admission = Admission(1)
    probe = admission.lane_of({"path": f"{prefix}{path}", "method": "GET"})
    assert probe is not admission.lane_of({"path": f"{prefix}/api/orders", "method": "GET"})
    assert probe is admission.lane_of({"path": path, "method": "GET"})
