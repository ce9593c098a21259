"""`countermand doctor`: checks what may keep this installation from working."""
