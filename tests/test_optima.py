"""Whatever the namespace offers as an optimum: its loss is that of what it returns, and no more
than that of predicting the mean; and one p has one answer."""

import dataclasses
import inspect

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.decoder.optimum import KINDS

from .laws.domain import AMPLITUDES

# What an optimum may have to be told beside p.
CHOICES = {
    "ratio": (0.1, 0.25, 0.5, 0.75),
    "name": ("Gewirtz", "McLaughlin", "Games"),
    "kind": KINDS,
}
# They take long for densities.
SEARCHES = ("best_known", "graph_optimum", "uneven_pairs")
# They see which features are on: no decoder of a reading.
SUPPORT = ("oracle", "selection")


def functions():
    """All that take p and, at most, what is in `CHOICES`: by name, with the choices needed."""
    found = {}
    for name in rt.__all__:
        function = getattr(rt, name)
        if not inspect.isfunction(function) or "p" not in inspect.signature(function).parameters:
            continue
        needed = {
            key
            for key, x in inspect.signature(function).parameters.items()
            if key != "p" and (x.default is x.empty or (name == "optimum" and key == "ratio"))
        }
        if needed <= set(CHOICES):
            found[name] = function, needed
    return found


def returned(function):
    return getattr(rt, str(inspect.signature(function).return_annotation), None)


FUNCTIONS = functions()
OPTIMA = {
    name: both
    for name, both in FUNCTIONS.items()
    if "loss" in getattr(returned(both[0]), "__dataclass_fields__", ())
}


def arguments(needed, some=False):
    """All combinations of the choices, or some of them."""
    calls = [{}]
    for key in sorted(needed):
        values = {"ratio": (0.25, 0.75), "name": ("McLaughlin",)}.get(key) if some else None
        calls = [call | {key: value} for call in calls for value in values or CHOICES[key]]
    return calls


def cases(laws, ps, names=tuple(OPTIMA)):
    return [
        pytest.param(name, law, p, id=f"{name}-{law!r}-{p:g}")
        for name in names
        for law in laws
        for p in ps
    ]


QUICK = [name for name in OPTIMA if name not in SEARCHES]
FAST = cases(AMPLITUDES, (0.5,), QUICK) + cases(AMPLITUDES[:3], (1e-4, 0.97), QUICK)
FAST += cases([rt.Constant(0.7)], (0.5,), ("uneven_pairs",))
FAST += cases([rt.Uniform()], (0.5,), SEARCHES)
SLOW = cases(AMPLITUDES, (1e-140, 1e-9, 1e-3, 0.045, 0.2, 0.5, 0.8, 0.95, 1.0))


def test_discovery():
    assert set(OPTIMA) >= {*SEARCHES, "optimum", "antipodal_optimum", "optimum_decoder"}
    assert {returned(OPTIMA[name][0]) for name in OPTIMA} == set(LOSSES)


def check_bounds(name, law, p, some=False):
    function, needed = OPTIMA[name]
    variance = float(rt.SparseSource(p, law).variance)
    for call in arguments(needed, some):
        found = function(p=p, **call, amplitude=law)
        assert found.loss >= -1e-15 * variance, call  # a difference where jumps lose nothing
        if call.get("kind") == "topk":  # keeps as many as it is told, be that worse than none
            continue
        assert found.loss <= variance * (1 + 1e-9) + 1e-30 * law.mean**2, call
        ratio = getattr(found, "ratio", 0.5)  # of uneven pairs
        if call.get("kind") != "selection":  # linear where features are on, nothing elsewhere
            linear = float(rt.linear_loss(p, ratio, amplitude=law))
            assert found.loss <= linear * (1 + 1e-9) + 1e-30 * law.mean**2, call


@pytest.mark.parametrize(("name", "law", "p"), FAST)
def test_no_more_than_the_mean_and_the_linear_model_lose(name, law, p):
    check_bounds(name, law, p, some=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "law", "p"), SLOW)
def test_no_more_than_the_mean_and_the_linear_model_lose_anywhere(name, law, p):
    check_bounds(name, law, p)


def of_optimum(found, call, p, law):
    return rt.reduced_loss(found.a, found.b, found.sigma, p, amplitude=law)


def of_pairs(found, call, p, law):
    b = found.b
    source = rt.SparseSource(p, law)
    if found.sigma > 0:  # the same decoder in the channel of `decoder_loss`
        channel = rt.AntipodalChannel(float(found.sigma))
        other = rt.decoder_loss(rt.ReLU(float(found.a), float(b)), channel, source)
        assert found.paired * other == pytest.approx(float(found.loss), rel=1e-8)
    return found.paired * rt.antipodal_loss(found.a, b, found.sigma, p, amplitude=law)


def of_uneven(found, call, p, law):
    return rt.exact_loss(found.model(), rt.Identical(2, p, law), rtol=1e-10).mean


def of_graph(found, call, p, law):
    model = rt.graph_code(call["name"]).model(found)
    return rt.exact_loss(model, rt.Identical(model.n_sparse, p, law), rows=[0]).mean


