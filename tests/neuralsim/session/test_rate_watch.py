"""The rate that ``--size auto`` has promised: what is watched, and when the size changes."""

from __future__ import annotations

from bridge.size import Size
from neuralsim.session.rate_watch import RateWatch

FULL, MIDDLE, SMALL = Size(512, 256), Size(448, 224), Size(384, 192)


class Machine:
    """Renders frames one after the other, each in a time that its pixels determine, at most at the ticks' rate."""

    def __init__(self, watch: RateWatch, most: float = 40.0) -> None:
        self.watch, self.most, self.now = watch, most, 100.0
        self.sizes: list[Size] = []

    def run(self, seconds: float, full: float) -> list[tuple[float, Size]]:
        """Drive for so many seconds with frames of 512x256 taking ``full`` s; return when the size changed to what."""
        begun = self.now
        changes: list[tuple[float, Size]] = []
        while self.now - begun < seconds:
            needed = full * self.watch.size.pixels / FULL.pixels
            self.now += max(needed, 1.0 / self.most)
            if self.watch.add(self.now, needed):
                changes.append((self.now - begun, self.watch.size))
        return changes


def test_a_rate_that_is_held_changes_nothing() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    assert machine.run(120.0, 0.03) == []
    assert machine.watch.line == ""


def test_the_size_steps_down_after_ten_seconds_and_says_why() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    ((after, size),) = machine.run(120.0, 0.042)
    assert size == MIDDLE
    assert 10.0 <= after < 10.2
    assert machine.watch.line == "512x256 held 24 of 30 frames a second: now 448x224"


def test_a_slower_machine_ends_at_the_smallest_size_and_stays() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    changes = machine.run(300.0, 0.2)
    assert [size for _, size in changes] == [MIDDLE, SMALL]
    assert 10.0 <= changes[1][0] - changes[0][0] < 10.5


def test_a_short_hitch_is_no_reason() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    for _ in range(20):
        assert machine.run(1.0, 0.05) + machine.run(12.0, 0.02) == []


def test_a_larger_size_comes_back_once_there_is_time_for_it() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    machine.run(60.0, 0.05)
    assert machine.watch.size == SMALL
    changes = machine.run(120.0, 0.02)
    assert [size for _, size in changes] == [MIDDLE, FULL]
    assert machine.watch.is_chosen
    assert machine.watch.line == "30 frames a second are held: 512x256 again"


def test_a_larger_size_is_not_tried_where_the_smaller_one_has_no_time_left() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    machine.run(20.0, 0.042)
    assert machine.run(600.0, 0.034) == []


def test_tries_in_vain_become_rare() -> None:
    watch = RateWatch(FULL, 40.0)
    machine = Machine(watch)
    machine.run(20.0, 0.042)
    tries = []
    for second in range(3600):
        machine.run(1.0, 0.028 if watch.size == MIDDLE else 0.045)  # the smaller size promises more than is true
        if watch.size != (tries[-1][1] if tries else MIDDLE):
            tries.append((second, watch.size))
    up = [second for second, size in tries if size == FULL]
    assert len(up) < 12
    assert up[-1] - up[-2] > 8 * (up[1] - up[0])


def test_the_promise_is_no_more_than_the_ticks_of_the_drive() -> None:
    machine = Machine(RateWatch(FULL, 20.0), most=20.0)
    assert machine.run(60.0, 0.03) == []
    ((_, size),) = machine.run(30.0, 0.06)
    assert size == MIDDLE
    assert "of 20 frames" in machine.watch.line


def test_a_large_size_steps_through_all_smaller_ones() -> None:
    machine = Machine(RateWatch(Size(1024, 512), 40.0))
    assert [size for _, size in machine.run(60.0, 1.0)] == [FULL, MIDDLE, SMALL]


def test_a_pause_is_not_measured() -> None:
    machine = Machine(RateWatch(FULL, 40.0))
    for _ in range(10):
        machine.run(5.0, 0.02)
        machine.now += 8.0
        machine.watch.restart()
    assert machine.watch.size == FULL
