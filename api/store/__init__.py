"""Files on the disk: part files, reservations, the durable commit."""
