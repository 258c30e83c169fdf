"""Request bodies: from the socket or ASGI through digests onto the disk, in bounded memory."""
