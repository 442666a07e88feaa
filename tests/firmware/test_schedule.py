# runs on: cpython, micropython
from firmware.schedule import Schedule


def test_points_lie_on_the_grid():
    for poll_ms, phase_ms in ((10000, 0), (10000, 5000), (1000, 999), (300000, 1), (86400000, 3600000)):
        now = 1760000012345
        schedule = Schedule(poll_ms, phase_ms, now)
        assert now <= schedule.next < now + poll_ms
        assert (schedule.next - phase_ms) % poll_ms == 0
        assert schedule.take(schedule.next - 1) is None
        for _ in range(5):
            due = schedule.next
            assert schedule.take(due) == due
            assert schedule.next == due + poll_ms
        assert schedule.skipped == 0


def test_every_point_is_used_once_or_counted():
    schedule = Schedule(1000, 250, 0)
    taken = []
    now = 0
    for gap in (10, 400, 990, 1000, 1001, 1999, 2000, 5300, 1, 1, 60000, 999) * 20:
        now += gap
        point = schedule.take(now)
        if point is not None:
            assert now - 1000 < point <= now
            taken.append(point)
        assert schedule.take(now) is None
    assert taken == sorted(set(taken))
    # every grid point up to now is either taken or skipped
    assert len(taken) + schedule.skipped == (now - 250) // 1000 + 1


def test_a_step_forward_takes_up_the_grid_there():
    schedule = Schedule(10000, 0, 5)
    assert schedule.take(10003) == 10000
    now = 1760000000001
    schedule.restart(now)
    assert schedule.next == 1760000010000
    assert schedule.skipped == 0
    assert schedule.take(now) is None


def test_a_short_step_back_never_brings_a_point_twice():
    for back_ms in range(0, 10000, 7):
        for late_ms in (0, 1, 5000, 9999):
            schedule = Schedule(10000, 0, 0)
            assert schedule.take(100000 + late_ms) == 100000
            now = 100000 + late_ms - back_ms
            schedule.restart(now)
            assert schedule.next == 110000 or now > 100000


def test_after_a_long_step_back_polling_goes_on_at_once():
    schedule = Schedule(10000, 0, 0)
    assert schedule.take(3600000) == 3600000
    schedule.restart(1234)
    assert schedule.take(10000) == 10000
