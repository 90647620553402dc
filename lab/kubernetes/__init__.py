"""A Kubernetes cluster on the nodes of a lab: it stands in for the cluster of a user, which the product never installs.

The first host with `lab_suite: kubernetes` carries etcd, API server, controller manager and scheduler; each of them containerd,
kubelet, kube-proxy (Services) and kube-router (network policies only). All files of a node are there at its first start. Pods of
a node have a /24 of their own, and each node a route to those of the others.
"""
