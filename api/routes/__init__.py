"""The receiver's routes, a file for each resource."""
