"""The connections that carry chunks: one contract, a socket of our own and httpx behind it."""
