"""The balancer's guard: from Consul's catalog, as data, to a checked and loaded configuration.

plan     catalog and options to the services to serve, and those left out with the reason (pure)
traffic  shares of the versions of a service to the weights of its instances (pure)
settings what services say about themselves in meta, as typed values (pure)
render   a plan to nginx's files (pure)
nginx    how nginx is checked, reloaded and asked what it runs
place    where nginx runs: a process of this host, or a container
store    generations on disk, the link to the current one, the status file
source   whether the catalog is followed at all, and what Consul is told about this balancer
guard    the steps of one run, in order
preview  what the next run would change, for people
"""
