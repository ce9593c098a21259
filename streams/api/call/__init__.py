"""What happens around every call: who calls, what may come in, and the books of what is written."""
