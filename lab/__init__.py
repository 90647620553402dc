"""Bare nodes on one machine, made from an inventory: what stands in for a site's hosts and its services."""
