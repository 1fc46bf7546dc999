"""A bench of load generators: runs them against one server and holds what they report against what the server did."""
