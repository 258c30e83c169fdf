"""Asks the microscope's share in a process of its own, which is left behind when the share hangs."""
