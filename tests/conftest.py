"""Settings shared by all tests."""

import os

from hypothesis import Phase, settings

# Timings vary with the machine; what is asserted must not.
settings.register_profile("rugtheory", deadline=None, max_examples=60, derandomize=True)
# For code known to be wrong: that it is noticed is all there is to know.
settings.register_profile(
    "mutants", settings.get_profile("rugtheory"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("RUGTHEORY_HYPOTHESIS", "rugtheory"))
