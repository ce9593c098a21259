"""A release takes over from the one before on a real broker: its topics, its disk, its work."""
