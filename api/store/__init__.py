"""The receiver's disk and what the database says of it: uploads, part files, the durable commit."""
