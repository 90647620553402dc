"""Certificates of this load balancer by ACME: when one is due, and how dehydrated gets it. dehydrated speaks to the CA."""
