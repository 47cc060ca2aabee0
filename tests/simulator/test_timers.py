"""What falls due on the simulator's clock."""

from stripesim.api import Api
from stripesim.config import Config
from stripesim.world import World


def test_a_timer_that_fails_stops_neither_the_others_nor_the_requests(capsys):
    world = World(Config())
    world.timers.add(0, "no_such_action", "ch_1")
    world.timers.add(1, "name_refund", "re_none")
    Api(world).run_timers()
    assert world.timers.next_due_at() is None
    assert "no_such_action" in capsys.readouterr().err
