"""The domain over which the laws hold, and the amplitude laws they are tried with."""

from hypothesis import settings
from hypothesis import strategies as st

import rugtheory as rt
from rugtheory.source.laws import LAWS

P = st.floats(-12, 0).map(lambda x: 10**x)
RATIO = st.one_of(
    st.floats(-9, 0).map(lambda x: min(10**x, 1 - 1e-9)),
    st.floats(-9, -0.3).map(lambda x: 1 - 10**x),
)
A, B, SIGMA = st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 20)
SEEDS = st.integers(0, 10**6)
SCALE = st.floats(-3, 3).map(lambda x: 10**x)

AMPLITUDES = [
    rt.Uniform(),
    rt.Uniform(0.5, 1.5),
    rt.Constant(0.7),
    rt.Exponential(0.5),
    rt.HalfNormal(1.2),
    rt.Beta(2.0, 3.0),
    rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0]),
]
# Every law of the table: a new one is tried with its default parameters.
AMPLITUDES += [law() for law in LAWS.values() if law not in set(map(type, AMPLITUDES))]
AMPLITUDE = st.sampled_from(AMPLITUDES)
# The same law in units c times as small.
SCALED = [
    lambda c: rt.Uniform(0, c),
    lambda c: rt.Uniform(0.5 * c, 1.5 * c),
    lambda c: rt.Constant(0.7 * c),
    lambda c: rt.Exponential(0.5 * c),
    lambda c: rt.HalfNormal(1.2 * c),
    lambda c: rt.FromQuadrature([0.1 * c, 0.5 * c, 2.0 * c], [1.0, 2.0, 1.0]),
]

# Of either sign.
SIGNED = [
    rt.Uniform(-1, 1),
    rt.Uniform(-0.4, 1.1),
    rt.Uniform(-2, 0.3),
    rt.Constant(-1.0),
    rt.FromQuadrature([-1.0, 1.0], [1.0, 1.0]),
    rt.FromQuadrature([-1.3, -0.2, 0.7, 2.0], [4.0, 3.0, 2.0, 0.1]),
]

few, some = settings(max_examples=8), settings(max_examples=25)
