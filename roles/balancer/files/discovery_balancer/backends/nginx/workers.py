"""nginx's workers: which of them serve, and which only finish what they have."""

from ..processes import PROC, Worker, children, deaf, end_oldest, send, serving, spent

__all__ = ["Worker", "deaf", "end_oldest", "send", "serving", "spent", "workers"]


def workers(master, proc=PROC) -> list:
    """The workers of a master, oldest first; [] where the kernel does not list them.

    :param master: its process id on this host, also of one in a container; 0 for none
    """
    return [
        Worker(started, pid, b"shutting down" in title)
        for started, pid, title in children(master, proc)
        if b"worker process" in title
    ]
