"""Documents whose blocks stand in an order that can be trusted: structure, order gate, windows."""
