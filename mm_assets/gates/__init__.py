"""The statistics behind the gates, the ledger of holds and the guard."""
