"""Which sources exist, as answers of the brokers tell, of which one may be incomplete."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streams.joiner.decide.sources import Source

_GONE_S: Final = 60.0
_GONE_ANSWERS: Final = 3


class _Absence(NamedTuple):
    """Since when (s), and in how many answers, a topic was lacking."""

    since: float
    answers: int


class KnownSources:
    """The sources of the topics that routers read.

    A topic that one answer lacks may well be there: the watermark would jump over its records if
    its sources no longer counted, and never come back. It is gone once it was lacking for a minute,
    in several answers.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        """No answer came yet about these topics."""
        self._topics = frozenset(topics)
        self._sources: dict[str, frozenset[Source]] = {}
        self._absences: dict[str, _Absence] = {}

    def answered(self, found: Mapping[str, frozenset[Source]], now: float) -> frozenset[Source]:
        """Take an answer, the sources by topic, at a time (s); the sources that exist.

        None, so that the watermark waits, while a topic is lacking that was never there.
        """
        for topic in self._topics:
            if topic in found:
                self._sources[topic] = found[topic]
                self._absences.pop(topic, None)
            elif self._is_gone(topic, now):
                self._sources[topic] = frozenset()
        if len(self._sources) < len(self._topics):
            return frozenset()
        return frozenset().union(*self._sources.values())

    def _is_gone(self, topic: str, now: float) -> bool:
        since, answers = self._absences.get(topic, (now, 0))
        self._absences[topic] = _Absence(since, answers + 1)
        return answers + 1 >= _GONE_ANSWERS and now - since >= _GONE_S
