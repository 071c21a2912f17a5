"""Complex numbers of modulus one, against mpmath."""

import mpmath as mp
import numpy as np

from rugtheory.numerics.circle import on_circle


def test_at_all_angles():
    random = np.random.default_rng(0)
    near = np.pi / 2 * np.arange(-8, 9)
    angle = np.concatenate(
        [
            random.uniform(-7, 7, 300),
            random.normal(size=300) * 10.0 ** random.uniform(-12, 9, 300),
            *(near + x for x in (-1e-9, 0.0, 1e-9)),
        ]
    )
    with mp.workdps(40):
        truth = [mp.expj(mp.mpf(float(x))) for x in angle]
        wrong = [abs(mp.mpc(complex(z)) - t) for z, t in zip(on_circle(angle), truth, strict=True)]
    assert max(wrong) < 4e-16
