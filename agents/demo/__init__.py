"""Demonstrates the whole path on one machine: simulated microscope, real agent, real receiver, real registrars."""
