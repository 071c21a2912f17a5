"""Settings shared by all tests."""

from hypothesis import settings

# Timings vary with the machine; what is asserted must not.
settings.register_profile("rugtheory", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("rugtheory")
