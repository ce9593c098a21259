"""Wrong keys slow down, by what they name and by where they come from."""

import asyncio

from streams.dashboard.guesses import LONGEST_S, WAITING, Guesses


def test_ever_slower() -> None:
    """The first few are free, then each one waits longer, up to a bound."""
    guesses = Guesses(monotonic=lambda: 0.0)
    delays = [guesses.wrong("key a", "peer 1") for _ in range(40)]
    assert delays[:3] == [0, 0, 0]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_S


def test_by_key_and_by_peer() -> None:
    """Either is enough; another key from another peer waits for neither."""
    guesses = Guesses(monotonic=lambda: 0.0)
    for number in range(10):
        guesses.wrong("key a", f"peer {number}")
    assert guesses.wrong("key a", "peer x") > 0
    for number in range(10):
        guesses.wrong(f"key {number}", "peer 1")
    assert guesses.wrong("key y", "peer 1") > 0
    assert guesses.wrong("key z", "peer z") == 0


def test_forgotten() -> None:
    """After five minutes of peace all begins anew."""
    times = iter([0.0] * 20 + [301.0])
    guesses = Guesses(monotonic=lambda: next(times))
    delays = [guesses.wrong("key a") for _ in range(20)]
    assert delays[-1] > 0
    assert guesses.wrong("key a") == 0


def test_too_many() -> None:
    """No more wait at once than there are places."""

    async def try_all() -> list[str]:
        guesses = Guesses(monotonic=lambda: 0.0)
        for _ in range(10):
            guesses.wrong("key a")
        waiting = [asyncio.create_task(guesses.hold("key a")) for _ in range(WAITING + 3)]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [str(task.exception()) for task in done]

    assert "too many wrong keys" in asyncio.run(try_all())[0].lower()
