"""Benchmarks of the balancer, beside others on the same machine, in the same run.

bench          the command: what is measured, and how long
propagation    (a) a container starts, is drained, is killed: when the clients see it
throughput     (b) requests a second, and how long the slow ones take
churn          (c) containers come and go under load: reloads and failed requests
many           (d) many services at once: until all are served, memory
balancers      which balancers there are, and how one of them runs while the others do not
site           the lab, made with the collection's own roles, and what the measurements do to it
figures        percentiles and what wrk printed (pure)
report         results to tables and plots in docs/benchmarks.md (pure, but for the files)
"""

import sys
from pathlib import Path

# The tests' view of a site imports the collection; pytest has its own list of paths (pyproject.toml).
sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))
