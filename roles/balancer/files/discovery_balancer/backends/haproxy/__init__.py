"""HAProxy as a backend.

render   a plan to what HAProxy should serve, and that to its files (pure)
changes  what runs and what should, to commands of the runtime API, or to the reason for a reload (pure)
options  where HAProxy runs, its paths, and the site's limits
runtime  the runtime API: commands over a unix socket
backend  how HAProxy is checked, changed, reloaded and asked what it runs
"""

from .backend import Haproxy as Backend

__all__ = ["Backend"]
