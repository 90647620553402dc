"""What the programs that stay on a host share; the entry point `program` of common installs it beside each. Python 3.9.

replaced  whether the files of the program are other ones by now
restarts  how often a unit that hangs is restarted (pure)
systemd   what a program tells systemd, and asks it: above all, whether dockerd runs
"""
