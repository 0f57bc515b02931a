"""Everything that runs Aisle: on one machine, in containers, in a cluster."""
