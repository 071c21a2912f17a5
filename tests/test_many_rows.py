"""Losses of many outputs at once: errors, gradients, and the tables they come from."""

from itertools import count, product

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.blocks import Blocks, Rung
from rugtheory.analysis.exact import output_loss
from rugtheory.analysis.gradient import Gradient
from rugtheory.channel.many_rows import HEIGHTS, Together
from rugtheory.channel.outputs import Outputs
from rugtheory.channel.row_laws import RowLaws
from rugtheory.channel.weight_bins import GROUP, ORDER, Axis, OddsRange
from rugtheory.channel.weight_groups import Sums
from rugtheory.channel.weight_table import MomentTable, WeightTable
from rugtheory.source.groups import Group
from rugtheory.source.laws import LAWS

from .oracle.enumeration import uniform_loss, uniform_loss_of_sets
from .random_features import group
from .test_hostile import AMPLITUDES

DENSE = [kind(**AMPLITUDES[kind]) for kind in LAWS.values()]
DENSE = [law for law in [*DENSE, rt.Uniform(-1, 1), rt.Uniform()] if law.atoms() is None]
# Transforms of these take long.
LONG = (rt.Beta, rt.HalfNormal)
SOME_SLOW = [
    pytest.param(law, marks=[pytest.mark.slow] * isinstance(law, LONG), id=repr(law))
    for law in DENSE
]


# Groups of four features, at least one of each kind of groups there is.
DEPENDENT = {
    "together": lambda p, law: rt.Together(p, 4, law),
    "exclusive": lambda p, law: rt.Exclusive([min(p, 0.25) * x for x in (1, 0.5, 1, 0.2)], law),
    "always": lambda p, law: rt.Exclusive([1 - 3 * p / 4, *[p / 4] * 3], law),
    "parent": lambda p, law: rt.Parent(p, [rt.Together(0.5, 3, law)], rt.Uniform()),
    "children": lambda p, law: rt.Parent(
        min(2 * p, 1.0), [rt.Parent(0.4, [rt.Exclusive([0.3, 0.7], law)])], law
    ),
}


