"""Pure: when each duty of the resident program is due, and what the answers to it prove."""

TRIES = 3  # looks in a row that find a problem before it counts: a restart of an agent or of a server is none
AGAIN = 2  # seconds between two looks while there is one
ECHO_SECONDS = 8  # between two echoes
BALANCER_SECONDS = 4  # between two looks at the balancer
LEAST_LOOKS = 5  # at an echo before it is overdue: a machine that stood still proves nothing
GRACE = 2  # seconds that consul-template may need beyond its longest pause between two attempts


class Timetable:
    """When each duty is due. Everything is, at first."""

    def __init__(self, *duties):
        self._at = dict.fromkeys(duties, 0.0)

    def at(self, duty) -> float:
        """When a duty is due next."""
        return self._at[duty]

    def again(self, duty, at):
        """Have a duty done at a time, in seconds of the same clock."""
        self._at[duty] = at


class Doubt:
    """A problem counts when it was found several times in a row."""

    def __init__(self, tries=TRIES):
        self.tries, self.count = tries, 0

    def found(self, problem, weight=1) -> str:
        """The problem when it counts, else "".

        :param problem: of this look, "" for none
        :param weight: looks that this one stands for
        """
        self.count = min(self.tries, self.count + weight) if problem else 0
        return problem if self.count >= self.tries else ""


class Echo:
    """Whether what this host writes to Consul comes back by consul-template.

    Time counts against consul-template only while Consul shows the same value to this host: without Consul, or without a leader,
    nothing proves that it hangs.
    """

    def __init__(self):
        self.number = 0
        self.sent_at = 0.0
        self.shown_since = None  # when Consul was first seen to show what has not come back
        self.looks = 0  # since then
        self.waiting = False

    def next(self, clock_time) -> int:
        """The number to write: higher than any before, also than those of an earlier process."""
        return max(int(clock_time), self.number + 1)

    def sent(self, number, now):
        """It was written at this time, in seconds."""
        self.number, self.sent_at, self.shown_since, self.waiting = number, now, None, True

    def back(self, number) -> bool:
        """Whether the number that has come back last is the one that was written; then nothing is waited for."""
        self.waiting = number < self.number
        return not self.waiting

    def shown(self, number, now):
        """Consul has been asked for what is stored.

        :param number: the number in its answer, None when it gave no answer
        :param now: seconds
        """
        if number is None or number < self.number:
            self.shown_since = None
        elif self.shown_since is None:
            self.shown_since, self.looks = now, 1
        else:
            self.looks += 1

    def overdue(self, now, patience) -> bool:
        """Whether it should have come back.

        :param patience: seconds for which Consul has to show it first
        """
        shown = self.shown_since is not None and self.looks >= LEAST_LOOKS
        return self.waiting and shown and now - self.shown_since >= patience

    def forget(self):
        """Nothing is waited for: it could not be written, or consul-template starts anew."""
        self.waiting, self.shown_since = False, None
