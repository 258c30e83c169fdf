"""Shows the whole path on one machine: a simulated microscope, the real agent, the real receiver, real registries."""
