"""The contract of what travels: routes, headers, records, receipts, errors, digests, names."""
