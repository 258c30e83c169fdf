"""Processes that align movies for the agent, and the jobs that go to them."""
