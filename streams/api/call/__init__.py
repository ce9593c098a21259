"""What every call goes through: who calls, what may come in, and the records of what it writes."""
