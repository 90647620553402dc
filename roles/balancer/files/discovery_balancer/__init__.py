"""discovery-balancer: syncs a load balancer with Consul's catalog, as a checked and loaded configuration.

plan      catalog and options to the services to serve, and those skipped with the reason (pure)
owners    the owner of each name and port that several services may ask for (pure)
shares    shares of the versions of a service to the weights of its instances (pure)
settings  settings of services from their meta, as typed values (pure)
patterns  names and paths that may stand in a configuration
times     times of settings, in seconds (pure)
options   the site's settings, from the files that the roles write
store     generations on disk, the link to the current one, the status file
ask       HTTP over a kept connection; the Consul agent of this host
source    whether consul-template follows the catalog, and the status in Consul's KV store
sync      the steps of one run, in order
duties    when the resident program does what, and what the answers prove (pure)
watch     waits for a renamed file or a signal
resident  the program that stays: syncs, verifies, restarts what hangs
status    the status as a page
preview   what the next run would change, for people
backends  the load balancers that can be driven, a package each
"""
