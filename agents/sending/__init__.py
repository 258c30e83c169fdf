"""Sends outputs, publishes exposures and reports the agent's status, however good the link is."""
