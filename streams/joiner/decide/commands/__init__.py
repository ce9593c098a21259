"""What is decided on each command: a file per command, or per kind of request."""
