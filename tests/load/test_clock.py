"""Clock steps by injection: stamps stay on one axis, and what cannot be mapped says so."""

from __future__ import annotations

import numpy as np

from harness.load.clock import Axis, time_asleep_ns

START = 1_700_000_000_000_000_000


class Clocks:
    """REALTIME = MONOTONIC + an offset that a test may move; each read takes 40 ns."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.offset_ns = START
        self.raw_ratio = 1.0

    def monotonic(self) -> int:
        self.now_ns += 40
        return self.now_ns

    def realtime(self) -> int:
        self.now_ns += 40
        return self.now_ns + self.offset_ns

    def raw(self) -> int:
        return int(self.now_ns * self.raw_ratio)

    def axis(self) -> Axis:
        return Axis(self.realtime, self.monotonic, self.raw)


def test_time_asleep_is_what_boottime_gained() -> None:
    clocks = Clocks()
    clocks.offset_ns = 0
    assert time_asleep_ns(clocks.realtime, clocks.monotonic) == 0
    clocks.offset_ns = 30_000_000_000  # the lid was closed for half a minute
    assert time_asleep_ns(clocks.realtime, clocks.monotonic) == 30_000_000_000


def test_this_machine_does_not_sleep_between_two_reads() -> None:
    assert abs(time_asleep_ns() - time_asleep_ns()) < 10_000_000


def test_kernel_stamps_map_within_a_read() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    clocks.now_ns += 1_000_000
    user = np.array([clocks.now_ns, clocks.now_ns + 500])
    kernel = user - 7_000 + START
    mapped, is_kernel = axis.map(kernel, user)
    assert is_kernel.all()
    assert np.abs(mapped - (user - 7_000)).max() <= 40


def test_a_step_is_flagged_and_its_second_uses_user_stamps() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    before = clocks.now_ns + 1_000
    clocks.now_ns += 1_000_000_000
    assert axis.sample() == 0
    unsure = clocks.now_ns + 1_000
    clocks.now_ns += 1_000_000_000
    clocks.offset_ns += 1_000_000_000  # an operator sets the clock
    assert abs(axis.sample() - 1_000_000_000) <= 40
    after = clocks.now_ns + 1_000
    user = np.array([before, unsure, after])
    kernel = user - 300 + np.array([START, START, START + 1_000_000_000])
    mapped, is_kernel = axis.map(kernel, user)
    assert is_kernel.tolist() == [True, False, True]
    assert mapped[1] == unsure
    assert np.abs(mapped - user).max() <= 400
    assert axis.num_steps == 1


def test_a_step_met_while_parsing_is_still_told_by_the_next_sample() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    clocks.offset_ns += 1_000_000_000
    axis.refresh()
    assert axis.num_steps == 1
    assert abs(axis.sample() - 1_000_000_000) <= 40
    assert axis.sample() == 0


def test_slewing_and_small_noise_are_no_step() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    for _ in range(50):
        clocks.now_ns += 1_000_000_000
        clocks.offset_ns += 900  # 50 x 900 ns stays below the limit from the era's own offset
        assert axis.sample() == 0
    clocks.raw_ratio = 1 / (1 + 300e-6)
    assert axis.num_steps == 0


def test_creeping_offset_is_noticed_once_it_matters() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    steps = 0
    for _ in range(100):
        clocks.now_ns += 1_000_000_000
        clocks.offset_ns += 10_000
        steps += axis.sample() != 0
    assert steps > 10


def test_no_stamp_and_a_stamp_from_the_future_fall_back() -> None:
    clocks = Clocks()
    axis = clocks.axis()
    user = np.array([clocks.now_ns, clocks.now_ns + 10])
    mapped, is_kernel = axis.map(np.array([0, user[1] + START + 10_000_000]), user)
    assert not is_kernel.any()
    assert (mapped == user).all()


def test_slew_rate_in_parts_per_million() -> None:
    clocks = Clocks()
    raw = [0]
    axis = Axis(clocks.realtime, clocks.monotonic, lambda: raw[0])
    begin = clocks.now_ns
    clocks.now_ns = begin + 1_000_200_000 - 40
    raw[0] = 1_000_000_000
    assert abs(axis.slew_ppm() - 200) < 1
