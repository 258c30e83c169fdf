"""The contract of all that is sent: routes, headers, records, receipts, errors, digests, names."""
