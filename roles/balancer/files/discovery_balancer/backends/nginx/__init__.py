"""nginx as a backend.

render      a plan to nginx's files (pure)
options     where nginx runs, and its paths
deployment  nginx as a process of this host, or in a container
workers     which workers serve, and which finish what they have
backend     how nginx is checked, reloaded and asked what it runs
"""

from .backend import Nginx as Backend

__all__ = ["Backend"]
