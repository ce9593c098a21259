"""`countermand doctor`: what may keep this installation from working."""