def of_decoder(found, call, p, law):
    kind = call["kind"]
    if kind in SUPPORT:
        return found.loss
    channel, source = rt.GaussianChannel(float(found.sigma)), rt.SparseSource(p, law)
    a, b, threshold = (float(x) for x in (found.a, found.b, found.threshold))
    decoder = {
        "linear": lambda: rt.Linear(a, b),
        "relu": lambda: rt.ReLU(a, b),
        "bayes": lambda: rt.Bayes(channel, source),
        "gated": lambda: rt.Gated(a, b, threshold),
    }.get(kind, lambda: rt.JumpReLU(a, b, threshold))()
    return rt.decoder_loss(decoder, channel, source)


def of_best(found, call, p, law):
    """Where it is one family that has a and b, with features dropped beside it."""
    family, fraction = str(found.family), float(found.fraction)
    if family not in ("rug", "antipodal"):
        return found.loss
    ratio = min(call["ratio"] / fraction, 1.0)
    if family == "rug":
        sigma = rt.welch_sigma(p, ratio, amplitude=law)
        loss = rt.reduced_loss(found.a, found.b, sigma, p, amplitude=law)
    else:
        sigma = rt.antipodal_sigma(p, min(ratio, 0.5), amplitude=law)
        loss = rt.antipodal_loss(found.a, found.b, sigma, p, amplitude=law)
    return fraction * loss + (1 - fraction) * rt.SparseSource(p, law).variance


LOSSES = {
    rt.Optimum: of_optimum,
    rt.AntipodalOptimum: of_pairs,
    rt.UnevenPairs: of_uneven,
    rt.GraphOptimum: of_graph,
    rt.DecoderOptimum: of_decoder,
    rt.BestKnown: of_best,
}


def check_loss(name, law, p, some=False):
    function, needed = OPTIMA[name]
    for call in arguments(needed, some):
        found = function(p=p, **call, amplitude=law)
        expected = float(LOSSES[type(found)](found, call, p, law))
        assert found.loss == pytest.approx(expected, rel=1e-7, abs=1e-30), call


@pytest.mark.parametrize(
    ("name", "law", "p"),
    cases([rt.Uniform(), rt.Constant(0.7)], (0.1, 0.8), ["optimum", "antipodal_optimum"])
    + cases([rt.Uniform()], (0.8,), ["optimum_decoder", "uneven_pairs", "best_known"]),
)
def test_loss_is_that_of_the_decoder_in_its_channel(name, law, p):
    check_loss(name, law, p, some=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "law", "p"), cases(AMPLITUDES, (0.01, 0.1, 0.5, 0.9)))
def test_loss_is_that_of_the_decoder_in_its_channel_for_all_laws(name, law, p):
    check_loss(name, law, p)


@pytest.mark.parametrize("call", [rt.antipodal_optimum, rt.optimum], ids=["pairs", "gaussian"])
def test_bias_of_a_rug(call):
    """The b of an optimum, turned into a bias by the rug it is for, loses what it says."""
    p, n = 0.1, 4096
    make = rt.antipodal_rug if call is rt.antipodal_optimum else rt.hadamard_rug
    rug, best = make(n, n // 4, seed=3), call(p, 0.25)
    b = rug.bias(best.b, best.a, p)
    measured = rt.simulate(rug, best.a, b, rt.SparseSource(p), 200, seed=4)
    assert abs(measured.loss - best.loss) < 4 * measured.standard_error < 0.05 * best.loss


def values(result):
    if dataclasses.is_dataclass(result):
        return {x.name: getattr(result, x.name) for x in dataclasses.fields(result)}
    return {"": result}


def check_alone(name, law, ps):
    """Together, alone, again and in another order: the same to the last bit."""
    function, needed = FUNCTIONS[name]
    calls = [{}] if not needed else [{k: CHOICES.get(k, (5,))[0] for k in needed}]
    if name == "sparse_law":
        calls = [{"kind": "relu", "ratio": 0.3}]
    keywords = {"amplitude": law} if "amplitude" in inspect.signature(function).parameters else {}
    for call in calls:
        together = values(function(p=ps, **call, **keywords))
        turned = values(function(p=ps[::-1], **call, **keywords))
        for k, p in enumerate(ps):
            alone = values(function(p=p, **call, **keywords))
            for field, value in alone.items():
                if np.shape(value)[-1:] != () or np.shape(together[field])[-1:] != ps.shape:
                    continue
                assert np.array_equal(together[field][..., k], value, equal_nan=_real(value))
                assert np.array_equal(turned[field][..., -1 - k], value, equal_nan=_real(value))


def _real(value):
    return np.asarray(value).dtype.kind == "f"


# They ask for the critical ratio.
DERIVED = ("mixture_loss", "represented_fraction")
# Grids of their own.
ELEMENTWISE = [
    name
    for name, (function, _) in FUNCTIONS.items()
    if name not in ("decoder_table", "loss_curves")
    and inspect.signature(function).parameters["p"].annotation != "float"
]
# The rest of the fast suite asks for these as well, and what is remembered is quick.
PS = np.array([0.3, 0.9])


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name not in DERIVED])
def test_one_p_has_one_answer(name):
    check_alone(name, rt.Uniform() if name == "best_known" else rt.Constant(0.7), PS)


@pytest.mark.slow
@pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_one_p_has_one_answer_for_all_laws(name, law):
    check_alone(name, law, np.array([1e-9, 1e-3, 0.07, 0.3, 0.55, 0.9, 0.99]))
