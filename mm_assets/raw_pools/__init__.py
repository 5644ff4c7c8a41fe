"""Deliveries as they land: the batch contract and one reader per form."""
