"""What concerns HTTP alone: problems, OpenAPI, bounds on bodies and slow clients."""
