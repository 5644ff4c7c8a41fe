"""Settings of every test."""

from hypothesis import HealthCheck, settings

# Properties are about what is true, not how fast: a busy machine fails none of them.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
