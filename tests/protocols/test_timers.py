"""protocols.timers against the obvious model: a dict, sorted when asked."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.timers import Timers

KEYS = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 30)),
        st.tuples(st.just("cancel"), KEYS, st.just(0)),
        st.tuples(st.just("pass"), KEYS, st.integers(1, 10)),
    ),
    max_size=60,
)


@given(STEPS)
def test_fires_what_a_dict_would_fire_in_order_of_time_and_creation(steps: list[tuple[str, int, int]]) -> None:
    timers: Timers[int] = Timers()
    model: dict[int, tuple[int, int]] = {}
    now = 0
    for creation, (step, key, value) in enumerate(steps):
        if step == "set":
            timers.set(key, now + value)
            model[key] = (now + value, creation)
        elif step == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            now += value
            due = sorted((entry, key) for key, entry in model.items() if entry[0] <= now)
            assert list(timers.take_due(now)) == [key for _, key in due]
            for _, key in due:
                del model[key]
        assert timers.next() == (min(model.values())[0] if model else None)
        assert [key for key in range(5) if key in timers] == sorted(model) == sorted(timers)
        assert len(timers) == len(model)


def test_a_timer_that_moves_at_every_step_takes_no_room() -> None:
    timers: Timers[str] = Timers()
    for now in range(10_000):
        timers.set("retransmission", now + 100)
        assert timers.next() == now + 100
    assert len(timers._heap) <= 2
