"""`make eval`: trains on real shops, grades what is served, and prints it beside the peers."""
