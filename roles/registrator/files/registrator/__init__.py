"""Keeps a Consul agent's services equal to the containers that run on its host."""
