"""An alarm or a warning that one cause raises many times is written now and then, not each time."""

EACH_SECONDS = 60.0


class Seldom:
    """At most `most` times in EACH_SECONDS, by a clock that only goes on."""

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._said: list[float] = []

    def may_say(self, now: float) -> bool:
        """Whether to say it now, in seconds; whoever asks does."""
        self._said = [each for each in self._said if now - each < EACH_SECONDS]
        if len(self._said) >= self._most:
            return False
        self._said.append(now)
        return True
