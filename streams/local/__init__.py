"""Everything on one machine: `countermand up` and `countermand demo`."""
