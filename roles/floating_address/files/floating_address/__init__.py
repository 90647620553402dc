"""Whether this host may hold the site's floating addresses: python3 -m floating_address OPTIONS

keepalived moves addresses between the load balancers. This program asks the load balancer of its own host, and writes what that
means into a file that keepalived watches. It runs as a user without rights, for as long as the host does. Python 3.9.

judge     pure: from answers and from the state of the sync program to the number in that file
__main__  the shell: connections, systemctl, the file
"""
