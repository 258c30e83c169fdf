"""Takes movies through their stages: prepare, hold on the device, compute, write."""
