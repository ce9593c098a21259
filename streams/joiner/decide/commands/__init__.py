"""One file per command of a command batch, and one per kind of request: what it decides."""
