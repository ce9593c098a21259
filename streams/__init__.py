"""Countermand at work: what happens to the records that `topology` names."""
