"""Mixing by ablation: small models trained on designed mixtures, and the recipe their losses call for."""
