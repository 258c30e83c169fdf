"""The work of the agent: one step for one exposure at a time."""
