"""The connections that carry chunks: one contract, our own sockets, and httpx for what goes through a proxy."""
