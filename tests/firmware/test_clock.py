# runs on: cpython, micropython
from firmware.clock import DEAD_MS, DOUBT_PPM, DRIFT_MAX_PPM, SLEW, STEP_MS, Clock
from tests.firmware.bench_board import BenchBoard

TOLD_MS = 1760000000000


def _told(speed=1):
    board = BenchBoard(speed)
    board.now_ms = 5000
    clock = Clock(board)
    clock.tell(TOLD_MS, True)
    return board, clock


def test_ticks_until_told():
    board = BenchBoard()
    clock = Clock(board)
    board.now_ms = 1234
    assert clock.stamp() == (1234, 0)
    assert clock.tell(TOLD_MS, False) == 0
    assert clock.stamp() == (1234, 0)
    assert clock.epoch == 0


def test_first_telling_is_no_step_but_a_new_epoch():
    board, clock = _told()
    assert clock.stamp() == (TOLD_MS, 1)
    assert clock.epoch == 1
    board.now_ms += 777
    assert clock.stamp() == (TOLD_MS + 777, 1)
    assert clock.ticks() == 5777


def test_small_differences_are_ignored():
    board, clock = _told()
    for error_ms in (-DEAD_MS, -1, 0, 1, DEAD_MS):
        assert clock.tell(TOLD_MS + error_ms, True) == 0
        assert clock.now() == TOLD_MS
    board.now_ms += 100000
    assert clock.now() == TOLD_MS + 100000


def test_a_large_difference_is_a_step():
    for error_ms in (STEP_MS + 1, -STEP_MS - 1, 3600000, -86400000 * 365):
        _, clock = _told()
        assert clock.tell(TOLD_MS + error_ms, True) == error_ms
        assert clock.now() == TOLD_MS + error_ms
        assert clock.epoch == 2


def test_a_time_that_may_be_old_is_no_reason_to_go_back():
    for speed in (1, 30):
        _, clock = _told(speed)
        now = clock.now()
        assert clock.tell(now - 5000 * speed, True, 5000) == 0
        assert clock.tell(now - 5000 * speed - 2000 * speed, True, 5000) == 0
        assert clock.epoch == 1
        assert clock.tell(now - 8000 * speed, True, 5000) == -3000 * speed
        # forward, age says nothing: the true time is even later
        assert clock.tell(now + 3000 * speed, True, 5000) == 6000 * speed


def test_an_untrusted_time_never_moves_a_told_clock():
    _, clock = _told()
    assert clock.tell(TOLD_MS + 3600000, False) == 0
    assert clock.stamp() == (TOLD_MS, 1)


def test_slewing_reaches_the_told_time_and_never_runs_backwards():
    for error_ms in (1500, -1500):
        board, clock = _told()
        began = board.now_ms
        last = clock.now()
        for _ in range(1500 * SLEW // 37 + 100):
            board.now_ms += 37
            now = clock.now()
            assert now >= last
            last = now
            # told again and again, as by acknowledgements that come faster than a slew moves
            assert clock.tell(TOLD_MS + error_ms + board.now_ms - began, True) == 0
        assert abs(clock.now() - (TOLD_MS + error_ms + board.now_ms - began)) <= DEAD_MS
        assert clock.epoch == 1


def test_limits_grow_with_a_simulated_speed():
    _, clock = _told(30)
    assert clock.tell(clock.now() + 30 * DEAD_MS, True) == 0
    assert clock.tell(clock.now() + 30 * STEP_MS, True) == 0
    assert clock.epoch == 1
    assert clock.tell(clock.now() + 30 * STEP_MS + 1, True) != 0


def test_a_board_whose_own_clock_ran_on_begins_with_it():
    board = BenchBoard()
    board.now_ms = 300
    board.rtc_ms = TOLD_MS + 300
    clock = Clock(board)
    assert clock.stamp() == (TOLD_MS + 300, 1) and clock.source == "rtc"
    assert clock.tell(TOLD_MS + 5000, True) == 4700  # it went wrong by that: a step like any other
    assert (board.rtc_ms, clock.source) == (TOLD_MS + 5000, "gateway")


def test_the_boards_own_clock_is_set_now_and_then():
    board, clock = _told()
    assert board.rtc_ms == TOLD_MS
    for minute in range(1, 61):
        board.now_ms += 60000
        clock.tell(TOLD_MS + 60000 * minute, True)
        assert board.rtc_ms == (TOLD_MS if minute < 60 else TOLD_MS + 3600000)


# a crystal that is 40 ppm slow: true time gains 40 ms every 1,000 s
def _true(board, ppm):
    return TOLD_MS + (board.now_ms - 5000) * (1000000 + ppm) // 1000000


def test_drift_is_measured_and_carries_the_clock_through_a_week_without_a_gateway():
    for ppm in (40, -40):
        board, clock = _told()
        last = clock.now()
        for _ in range(4 * 3600):
            board.now_ms += 1000
            now = clock.now()
            assert now >= last
            last = now
            assert clock.tell(_true(board, ppm), True, 20) == 0
        assert abs(clock.drift_ppm - ppm) <= DOUBT_PPM
        board.now_ms += 7 * 86400000
        assert abs(clock.now() - _true(board, ppm)) < DOUBT_PPM * 7 * 86400 // 1000 + 100
        assert clock.epoch == 1


def test_a_drift_that_no_crystal_has_is_not_believed():
    board, clock = _told()
    ppm = 2 * DRIFT_MAX_PPM
    for _ in range(4 * 3600):
        board.now_ms += 1000
        clock.tell(_true(board, ppm), True, 20)
    assert clock.drift_ppm == 0


def test_a_step_of_the_gateways_clock_is_no_drift():
    board, clock = _told()
    for hour in range(6):
        board.now_ms += 3600000
        clock.tell(TOLD_MS + 3600000 * (hour + 1) + 10000 * hour, True, 0)
    assert clock.drift_ppm == 0
