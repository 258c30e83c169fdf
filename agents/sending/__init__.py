"""From sealed outputs to a published exposure, whatever the link does."""
