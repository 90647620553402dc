"""What the tests of a running site share, and the benchmarks with them.

site            the inventory under test: hosts, groups, addresses, its health
fixtures        fixtures and hooks of pytest; `molecule/conftest.py` takes all of them
wait            waiting for a condition, repeating a step
clients         one request over HTTP, TCP or DNS
balancer        the balancer of a node, as it reports itself
consul, docker  the APIs, from outside
cluster         Raft and gossip, leader, restarts of agents
catalog_diff    the catalog compared with the containers that run
catalog_watch   the passing instances of one service, followed
playbook        runs of playbooks and their output
readme_examples the examples of the roles' READMEs as playbooks
readme_commands the commands of the project's README, and what runs each of them
reboot          nodes that boot, lose their power and get it back
instances       instances of services that are no containers (instance_server: the program that runs)
http_load       HTTP load on virtual hosts (kv_load: on the KV store; operation_load: both, and the bounds of operations)
dns_load        lookups on hosts and in containers
resolver        the methods of consul_dns
footprint       all that a site leaves on hosts, in the cluster and on the controller
firewall_reach  which ports answer whom
overlay_reach   containers of the overlay network, and their lost packets (overlay_switch: a site without one gets it)
failure_summary what failed, from the output of a scenario
stalls          how long this machine itself stands still
"""
