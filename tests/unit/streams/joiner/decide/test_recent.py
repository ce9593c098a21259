"""What was used last is kept, within an allowance of bytes."""

from streams.joiner.decide.recent import Recent


def kept(recent: Recent[str, str], keys: str) -> str:
    """Those of some keys whose values are kept."""
    return "".join(key for key in keys if recent.get(key) is not None)


def test_the_oldest_make_room() -> None:
    """The allowance counts what values were made from."""
    recent = Recent[str, str](10)
    for key in "abcde":
        assert recent.put(key, key.upper(), 4) == key.upper()
    assert recent.bytes == 8
    assert kept(recent, "abcde") == "de"


def test_what_is_used_stays() -> None:
    """A value that is asked for is the newest."""
    recent = Recent[str, str](10)
    recent.put("a", "A", 4)
    for key in "bcdefgh":
        assert recent.get("a") == "A"
        recent.put(key, key, 4)
    assert kept(recent, "abcdefgh") == "ah"


def test_the_newest_stays_whatever_its_size() -> None:
    """What is larger than the allowance is kept alone, until the next comes."""
    recent = Recent[str, str](10)
    recent.put("a", "A", 4)
    recent.put("b", "B", 1_000)
    assert (kept(recent, "ab"), recent.bytes) == ("b", 1_000)
    recent.put("c", "C", 4)
    assert (kept(recent, "abc"), recent.bytes) == ("c", 4)
