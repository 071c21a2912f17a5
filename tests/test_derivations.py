"""What the package states in closed form, derived by computer algebra (docs/derivations.md)."""

import sympy as sp

t, beta, a, z = sp.symbols("t beta a z", real=True)
sigma, p, r, h, m = sp.symbols("sigma p r h m", positive=True)


def pdf(x):
    return sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


def cdf(x):
    return (1 + sp.erf(x / sp.sqrt(2))) / 2


def vanishes(expression):
    return sp.simplify(sp.expand(expression.rewrite(sp.erf))) == 0


R1 = t * cdf(t / sigma) + sigma * pdf(t / sigma)
R2 = (t**2 + sigma**2) * cdf(t / sigma) + t * sigma * pdf(t / sigma)
J = (
    (t**3 + 3 * t * sigma**2) * cdf(t / sigma) + (t**2 + 2 * sigma**2) * sigma * pdf(t / sigma)
) / 3
G0 = 1 - cdf(z)
G1 = pdf(z) - z * G0
G2 = ((1 + z**2) * G0 - z * pdf(z)) / 2
G3 = ((2 + z**2) * pdf(z) - (3 * z + z**3) * G0) / 6


class TestRectifiedGaussians:
    def test_moments_are_integrals(self):
        n = sp.symbols("n", real=True)
        for power, closed in ((1, G1), (2, 2 * G2), (3, 6 * G3)):
            integral = sp.integrate((n - z) ** power * pdf(n), (n, z, sp.oo))
            assert vanishes(integral - closed)

    def test_repeated_integrals(self):
        for higher, lower in ((G1, G0), (G2, G1), (G3, G2)):
            assert vanishes(sp.diff(higher, z) + lower)
            assert sp.limit(higher, z, sp.oo) == 0

    def test_recurrence(self):
        for n, (below, here, above) in {
            1: (pdf(z), G0, G1),
            2: (G0, G1, G2),
            3: (G1, G2, G3),
        }.items():
            assert vanishes(below - z * here - n * above)

    def test_readings(self):
        assert vanishes(sp.diff(J, t) - R2)
        assert vanishes(sp.diff(R2, t) - 2 * R1)
        assert vanishes(R1 - sigma * G1.subs(z, -t / sigma))
        assert vanishes(R2 - 2 * sigma**2 * G2.subs(z, -t / sigma))

    def test_averages_over_a_uniform_amplitude(self):
        """E R2(u + β) = J(1 + β) - J(β); E u R1(u + β) = R2(1 + β)/2 - [J(1 + β) - J(β)]/2."""
        u = sp.symbols("u", real=True)
        shifted = {t: u + beta}
        antiderivative = u * R2.subs(shifted) / 2 - J.subs(shifted) / 2
        assert vanishes(sp.diff(antiderivative, u) - u * R1.subs(shifted))
        assert vanishes(sp.diff(J.subs(shifted), u) - R2.subs(shifted))


class TestOptimum:
    def test_regression(self):
        """(16): the loss is quadratic in a, least at E xh / E h², with L = E x² - (E xh)²/E h²."""
        xx, xh, hh = sp.symbols("xx xh hh", positive=True)
        loss = xx - 2 * a * xh + a**2 * hh
        (best,) = sp.solve(sp.diff(loss, a), a)
        assert sp.simplify(best - xh / hh) == 0
        assert sp.simplify(loss.subs(a, best) - (xx - xh**2 / hh)) == 0

    def test_stationarity(self):
        """d/dβ of -A²/B vanishes with Ψ = E[x; h>0] E h² - E xh E h: A' = E[x; h>0], B' = 2 E h."""
        A, B = sp.Function("A")(beta), sp.Function("B")(beta)
        psi = sp.diff(A, beta) * B - A * sp.diff(B, beta) / 2
        assert sp.simplify(sp.diff(-(A**2) / B, beta) + 2 * A / B**2 * psi) == 0
        u = sp.symbols("u", real=True)
        passed = cdf((u + beta) / sigma)
        assert vanishes(sp.diff(R1.subs(t, u + beta), beta) - passed)

    def test_linear_limit(self):
        """With σ² = v(1/r - 1): a = r, b = (p/2)(1 - r), L = v(1 - r)."""
        v = (4 * p - 3 * p**2) / 12
        noise = v * (1 / r - 1)
        slope = v / (v + noise)
        assert sp.simplify(slope - r) == 0
        assert sp.simplify(v * (1 - slope) ** 2 + slope**2 * noise - v * (1 - r)) == 0
        assert sp.simplify(p / 2 - slope * p / 2 - p / 2 * (1 - r)) == 0

    def test_error_without_cancellation(self):
        """E(u - ReLU(c + en))², c > 0: base² - 2 base e G1 + e²(2 G2 + 1 - 2 G0), base = u - c."""
        u, c, e = sp.symbols("u c e", positive=True)
        first = c * cdf(c / e) + e * pdf(c / e)
        second = (c**2 + e**2) * cdf(c / e) + c * e * pdf(c / e)
        g0, g1, g2 = (g.subs(z, c / e) for g in (G0, G1, G2))
        stated = (u - c) ** 2 - 2 * (u - c) * e * g1 + e**2 * (2 * g2 + 1 - 2 * g0)
        assert vanishes(u**2 - 2 * u * first + second - stated)