def dependent(kind, n, law, p):
    """A third of the features independent of all others, the rest in groups of one kind."""
    alone = [rt.SparseSource(p, law)] * (n // 3)
    each = (n - len(alone)) // 4
    alone += [rt.SparseSource(p, law)] * (n - len(alone) - 4 * each)
    return rt.Groups([*[DEPENDENT[kind](p, law)] * each, *alone])


def models(kind, n, d, law, p, generator):
    """A model and features that are hard in one way each."""
    w = generator.normal(size=(d, n)) / np.sqrt(d)
    other = 1.2 * w.T + 0.1 * generator.normal(size=(n, d))
    b, noise = law.rms * (0.1 * generator.normal(size=n) - 0.15), 0.0
    features = rt.Identical(n, p, law)
    if kind == "unequal":
        laws = [law if k % 2 else rt.Uniform() for k in range(n)]
        features = rt.Independent(p * np.geomspace(1, 0.1, n), laws)
    elif kind in DEPENDENT:
        features = dependent(kind, n, law, p)
    elif kind == "latent":
        features = rt.Latent(np.stack([np.full(n, p), np.full(n, p / 7)]), [0.3, 0.7], law)
    elif kind == "dead":
        other[::3], b[::3] = 1e-3 * other[::3], 0.01
    elif kind == "closed":
        b -= 4 * law.rms
    elif kind == "noise":
        noise = 0.05
    elif kind == "scales":
        other *= 10.0 ** generator.uniform(-6, 6, (n, 1))
    elif kind == "precedence":
        w = np.stack([np.cos(np.arange(n) * np.pi / 40), np.sin(np.arange(n) * np.pi / 40)])
        other = w.T * 10.0 ** generator.uniform(0, 6, (n, 1))
    elif kind == "pairs":
        w = np.kron(np.eye(n // 2), [[1.0, -1.0]])
        other = 1.1 * w.T
    elif kind == "uneven":
        w = np.kron(np.eye(n // 2), [[1.0, -0.6]]) + 0.02 * generator.normal(size=(n // 2, n))
        other, b = 1.05 * w.T, 0.1 * b
    elif kind == "random":
        other = w.T
        b[:] = 0.0
    elif kind == "rug":
        w = rt.hadamard_rug(32, d, seed=generator).w_in[:, :n] / np.sqrt(d)
        other = 1.2 * w.T
    return rt.Model(w, other, b, hidden_noise=noise), features


KINDS = (
    "trained", "unequal", "latent", "dead", "closed", "noise", "scales", "precedence", "pairs",
    "uneven", "random", "rug", *DEPENDENT,
)  # fmt: skip


# Outputs of so many that tables pay for features of every kind.
MANY = 4096


def ratios(kind, law, p, seed, rows, highest=np.inf, size=MANY):
    """Errors over those that are stated, of some rows on all contours that serve them."""
    generator, n = np.random.default_rng(seed), 32
    model, features = models(kind, n, 8, law, p, generator)
    blocks = Blocks(features, 1e-6, size, again=kind not in DEPENDENT)
    some = generator.choice(n, rows, replace=False)
    w = (model.w_out @ model.w_in)[some]
    truth = [
        output_loss(model, i, row[i], blocks.laws(i, row, float(noise)), 1e-11)
        for i, row, noise in zip(some.tolist(), w, model.output_noise[some], strict=True)
    ]
    value, error = np.transpose(truth)
    found = []
    for rung in blocks.rungs:
        if rung.height <= highest:
            losses = blocks.at(rung, model, some, w, False)
            gap = np.abs(losses.value - value) - error
            found.append(gap / (losses.error + 1e-14 * value))
    return np.array(found)


def worst(*case):
    """The largest of them; not a number where no contour serves a row."""
    return np.nanmax(ratios(*case))


def at_each_height(law, p, model, rows, rtol, highest=800):
    """Losses of some rows from tables of each height alone, and by themselves within `rtol`."""
    laws, w = RowLaws(rt.Identical(model.n_sparse, p, law)), (model.w_out @ model.w_in)[rows]
    truth = [
        output_loss(model, int(i), float(row[i]), laws(int(i), row, 0.0), rtol)
        for i, row in zip(rows, w, strict=True)
    ]
    own = model.b[rows], np.zeros(rows.size), np.full(rows.size, p)
    outputs = Outputs(rows, w, *own, (law,), np.zeros(rows.size, np.int64))
    kinds = laws.scenarios[0].kinds
    heights = [height for height in HEIGHTS if height <= highest]
    return [Together(kinds, height, 1e-6)(outputs) for height in heights], *np.transpose(truth)


class TestErrors:
    """Stated errors are above the true ones; the truth takes one row at a time."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_kinds(self, kind):
        assert worst(kind, rt.Uniform(), 0.05, 1, 4, 400) <= 1

    @pytest.mark.parametrize("law", SOME_SLOW)
    def test_laws(self, law):
        assert worst("trained", law, 0.02, 2, 3, 400) <= 1

    @pytest.mark.parametrize("law", SOME_SLOW)
    @pytest.mark.parametrize("p", [1e-5, 0.45])
    def test_term_by_term(self, law, p):
        """Unlike features of few outputs, from tables of transforms."""
        found = ratios("unequal", law, p, 3, 3, 400, 32)
        assert len(found) == 5
        assert np.nanmax(found) <= 1

    @pytest.mark.parametrize(
        "law, p, highest",
        [
            (rt.Uniform(0.5, 1.0), 1e-8, 800),
            (rt.Uniform(0.5, 1.0), 1e-3, 800),
            (rt.Uniform(), 1e-8, 800),
            (rt.Uniform(), 1e-3, np.inf),
        ],
        ids=repr,
    )
    def test_each_height_alone(self, law, p, highest):
        """Best decoders of random weights at small p, where few terms are on and each has a kink.

        Sums cut off at several lengths within an octave may agree there and be wrong.
        """
        n, d = 64, 16
        w_in = np.random.default_rng(0).normal(size=(d, n)) / np.sqrt(d)
        best = rt.optimum(p, d / n, amplitude=law)
        model = rt.Model(w_in, float(best.a) * w_in.T, float(best.b))
        losses, value, error = at_each_height(law, p, model, np.arange(7, 10), 1e-7, highest)
        for found in losses:
            served = np.isfinite(found.error)
            assert np.all((np.abs(found.value - value) <= found.error + error)[served])
            assert served.any()

    def test_each_height_where_transforms_cross_their_limits(self):
        """Their moduli may be small over an octave, and larger beyond: random weights, no bias."""
        law, p, n, d = rt.Beta(2, 3), 0.1, 32, 8
        model = rt.Model(np.random.default_rng(11).normal(size=(d, n)) / np.sqrt(d))
        losses, value, error = at_each_height(law, p, model, np.array([27]), 1e-11)
        for found in losses:
            assert abs(found.value - value) <= found.error + error

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("p", [1e-6, 1e-3, 0.01, 0.1, 0.3, 0.45])
    @pytest.mark.parametrize("law", DENSE, ids=repr)
    def test_many(self, kind, p, law):
        """More than 10⁴ rows, each on up to eight contours."""
        for seed in range(2):
            assert not np.any(ratios(kind, law, p, seed, 11) > 1)

    @pytest.mark.parametrize("n", [128, 1024, 8192])
    def test_a_block_of_any_number_of_features_is_served(self, n):
        """However few of all outputs make a block."""
        w = np.random.default_rng(0).normal(size=(n // 4, n)) / np.sqrt(n / 4)
        best = rt.optimum(0.045, 0.25)
        model = rt.Model(w, float(best.a) * w.T, float(best.b))
        blocks = Blocks(rt.Identical(n, 0.045), 1e-4, n)
        block = next(iter(blocks))
        rows = np.arange(block.start, block.stop)
        found = blocks(model, rows, model.w_out[rows] @ w)
        assert np.mean(found.error <= 1e-4 * found.value) > 0.9
        few = rt.exact_loss(model, rt.Identical(n, 0.045), rows=[0], rtol=1e-9)
        assert abs(found.value[0] - few.loss[0]) <= found.error[0] + few.error[0]

    def test_tables_of_transforms_forget(self):
        """What was not asked for goes when they are large."""
        nodes = 4 + 1j * np.arange(1, 400)
        table = MomentTable(rt.Uniform(), nodes, Axis(0.01), orders=(0,))
        for start in range(20):
            asked = start + np.linspace(0, 1, 100)
            table.fill(asked, 1)
            assert all(table.known(k) is not None for k in table.axis.place(asked)[0].tolist())
        size = ORDER * nodes.nbytes + nodes.size * 8
        assert sum(table.known(k) is not None for k in range(1200)) * size <= 2**24

    def test_a_row_of_every_scale_takes_one_contour(self):
        """Rows times a factor, and biases with them, have losses of the same relative accuracy."""
        model, features = models("trained", 32, 8, rt.Uniform(), 0.3, np.random.default_rng(0))
        blocks = Blocks(features, 1e-6, MANY, again=True)
        found = blocks(model, np.arange(32), model.w_out @ model.w_in)
        assert np.all(found.error <= 1e-6 * found.value)


def sets_of(group, numbers):
    """Which of the features of a group may be on together, and how likely."""
    if isinstance(group, rt.SparseSource):
        return {(next(numbers),): group.p, (): 1 - group.p}
    if isinstance(group, rt.Together):
        return {tuple(next(numbers) for _ in range(group.n)): group.p, (): 1 - group.p}
    if isinstance(group, rt.Exclusive):
        return {**{(next(numbers),): q for q in group.p}, (): 1 - sum(group.p)}
    assert isinstance(group, rt.Parent)
    own = next(numbers)
    children = [sets_of(child, numbers) for child in group.children]
    if group.exclusive:
        below = {on: q for child in children for on, q in child.items() if on}
        below[()] = 1 - sum(below.values())
    else:
        below = joint(children)
    return {**{(own, *on): group.p * q for on, q in below.items()}, (): 1 - group.p}


def joint(parts):
    """Of independent parts."""
    found = {(): 1.0}
    for part in parts:
        found = {
            (*x, *y): q * r for (x, q), (y, r) in product(found.items(), part.items()) if q * r
        }
    return found


class TestDependent:
    """Blocks of features that depend on each other"""

    def test_all_kinds_of_groups(self):
        kinds = {type(x(0.1, rt.Uniform())) for x in DEPENDENT.values()}
        assert kinds == set(Group.__subclasses__())

    @pytest.mark.parametrize("p", [1e-9, 0.1])
    @pytest.mark.parametrize("kind", DEPENDENT)
    def test_by_enumeration(self, kind, p):
        """Six features, all sets of them in closed form, in 80 digits."""
        features = rt.Groups([DEPENDENT[kind](p, rt.Uniform()), rt.Together(p / 2, 2)])
        numbers, generator, n = count(), np.random.default_rng(5), 6
        sets = joint([sets_of(group, numbers) for group in features.groups])
        w_in, w_out = generator.normal(size=(2, n)), generator.normal(size=(n, 2))
        w_out[3] = 0.0  # a row that hears nothing, and is silent
        w_in[:, 1] = 0.0  # a feature that none hears
        model = rt.Model(w_in, w_out, 0.2 * generator.normal(size=n))
        w = model.w_out @ model.w_in
        truth = [float(uniform_loss_of_sets(i, w[i], model.b[i], sets)) for i in range(n)]
        blocks, served = Blocks(features, 1e-9, MANY), 0
        for rung in blocks.rungs:
            found = blocks.at(rung, model, np.arange(n), w, False)
            some = np.isfinite(found.error)
            gap = np.abs(found.value - truth)
            assert np.all((gap <= found.error + 1e-14 * found.value)[some])
            served += np.sum(some)
        assert served >= 3 * n

    @pytest.mark.parametrize(
        "seed", [4, 7, *(pytest.param(k, marks=pytest.mark.slow) for k in range(8, 20))]
    )
    def test_random_trees(self, seed):
        """Random groups of groups, laws of amplitudes mixed, against rows by themselves."""
        rng = np.random.default_rng(seed)
        laws = rt.Uniform(), rt.Uniform(-1, 1), rt.Exponential(1.0)
        found = []
        while not found or len(rt.Groups(found)) < 12:
            one = group(rng, laws)
            p = rt.Groups([one]).on_probability
            if p.size > 1 or p[0] < 0.5:  # tables are of features that are off more often than on
                found.append(one)
        features = rt.Groups(found)
        n = len(features)
        w = rng.normal(size=(4, n)) / 2
        model = rt.Model(w, w.T + 0.1 * rng.normal(size=(n, 4)), 0.2 * rng.normal(size=n))
        rows, w = np.arange(n), model.w_out @ model.w_in
        blocks, served = Blocks(features, 1e-6, 2**15), np.zeros(n, bool)
        alone = [output_loss(model, i, w[i, i], blocks.laws(i, w[i], 0.0), 1e-9) for i in rows]
        value, error = np.transpose(alone)
        for rung in blocks.rungs:
            found = blocks.at(rung, model, rows, w, False)
            gap = np.abs(found.value - value) - error - 1e-14 * value
            assert not np.any(gap > found.error)
            served |= found.error <= 1e-3 * value
        assert served.mean() > 0.3

    def test_features_that_never_are_on(self):
        """At one value of a latent: the outputs of these hear all the same."""
        rng, n, d = np.random.default_rng(1), 96, 24
        w = rng.normal(size=(d, n)) / np.sqrt(d)
        p = np.stack([np.full(n, 0.05), np.full(n, 0.1)])
        p[1, :3] = 0.0
        model, features = rt.Model(w, 1.2 * w.T, -0.15), rt.Latent(p, [1, 1])
        found = rt.exact_loss(model, features, rtol=1e-6)
        few = rt.exact_loss(model, features, rows=[0, 1, 50], rtol=1e-9)
        gap = np.abs(found.loss[few.rows] - few.loss)
        assert np.all(gap <= found.error[few.rows] + few.error)

    def test_losses_of_all_outputs(self):
        """What `exact_loss` takes together is what it takes one by one, with noise."""
        rng, n, d = np.random.default_rng(0), 48, 12
        w = rng.normal(size=(d, n)) / np.sqrt(d)
        model = rt.Model(w, 1.2 * w.T, -0.15, hidden_noise=0.02)
        features = rt.Groups(
            [x(0.05, rt.Uniform()) for x in DEPENDENT.values()] * 2 + [rt.SparseSource(0.05)] * 8
        )
        found = rt.exact_loss(model, features, rtol=1e-6)
        few = rt.exact_loss(model, features, rows=[0, 11, 30], rtol=1e-9)
        gap = np.abs(found.loss[few.rows] - few.loss)
        assert np.all(gap <= found.error[few.rows] + few.error)
        assert np.all(found.error <= 1e-6 * found.loss)


class TestGradient:
    @pytest.mark.parametrize(
        "law",
        [rt.Uniform(), pytest.param(rt.Exponential(1.0), marks=pytest.mark.slow)],
        ids=repr,
    )
    def test_unlike_features_by_differences(self, law):
        """Term by term and by tables, against differences of rows by themselves."""
        generator, n, d = np.random.default_rng(3), 12, 3
        features = rt.Independent(0.4 / np.arange(1, n + 1) ** 1.5, law, rt.geometric(n, 0.8))
        model = models("trained", n, d, law, 0.1, generator)[0]
        ways = [generator.normal(size=x.shape) for x in (model.w_in, model.w_out, model.b)]

        def along(step):
            parts = model.w_in, model.w_out, model.b
            moved = (x + step * way for x, way in zip(parts, ways, strict=True))
            return rt.exact_loss(rt.Model(*moved), features, rtol=1e-12).mean

        h = 1e-3
        far, near = ((along(k * h) - along(-k * h)) / (2 * k * h) for k in (2, 1))
        truth = (4 * near - far) / 3
        for rows in (n, 2**16):
            blocks = Blocks(features, 1e-6, rows, again=True)
            assert blocks.rungs[0].listed == (rows == n)
            gradient = Gradient(features, 1e-6)
            gradient.blocks = blocks
            blocks.rows = n
            found = gradient(model)
            mine = sum(
                np.sum(x * way)
                for x, way in zip((found.w_in, found.w_out, found.b), ways, strict=True)
            )
            assert mine == pytest.approx(truth, rel=1e-6)

    def test_what_outputs_need_is_remembered_and_missed_by_none(self):
        """As many calls as there are heights: those that no contour serves keep what they have."""
        generator, n = np.random.default_rng(0), 6
        features = rt.Independent(0.3 / np.arange(1, n + 1) ** 1.5)
        model = models("uneven", n, n // 2, rt.Uniform(), 0.01, generator)[0]
        gradient = Gradient(features, 1e-10)
        losses = [gradient(model).losses for _ in range(len(gradient.blocks.rungs) + 1)]
        truth = rt.exact_loss(model, features, rtol=1e-11).loss
        assert np.all(np.abs(np.array(losses) / truth - 1) < 1e-6)

    @pytest.mark.slow
    def test_what_is_remembered_makes_no_loss_worse(self):
        """Contours that serve none of these pairs well enough are the best there are."""
        generator, n, p = np.random.default_rng(0), 16, 0.005
        pairs, features = rt.best_model(n, n // 2, p).model, rt.Identical(n, p)
        moved = [w + 1e-4 * generator.normal(size=w.shape) for w in (pairs.w_in, pairs.w_out)]
        model = rt.Model(*moved, pairs.b)
        gradient = Gradient(features, 1e-7)
        first, _, last = [gradient(model) for _ in range(3)]
        truth = rt.exact_loss(model, features, rtol=1e-9)
        assert np.all(np.abs(last.losses - truth.loss) <= truth.loss * 1e-6)
        assert first.error > 1e-7 * first.loss and last.error <= 2 * first.error

    @pytest.mark.parametrize("noise", [0.0, 0.02])
    def test_own_feature_on_and_off_taken_apart(self, noise):
        """The same as on contours that serve both, four times as high and term by term."""
        generator, p, n = np.random.default_rng(0), 0.01, 32
        model, features = models("uneven", n, n // 2, rt.Uniform(), p, generator)
        model = rt.Model(model.w_in, model.w_out, model.b, hidden_noise=noise)
        rows, w = np.arange(12), (model.w_out @ model.w_in)[:12]
        blocks = Blocks(features, 1e-4, n, again=True)
        apart, whole = (
            blocks.at(rung, model, rows, w, True)
            for rung in (Rung(400.0, apart=True), Rung(1600.0, listed=True))
        )
        some = (apart.error <= 1e-3 * apart.value) & (whole.error <= 1e-3 * whole.value)
        assert some.mean() > 0.5
        assert np.all(np.abs(apart.value - whole.value)[some] <= (apart.error + whole.error)[some])
        for name in ("by_w", "by_b", *(["by_noise"] if noise else [])):
            mine, other = getattr(apart, name)[some], getattr(whole, name)[some]
            assert np.abs(mine - other).max() <= 2e-4 * np.abs(other).max(), name

    def test_by_differences_of_many_digits(self):
        """n = 4: every weight and bias, against differences of the definition in 80 digits."""
        generator, p, n = np.random.default_rng(7), 0.2, 4
        w_in, w_out = generator.normal(size=(2, n)), generator.normal(size=(n, 2))
        b = -0.3 * generator.random(n)
        found = rt.exact_gradient(rt.Model(w_in, w_out, b), rt.Identical(n, p), rtol=1e-10)

        def loss(w_in, w_out, b):
            w = w_out @ w_in
            rows = (uniform_loss(w[i, i], np.delete(w[i], i), b[i], p) for i in range(n))
            return sum(rows) / n

        with mp.workdps(60):
            exact = [np.vectorize(mp.mpf, otypes=[object])(x) for x in (w_in, w_out, b)]
            step = mp.mpf(10) ** -15
            assert abs(loss(*exact) - found.loss) < found.error
            for which, mine in enumerate((found.w_in, found.w_out, found.b)):
                for at in product(*(range(k) for k in mine.shape)):
                    ends = []
                    for sign in (1, -1):
                        moved = [x.copy() for x in exact]
                        moved[which][at] += sign * step
                        ends.append(loss(*moved))
                    slope = (ends[0] - ends[1]) / (2 * step)
                    assert abs(slope - mine[at]) < 1e-7

    # Not of random weights, whose loss has a kink at their biases, 0.
    @pytest.mark.parametrize(
        "kind",
        [
            pytest.param(k, marks=[pytest.mark.slow] * (k == "unequal"))
            for k in KINDS
            if k != "random" and k not in DEPENDENT
        ],
    )
    def test_by_differences_of_losses(self, kind):
        model, features = models(kind, 16, 4, rt.Uniform(), 0.1, np.random.default_rng(3))
        gradient = Gradient(features, 1e-5)
        found = gradient(model)
        generator, step = np.random.default_rng(4), 1e-3
        base = (model.w_in, model.w_out, model.b)
        for which, mine in enumerate((found.w_in, found.w_out, found.b)):
            way = generator.normal(size=mine.shape) * np.abs(base[which])
            way /= np.linalg.norm(way / np.maximum(np.abs(base[which]), 1e-9))

            def loss(t, which=which, way=way):
                moved = [x + t * way if k == which else x for k, x in enumerate(base)]
                return gradient(rt.Model(*moved, hidden_noise=model.hidden_noise))

            # Simpson's rule of the slope between two ends is the difference of the losses.
            ends = [loss(t) for t in (-step, step)]
            slope = [np.sum(way * (x.w_in, x.w_out, x.b)[which]) for x in (ends[0], found, ends[1])]
            mean = (slope[0] + 4 * slope[1] + slope[2]) / 6
            change = (ends[1].loss - ends[0].loss) / (2 * step)
            assert abs(change - mean) <= 1e-5 * abs(mean) + 5e-9 * found.loss / step

    def test_by_samples(self):
        """PyTorch's gradient of the mean over samples, within 4 standard errors."""
        torch = pytest.importorskip("torch")
        generator, n, d, batches = np.random.default_rng(5), 8, 3, 40
        features = rt.Independent(np.linspace(0.03, 0.2, n), importance=rt.geometric(n, 0.8))
        w_in, w_out = 0.7 * generator.normal(size=(2, d, n))
        w_out, b = w_out.T, -0.2 * generator.random(n)
        found = rt.exact_gradient(rt.Model(w_in, w_out, b), features)
        torch.manual_seed(0)
        draws = torch.Generator().manual_seed(0)
        slopes = []
        for _ in range(batches):
            given = [torch.tensor(x, requires_grad=True) for x in (w_in, w_out, b)]
            x = features.sample_torch(25_000, draws, dtype=torch.float64)
            y = torch.relu(x @ given[0].T @ given[1].T + given[2])
            loss = (torch.tensor(features.importance.copy()) * (x - y) ** 2).mean()
            loss.backward()
            slopes.append(np.concatenate([g.grad.numpy().ravel() for g in given]))
        mine = np.concatenate([found.w_in.ravel(), found.w_out.ravel(), found.b])
        error = np.std(slopes, axis=0, ddof=1) / np.sqrt(batches)
        gap = (np.mean(slopes, axis=0) - mine) / error
        assert np.abs(gap).max() < 4.5
        assert abs(np.mean(gap**2) - 1) < 0.5

    def test_weights_of_zero_have_one_too(self):
        """Of weights that are zero, by the mean of what they would add."""
        features = rt.Independent([0.2, 0.1, 0.05])
        model = rt.Model(np.eye(3)[:2], np.eye(3)[:, :2], [0.1, -0.1, 0.2])
        found = rt.exact_gradient(model, features)
        near = rt.Model(model.w_in + 1e-7 * np.ones((2, 3)), model.w_out, model.b)
        moved = rt.exact_gradient(near, features)
        assert np.abs(found.w_in - moved.w_in).max() < 1e-5

    @pytest.mark.parametrize("p", [0.2, 0.4, 0.5, 0.7])
    @pytest.mark.parametrize("law", [rt.Uniform(), rt.Exponential(1.0)], ids=repr)
    def test_loud_and_frequent_terms(self, p, law):
        """Large positive weights, where logarithms have branch points, against differences."""
        generator, n = np.random.default_rng(11), 4
        w_in, w_out = generator.normal(size=(2, n)), 2 * generator.normal(size=(n, 2))
        model, features = rt.Model(w_in, w_out, -0.4), rt.Identical(n, p, law)
        found = rt.exact_gradient(model, features, rtol=1e-7)
        truth = rt.exact_loss(model, features, rtol=1e-10)
        assert abs(found.loss - truth.mean) <= found.error + truth.mean_error
        assert found.error <= 1e-6 * found.loss
        step, way = 1e-4, generator.normal(size=(n, 2))
        ends = [
            rt.exact_loss(rt.Model(w_in, w_out + t * way, -0.4), features, rtol=1e-11).mean
            for t in (-2 * step, -step, step, 2 * step)
        ]
        slope = (8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * step)
        assert abs(np.sum(way * found.w_out) - slope) < 1e-6 * np.abs(slope) + 1e-8

    def test_what_has_none(self):
        model = rt.Model([[1.0, -1.0]])
        for features in (
            rt.Identical(2, 1.0),
            rt.Identical(2, 0.1, rt.Constant(1.0)),
            rt.Groups([rt.Together(0.1, 2, rt.Constant(1.0))]),
        ):
            with pytest.raises(ValueError, match="features must be of laws with a density"):
                rt.exact_gradient(model, features)
        with pytest.raises(ValueError, match="activation"):
            rt.exact_gradient(rt.Model([[1.0, -1.0]], activation="identity"), rt.Identical(2, 0.1))


class TestTable:
    def test_places(self):
        axis, generator = Axis(0.01), np.random.default_rng(0)
        w = np.concatenate([generator.normal(size=50), -(10.0 ** generator.uniform(0, 9, 50))])
        k, x = axis.place(w)
        assert np.all(np.abs(x) <= 1)
        assert np.allclose(axis.weights(k.astype(float), x), w, rtol=1e-9)
        step = 1e-6
        slope = axis.weights(k.astype(float), x + step) - axis.weights(k.astype(float), x - step)
        assert np.allclose(slope / (2 * step), axis.stretch(k, w), rtol=1e-5)

    @pytest.mark.parametrize("odds", [[0.01], [0.001, 0.2]])
    def test_logarithms(self, odds):
        """log(1 + o E e^{swu})/o at random weights and odds, within the error of the bin."""
        nodes, law, half = 3 + 1j * np.linspace(0.1, 80, 40), rt.Uniform(), 0.01
        within = OddsRange.of(np.array(odds))
        table = WeightTable(law, within, nodes, Axis(half))
        generator = np.random.default_rng(1)
        for w in np.append(generator.uniform(-1, 0.3, 20), [-20.0, -1e5]):
            o = generator.uniform(odds[0], odds[-1])
            k, x = Axis(half).place(np.array([w]))
            group = k // GROUP * GROUP + np.arange(GROUP)
            powers = within.products(np.array([o]), x)[0]
            sums = np.zeros((1, powers.size, GROUP))
            sums[0, :, int(k[0] - group[0])] = powers
            (both,), (error,) = table.exponent(group, Sums(sums), np.arange(1))
            truth = [mp.log(1 + o * mp.mpmathify((mp.exp(s * w) - 1) / (s * w))) / o for s in nodes]
            gap = both[:40] + 1j * both[40:] - np.array([complex(x) for x in truth])
            assert np.all(np.abs(gap) <= error + 1e-12)
            assert error.max() < 1e-4
            # The adjoint of the same sum, by a product of both with any other vector.
            other = generator.normal(size=(1, both.size))
            back = table.slopes(group, other)
            assert np.sum(back * sums) == pytest.approx(float(other[0] @ both), rel=1e-9)


@pytest.mark.parametrize("diagonal", [0.0, 1e-12, -1e-9, 1e-7, 1e-3])
def test_slopes_of_outputs_that_hear_noise_and_hardly_themselves(diagonal):
    """W_ii is what is left of two numbers; central differences of losses row by row."""
    generator, features, h = np.random.default_rng(0), rt.Identical(6, 0.2), 1e-4
    w_in, w_out = generator.normal(size=(3, 6)), generator.normal(size=(6, 3))
    w_in[:, 2] = diagonal * w_out[2] / (w_out[2] @ w_out[2])
    found = rt.exact_gradient(rt.Model(w_in, w_out, -0.1, hidden_noise=0.1), features, rtol=1e-9)
    for told, moved in ((found.w_in[:, 2], w_in[:, 2]), (found.w_out[2], w_out[2])):
        slopes = []
        for k in range(3):
            before, losses = moved[k], []
            for step in (h, -h):
                moved[k] = before + step
                model = rt.Model(w_in, w_out, -0.1, hidden_noise=0.1)
                losses.append(rt.exact_loss(model, features, rtol=1e-11).mean)
            moved[k] = before
            slopes.append((losses[0] - losses[1]) / (2 * h))
        assert told == pytest.approx(np.array(slopes), rel=1e-5, abs=1e-8)
