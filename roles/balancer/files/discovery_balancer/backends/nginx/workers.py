"""nginx's workers: which of them serve, and which only finish what they have."""

from ..processes import PROC, Worker, children, deaf, end_oldest, send, serving, spent

__all__ = ["Worker", "bound", "deaf", "end_oldest", "send", "serving", "spent", "workers"]


def bound(found, most) -> int:
    """How many workers may finish connections at one time: those of one earlier generation may in any case. A generation has one
    for each processor; on a host with more of them than the site wants, each reload would end connections otherwise.

    :param most: as the site wants it
    """
    return max(most, len(serving(found)))


def workers(master, proc=PROC) -> list:
    """The workers of a master, oldest first; [] where the kernel does not list them.

    :param master: its process id on this host, also of one in a container; 0 for none
    """
    return [
        Worker(started, pid, b"shutting down" in title)
        for started, pid, title in children(master, proc)
        if b"worker process" in title
    ]
