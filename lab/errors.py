"""The one error of the lab: a sentence for the person who typed the command."""


class LabError(Exception):
    """Something the user has to put right; the message names what and how."""
