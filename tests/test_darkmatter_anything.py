"""Reports on what is no file: objects, functions, reconstructions, blocks, and targets."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rugtheory import darkmatter

ROWS, D, WIDTH, K = 3000, 8, 20, 3
rng = np.random.default_rng(0)
X = (rng.exponential(size=(ROWS, 24)) * (rng.random((ROWS, 24)) < 0.15)) @ rng.normal(size=(24, D))
X = X.astype(np.float32)
W = rng.normal(size=(D, WIDTH)).astype(np.float32)
W /= np.linalg.norm(W, axis=0)
OURS = darkmatter.SAE("topk", W, np.zeros(WIDTH), W.T, X.mean(axis=0), k=K)


class Plain(torch.nn.Module):
    """As the SAEs of SAELens and dictionary_learning are."""

    def __init__(self):
        super().__init__()
        self.W_enc = torch.nn.Parameter(torch.tensor(W))
        self.b_dec = torch.nn.Parameter(torch.tensor(OURS.b_dec))

    def encode(self, x):
        pre = torch.relu((x - self.b_dec) @ self.W_enc)
        top = pre.topk(K, dim=-1)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values)

    def decode(self, codes):
        return codes @ self.W_enc.T + self.b_dec

    def forward(self, x):
        return self.decode(self.encode(x))


class Encoded:
    def __init__(self, top):
        self.top_acts, self.top_indices = top.values, top.indices


class Sparse(Plain):
    """As those of sparsify: codes are the greatest values and their places."""

    num_latents = WIDTH

    def encode(self, x):
        return Encoded(torch.relu((x - self.b_dec) @ self.W_enc).topk(K, dim=-1))

    def decode(self, acts, indices):
        codes = torch.zeros(len(acts), WIDTH).scatter(-1, indices, acts)
        return codes @ self.W_enc.T + self.b_dec


class OfNumpy:
    encode = staticmethod(lambda x: OURS.encode(x).toarray())
    decode = staticmethod(OURS.decode)


def half(x):
    return OURS.reconstruct(x)


KINDS = {
    "torch": (Plain(), True),
    "sparsify": (Sparse(), True),
    "numpy": (OfNumpy(), True),
    "sparse codes": (OURS, True),
    "function": (half, False),
    "array": (OURS.reconstruct(X), False),
    "list": (OURS.reconstruct(X).tolist(), False),
}


def report(x, saes, out, **more):
    return darkmatter.write_report(x, saes, out, **{"bootstrap": 20, **more})


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    (record,) = report(X, {"one": OURS}, tmp_path_factory.mktemp("ours"))["saes"]
    return record


def assert_same(record, expected, codes=True):
    for score in ("fvu", "fvu_nl", "r2"):
        assert record[score]["value"] == pytest.approx(expected[score]["value"], rel=1e-5)
    for part, one in expected["norm_test"].items():
        assert record["norm_test"][part]["value"] == pytest.approx(one["value"], abs=1e-4)
    for key in ("width", "l0", "dead", "density"):
        assert record[key] == (expected[key] if codes else None)


class TestDecoders:
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_scores(self, kind, expected, tmp_path):
        made, codes = KINDS[kind]
        found = report(X, {"one": made}, tmp_path)
        assert_same(found["saes"][0], expected, codes)
        darkmatter.save_tables(found, tmp_path)
        assert darkmatter.save_figures(found, tmp_path)

    def test_together(self, tmp_path):
        """Kinds without widths stand alone, and end no figure."""
        found = report(X, {k.replace(" ", "_"): v for k, (v, _) in KINDS.items()}, tmp_path)
        assert len(found["saes"]) == len(KINDS) and found["failures"] == []
        assert darkmatter.save_figures(found, tmp_path)

    @pytest.mark.parametrize("kind", ["torch", "function"])
    def test_kept_by_what_they_give(self, kind, tmp_path, monkeypatch):
        """Nothing but reconstructions is computed again, and other ones are not overlooked."""
        made = KINDS[kind][0]
        first = report(X, {"one": made}, tmp_path)["saes"]
        before = (tmp_path / "saes" / "one.npz").stat().st_mtime_ns
        assert report(X, {"one": made}, tmp_path)["saes"] == first
        assert (tmp_path / "saes" / "one.npz").stat().st_mtime_ns == before
        other = report(X, {"one": lambda x: OURS.reconstruct(x) * 0.9}, tmp_path)["saes"]
        assert other[0]["fvu"] != first[0]["fvu"]

    def test_bfloat16_module(self, expected, tmp_path):
        """Blocks come in the type of its weights."""
        (record,) = report(X, {"one": Plain().to(torch.bfloat16)}, tmp_path)["saes"]
        assert record["fvu"]["value"] == pytest.approx(expected["fvu"]["value"], rel=0.02)

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (lambda x: x[:, :3], r"reconstructions must have shape \(3000, 8\), got \(3000, 3\)"),
            (X[:7], r"one must have shape \(3000, 8\) as reconstructions, got \(7, 8\)"),
            (None, "one must be an SAE, a path, an object with encode and decode"),
            (lambda x: np.full(x.shape, np.nan), "x_hat must be finite, got nan in row 0"),
        ],
    )
    def test_bad(self, made, message, tmp_path):
        with pytest.raises((ValueError, TypeError), match=message):
            report(X, {"one": made}, tmp_path)
        assert not list(tmp_path.rglob("*unfinished*"))

    def test_more_than_encode_and_decode(self, tmp_path):
        """A skip connection is added; what is not known is refused, and not left out."""
        skip = torch.tensor(0.1 * np.random.default_rng(1).normal(size=(D, D)).astype(np.float32))

        class Skips(Sparse):
            W_skip = skip

            def forward(self, x):
                found = self.encode(x)
                out = self.decode(found.top_acts, found.top_indices) + x @ skip.T
                return SimpleNamespace(sae_out=out)

        class Scales(Plain):
            def forward(self, x):
                return 0.9 * super().forward(x)

        given = {"one": Skips(), "two": lambda x: OURS.reconstruct(x) + x @ skip.numpy().T}
        one, two = report(X, given, tmp_path / "a")["saes"]
        assert one["fvu"]["value"] == pytest.approx(two["fvu"]["value"], rel=1e-5)
        with pytest.raises(ValueError, match=r"must give decode\(encode\(x\)\) .* of Scales"):
            report(X, {"one": Scales()}, tmp_path / "b")

    @pytest.mark.parametrize(
        "settings",
        [
            {"transcode": True},
            {"metadata": SimpleNamespace(hook_name="in", hook_name_out="out")},
            None,
        ],
    )
    def test_transcoders(self, settings, tmp_path):
        class Transcoder(Plain):
            pass

        made = Transcoder() if settings is None else Plain()
        made.cfg = SimpleNamespace(**(settings or {}))
        with pytest.raises(ValueError, match="one must be an autoencoder, got a transcoder"):
            report(X, {"one": made}, tmp_path)
        assert report(X, {"one": made}, tmp_path, targets=X)["failures"] == []

    def test_no_weights_no_pursuit(self, tmp_path):
        found = report(X, {"one": half}, tmp_path, pursuit=["one"], align=["one"])
        assert [one["name"] for one in found["failures"]] == ["one, alignment", "one, pursuit"]


def test_products_of_x_are_computed_once(tmp_path, monkeypatch):
    """Whatever the number of decoders; and not at all if all are kept."""
    from rugtheory.darkmatter.report import known

    calls = []

    def counted(*given):
        calls.append(1)
        return gram(*given)

    gram = known.gram
    monkeypatch.setattr(known, "gram", counted)
    report(X, {"one": OURS, "two": half, "three": OURS}, tmp_path)
    assert len(calls) == 1
    report(X, {"one": OURS, "three": OURS}, tmp_path)
    assert len(calls) == 1


def test_components_together(tmp_path):
    """numpy.linalg.lstsq on all columns at once."""
    noise = np.random.default_rng(8).normal(size=(ROWS, 3))
    given = {"some": X[:, :3] + noise, "squares": X[:, 2:6] ** 2}
    (record,) = report(X, {"one": OURS}, tmp_path, components=given)["saes"]
    held = np.load(tmp_path / "saes" / "one.npz")["held_out"]
    error = X.astype(float) - OURS.reconstruct(X)
    both = np.column_stack([*given.values(), np.ones(ROWS)]).astype(float)
    left = error - both @ np.linalg.lstsq(both[~held], error[~held])[0]
    spread = ((error[held] - error[held].mean(axis=0)) ** 2).sum()
    r2 = 1 - (left[held] ** 2).sum() / spread
    found = {name: parts["error"] for name, parts in record["components"].items()}
    assert set(found) == {"x_hat", "some", "squares", "all together"}
    assert found["all together"]["held_out"] == pytest.approx(r2, abs=1e-5)
    assert r2 > max(found[name]["held_out"] for name in given)


def test_components_are_found_where_all_together_take_more_rows(tmp_path):
    given = {name: np.random.default_rng(9).normal(size=(200, 90)) for name in ("some", "more")}
    found = report(X[:200], {"one": OURS}, tmp_path, components=given)
    assert set(found["saes"][0]["components"]) == {"x_hat", "some", "more"}
    (failed,) = found["failures"]
    assert failed["name"] == "one, all together" and "columns + 2 = 182 rows" in failed["error"]


class TestBlocks:
    """Activations that come in blocks give what they give in one piece."""

    sizes = (1000, 1, 999, 700, 300)

    def blocks(self, dtype=np.float32):
        start = 0
        for size in self.sizes:
            yield X[start : start + size].astype(dtype)
            start += size

    @pytest.mark.parametrize("kind", ["function", "iterable", "iterator", "torch"])
    def test_same(self, kind, expected, tmp_path, monkeypatch):
        monkeypatch.setattr("rugtheory.darkmatter._rows._BLOCK_VALUES", 1700)
        calls = []

        class Loader:
            def __iter__(this):
                calls.append(1)
                return self.blocks()

        given = {
            "function": lambda: self.blocks(),
            "iterable": Loader(),
            "iterator": self.blocks(),
            "torch": (torch.tensor(b).to(torch.bfloat16) for b in self.blocks()),
        }[kind]
        found = report(given, {"one": OURS}, tmp_path)
        if kind == "torch":
            expected = report(torch.tensor(X).to(torch.bfloat16), {"one": OURS}, tmp_path / "b")
            expected = expected["saes"][0]
        assert_same(found["saes"][0], expected)
        assert found["about"]["rows"] == ROWS
        assert not list(tmp_path.rglob("*unfinished*"))
        assert kind != "iterable" or len(calls) < 15

    def test_stored_while_it_is_needed(self, tmp_path):
        def stops(names):
            (file,) = tmp_path.glob("*unfinished*")
            assert file.stat().st_size == ROWS * D * 2
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            report(self.blocks(np.float16), {"one": OURS}, tmp_path, progress=stops)
        assert not list(tmp_path.rglob("*unfinished*"))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (iter([]), "x must give blocks, got none"),
            (iter([X[:5], X[:5, :3]]), r"blocks of shape \(rows, 8\), got \(5, 3\)"),
            (iter([X[:5], np.float64(X[:5])]), "x must give blocks of float32, got float64"),
            (iter([X[0]]), r"blocks of shape \(rows, columns\), got \(8,\)"),
            (lambda: 3, "x must give an iterator of blocks, got 3"),
        ],
    )
    def test_bad(self, given, message, tmp_path):
        with pytest.raises((ValueError, TypeError), match=message):
            report(given, {"one": OURS}, tmp_path)

    def test_one_that_gives_less_the_second_time(self, tmp_path):
        times = []

        def make():
            times.append(1)
            return iter([X[:2000], X[2000:]] if len(times) < 3 else [X[:2000]])

        with pytest.raises(ValueError, match="x must give its 3000 rows each time, got 2000"):
            report(make, {"one": OURS}, tmp_path)


class TestTargets:
    """Transcoders: y = x A + B, of which the decoder knows A."""

    out = 5
    generator = np.random.default_rng(5)
    a = generator.normal(size=(D, out)).astype(np.float32)
    y = X @ a + 0.5 * np.maximum(X @ generator.normal(size=(D, out)), 1).astype(np.float32)

    def transcoder(self, scale=1.0):
        w_enc = np.hstack([np.eye(D), -np.eye(D)])
        w_dec = scale * np.vstack([self.a, -self.a])
        zeros = np.zeros(2 * D)
        parts = {"transcoder": True, "subtract_b_dec": False}
        return darkmatter.SAE("standard", w_enc, zeros, w_dec, np.zeros(self.out), **parts)

    def test_exact(self, tmp_path):
        """It predicts all of x A, and has an FVU of 0, where its input has one of 12."""
        (record,) = report(X, {"one": self.transcoder()}, tmp_path, targets=X @ self.a)["saes"]
        assert record["fvu"]["value"] < 1e-12 and record["r2"]["value"] is None

    def test_against_least_squares(self, tmp_path):
        found = report(X, {"one": self.transcoder(0.7)}, tmp_path, targets=self.y)
        (record,) = found["saes"]
        held = np.load(tmp_path / "saes" / "one.npz")["held_out"]
        y, x = self.y.astype(float), np.column_stack([X, np.ones(ROWS)]).astype(float)
        y_hat = 0.7 * X @ self.a
        error = y - y_hat
        norm = (error**2).sum(axis=1, keepdims=True)
        linear = y_hat - 0  # linear in x, all of it
        total = ((y[held] - y[held].mean(axis=0)) ** 2).sum()
        assert record["fvu"]["value"] == pytest.approx((error[held] ** 2).sum() / total, rel=1e-5)
        left = error - x @ np.linalg.lstsq(x[~held], error[~held])[0]
        assert record["fvu_nl"]["held_out"] == pytest.approx(
            (left[held] ** 2).sum() / total, rel=1e-5
        )
        sizes = {
            "x": (y**2).sum(axis=1),
            "x_hat": (y_hat**2).sum(axis=1),
            "linear x_hat": (linear**2).sum(axis=1),
            "error": norm[:, 0],
            "nonlinear error": (left**2).sum(axis=1),
        }
        for part, size in sizes.items():
            miss = size - x @ np.linalg.lstsq(x[~held], size[~held])[0]
            r2 = 1 - (miss[held] ** 2).sum() / ((size[held] - size[held].mean()) ** 2).sum()
            assert record["norm_test"][part]["held_out"] == pytest.approx(r2, abs=1e-5)
        assert "y the targets" in darkmatter.tables(found)
        assert darkmatter.save_figures(found, tmp_path)

    def test_components(self, tmp_path):
        """They are regressed on what is left of the targets, of rows that are not left out."""
        some, drop = self.y**2, np.zeros(ROWS, bool)
        drop[::7] = True
        x, y = (np.where(drop[:, None], 30 * part, part) for part in (X, self.y))
        given = {"targets": y, "components": {"some": some}, "drop": drop}
        found = report(x, {"one": self.transcoder(0.7)}, tmp_path, **given)
        held = np.load(tmp_path / "saes" / "one.npz")["held_out"]
        fitted, held = ~held & ~drop, held & ~drop
        error = y.astype(float) - 0.7 * x @ self.a
        # The linear error is a function of x that these rows have told, and of no others.
        columns = np.column_stack([x, np.ones(ROWS)]).astype(float)
        linear = columns @ np.linalg.lstsq(columns[fitted], error[fitted])[0]
        columns = np.column_stack([some, np.ones(ROWS)]).astype(float)
        for part, of in {"error": error, "linear": linear, "nonlinear": error - linear}.items():
            left = of - columns @ np.linalg.lstsq(columns[fitted], of[fitted])[0]
            r2 = 1 - (left[held] ** 2).sum() / ((of[held] - of[held].mean(axis=0)) ** 2).sum()
            assert found["saes"][0]["components"]["some"][part]["held_out"] == pytest.approx(
                r2, abs=1e-5
            )

    def test_null(self, tmp_path):
        """Of Gaussian x and y = x A, the R² of ‖y‖² on x is that of ‖y‖² on y."""
        x = np.random.default_rng(2).normal(size=(40_000, D)) + 0.3
        found = report(x, {"one": self.transcoder(0.7)}, tmp_path, targets=x @ self.a)
        truth = darkmatter.gaussian_null(0.3 * self.a.sum(axis=0), self.a.T @ self.a)
        assert found["null"]["x"] == pytest.approx(truth, rel=0.05)
        assert found["saes"][0]["null"]["gaussian"] == pytest.approx(truth, rel=0.05)

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({}, "give those as targets"),
            ({"targets": y[:9]}, "targets must have 3000 rows like the activations, got 9"),
            ({"targets": X}, "one predicts 5 columns, the targets have 8"),
        ],
    )
    def test_bad(self, more, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            report(X, {"one": self.transcoder()}, tmp_path, **more)

    def test_changed_targets(self, tmp_path):
        first = report(X, {"one": self.transcoder()}, tmp_path, targets=self.y)["saes"]
        y = self.y.copy()
        y[7, 2] += 1
        again = report(X, {"one": self.transcoder()}, tmp_path, targets=y)["saes"]
        assert first[0]["fvu_nl"] != again[0]["fvu_nl"]


def test_memory_does_not_grow_with_the_number_of_decoders(tmp_path):
    """Norms of every row and decoder are on disk: of ten decoders they would be 14 MB here."""
    x = np.random.default_rng(0).normal(size=(60_000, 2))
    most = {}
    for count in (1, 2, 10):  # the first loads modules
        saes = {f"{k}": lambda block, k=k: (0.5 + 0.01 * k) * np.tanh(block) for k in range(count)}
        tracemalloc.start()
        report(x, saes, tmp_path / f"{count}")
        most[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most[10] < most[2] + 2**21