class TestBounds:
    def test_variance_of_a_feature(self):
        u = sp.symbols("u")
        square, mean = p * sp.integrate(u**2, (u, 0, 1)), p * sp.integrate(u, (u, 0, 1))
        assert sp.expand(square - mean**2 - (4 * p - 3 * p**2) / 12) == 0

    def test_cumulants_of_a_feature(self):
        s = sp.symbols("s")
        series = sp.series(sp.log(1 - p + p * (sp.exp(s) - 1) / s), s, 0, 5).removeO()
        k2, k3 = (sp.factorial(n) * sp.expand(series).coeff(s, n) for n in (2, 3))
        assert sp.simplify(k2 - (4 * p - 3 * p**2) / 12) == 0
        assert sp.simplify(k3 - (p / 4 - p**2 / 2 + p**3 / 4)) == 0

    def test_welch(self):
        """(19)-(21) for n_s = 3, n_d = 2 and any unit diagonal W = O I of rank two."""
        x = sp.symbols("x0:6", real=True)
        y = sp.symbols("y0:6", real=True)
        w_out, w_in = sp.Matrix(3, 2, x), sp.Matrix(2, 3, y)
        w = w_out * w_in
        off = sum(w[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
        diagonal = sum(w[i, i] ** 2 for i in range(3))
        assert sp.expand((w * w.T).trace() - off - diagonal) == 0  # (19)
        assert sp.expand((w_in * w_out).trace() - w.trace()) == 0  # (18): the eigenvalues' sum
        # (20), Cauchy and Schwarz for two eigenvalues: λ₁² + λ₂² - (λ₁ + λ₂)²/2 ≥ 0.
        first, second = sp.symbols("l1 l2", real=True)
        gap = first**2 + second**2 - (first + second) ** 2 / 2
        assert sp.factor(gap) == (first - second) ** 2 / 2

    def test_third_order(self):
        """W∘W∘W of a Gram matrix is the Gram matrix of the cubes v⊗v⊗v: 1ᵀ(W∘W∘W)1 = |Σ v⊗v⊗v|²."""
        v = [sp.Matrix(2, 1, sp.symbols(f"v{i}_0:2", real=True)) for i in range(3)]
        total = sum((x.T * y)[0] ** 3 for x in v for y in v)
        cube = sum((sp.kronecker_product(x, x, x) for x in v), sp.zeros(8, 1))
        assert sp.expand(total - (cube.T * cube)[0]) == 0

    def test_pairs(self):
        """Two features as v, -v at a = 1, b = 0: each loses 1/6 when both are on, else nothing."""
        u, w = sp.symbols("u w", positive=True)
        screened = sp.integrate(sp.integrate(u**2, (u, 0, w)), (w, 0, 1))
        passed = sp.integrate(sp.integrate(w**2, (u, w, 1)), (w, 0, 1))
        assert screened + passed == sp.Rational(1, 6)

    def test_uneven_pairs(self):
        """Couplings c and 1/c: mean loss least at c = 1/3, 25/27 of that at c = 1, its maximum."""
        u, w, c = sp.symbols("u w c", positive=True)

        # E min(u, cw)² for c ≤ 1
        given_w = sp.integrate(u**2, (u, 0, c * w)) + (1 - c * w) * (c * w) ** 2
        first = sp.integrate(sp.expand(given_w), (w, 0, 1))
        second = sp.expand(first / c**2)  # E min(u, w/c)² = E min(cu, w)²/c²
        assert sp.expand(first - (c**2 / 3 - c**3 / 6)) == 0
        assert sp.expand(second - (sp.Rational(1, 3) - c / 6)) == 0
        mean = (first + second) / 2
        assert set(sp.solve(sp.diff(mean, c), c)) == {sp.Rational(1, 3), 1}
        assert sp.diff(mean, c, 2).subs(c, 1) < 0 < sp.diff(mean, c, 2).subs(c, sp.Rational(1, 3))
        assert mean.subs(c, sp.Rational(1, 3)) / mean.subs(c, 1) == sp.Rational(25, 27)


class TestSparseLaw:
    """L/(pσ²) = Λ + Λ₁σ for the uniform law, with b/a = -mσ, a = 1 + eσ."""

    g = sp.Symbol("g", positive=True)  # (1 - p)/p · 2 G2(m)
    e = sp.Symbol("e", real=True)

    def on_and_off(self):
        u, n = sp.symbols("u n", real=True)
        slope = 1 + self.e * sigma
        error = u - slope * (u + sigma * n - m * sigma)
        square = sp.expand(sp.integrate(sp.expand(error**2), (u, 0, 1)))
        # n is standard normal.
        square = square.subs(n**2, 1).subs(n, 0)
        return sp.expand(square + slope**2 * sigma**2 * self.g)

    def test_leading_order(self):
        leading = self.on_and_off().coeff(sigma, 2)
        (best,) = sp.solve(sp.diff(leading, self.e), self.e)
        assert best == sp.Rational(3, 2) * m
        assert sp.expand(leading.subs(self.e, best) - (1 + m**2 / 4 + self.g)) == 0

    def test_next_order(self):
        """Below the threshold the error is w, not n - m: -4 G3(-m) after both integrals."""
        x, w = sp.symbols("x w", positive=True)  # x = m - n
        boundary = sp.integrate(w**2 - x**2, (w, 0, x))
        assert sp.expand(boundary + sp.Rational(2, 3) * x**3) == 0  # E x³ = 6 G3(-m): -4 G3(-m)
        best = sp.Rational(3, 2) * m
        smooth = self.on_and_off().coeff(sigma, 3).subs(self.e, best)
        stated = 2 * best * (m**2 + 1 + self.g) - 2 * best**2 * m / 2
        assert sp.expand(smooth - stated) == 0

    def test_stationarity(self):
        """m/4 = (1-p)/p G1(m)."""
        odds = (1 - p) / p
        constant = 1 + z**2 / 4 + odds * 2 * G2
        assert vanishes(sp.diff(constant, z) - 2 * (z / 4 - odds * G1))

    def test_tail_expansion(self):
        """(1-p)/p · 2 G2 = (m/2) G2/G1 → ½ (1 - 3/m²): with it Λ = 3/2 + m²/4 - 3/(2m²)."""
        x = sp.symbols("x", positive=True)
        # Q(z)/φ(z) = 1/z - 1/z³ + 3/z⁵ - 15/z⁷ + 105/z⁹ - …, at z = 1/x.
        mills = x - x**3 + 3 * x**5 - 15 * x**7 + 105 * x**9 - 945 * x**11
        first = 1 - mills / x
        second = ((1 + 1 / x**2) * mills - 1 / x) / 2
        ratio = sp.series(second / first / x, x, 0, 4).removeO()
        assert sp.expand(ratio - (1 - 3 * x**2)) == 0

    def test_a_jump(self):
        """Missed signals less the noise they would have: (t-n)³/3 - n²(t-n), 4tG2 - t²G1 - 4G3."""
        n, w = sp.symbols("n w", real=True)
        x = sp.symbols("x", positive=True)
        boundary = sp.integrate(w**2 - n**2, (w, 0, t - n))
        assert sp.expand(boundary - ((t - n) ** 3 / 3 - n**2 * (t - n))) == 0
        powers = sp.expand(boundary.subs(n, t - x))  # E x = G1, E x² = 2 G2, E x³ = 6 G3, all at -t
        coefficients = [powers.coeff(x, k) for k in (1, 2, 3)]
        assert coefficients == [-(t**2), 2 * t, -sp.Rational(2, 3)]
