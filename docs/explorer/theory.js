// The closed forms of rugtheory for amplitudes Uniform[0, 1], one point at a time.
//
// A classic script, so that the page works from file://; `require("./theory.js")` gives node the same
// object. Names and formulas are those of the modules of rugtheory/ that each part is headed with,
// where their derivations and their accuracy are. tests/test_explorer.py compares the two.
"use strict";

const theory = (() => {
  const MIN_P = 1e-8;
  const MIN_RATIO = 1e-4;
  const MAX_RATIO = 1 - 1e-6;
  const MEAN = 1 / 2;
  const VARIANCE = 1 / 12;
  const SECOND_MOMENT = 1 / 3;

  // rectified.py: repeated integrals of the Gaussian tail, φ = g[0] and G₀ … G₃ = g[1] … g[4].

  const SQRT_2PI = Math.sqrt(2 * Math.PI);
  const SCALE = 4.5;
  const DEGREE = 32;

  const density = (z) => Math.exp(-0.5 * z * z) / SQRT_2PI;

  /** G₃/G₂ where speed does not matter: continued fraction, or the definition near zero. */
  function slowRatio(x) {
    if (x < 0.3) {
      let term = x;
      let sum = x;
      for (let k = 3; k < 40; k += 2) {
        term *= (x * x) / k;
        sum += term;
      }
      const phi = density(x);
      const q = 0.5 - phi * sum;
      return ((2 + x * x) * phi - x * (3 + x * x) * q) / (3 * ((1 + x * x) * q - x * phi));
    }
    const start = 2000;
    let r = (Math.sqrt(x * x + 4 * start) - x) / (2 * start);
    for (let n = start; n > 3; n--) r = 1 / (x + n * r);
    return r;
  }

  /** Chebyshev coefficients of ρ(z)(z + SCALE), ρ = G₃/G₂, in (z - SCALE)/(z + SCALE). */
  const COEFFICIENTS = (() => {
    const points = 8 * DEGREE;
    const sums = new Float64Array(DEGREE + 1);
    for (let j = 0; j < points; j++) {
      const angle = (Math.PI * (j + 0.5)) / points;
      const y = Math.cos(angle);
      const z = (SCALE * (1 + y)) / (1 - y);
      const value = slowRatio(z) * (z + SCALE);
      for (let k = 0; k <= DEGREE; k++) sums[k] += value * Math.cos(k * angle);
    }
    return sums.map((x, k) => ((k ? 2 : 1) * x) / points);
  })();

  /** G₀/φ … G₃/φ at z ≥ 0, without underflow. */
  function ratios(z) {
    const scaled = z + SCALE;
    const x = (z - SCALE) / scaled;
    let one = 0;
    let two = 0;
    for (let k = DEGREE; k > 0; k--) {
      const next = 2 * x * one - two + COEFFICIENTS[k];
      two = one;
      one = next;
    }
    const rho = (x * one - two + COEFFICIENTS[0]) / scaled;
    const g1 = z + 3 * rho;
    const g0 = 2 + z * g1;
    const g2 = 1 / (g1 + z * g0);
    return [g0 * g2, g1 * g2, g2, rho * g2];
  }

  /** At z ≥ 0. */
  function tails(z) {
    z = Math.min(z, 1e6);
    const [g0, g1, g2, g3] = ratios(z);
    const phi = density(z);
    return [phi, g0 * phi, g1 * phi, g2 * phi, g3 * phi];
  }

  /** At z of either sign. */
  function signedTails(z) {
    const g = tails(Math.abs(z));
    if (z >= 0) return g;
    const t = -z;
    g[1] = 1 - g[1];
    g[2] += t;
    g[3] = 0.5 * (1 + t * t) - g[3];
    g[4] += (t * (3 + t * t)) / 6;
    return g;
  }

  const AT_ZERO = tails(0);

  // Gauss-Legendre rules on [0, 1].

  function legendre(n) {
    const rule = [];
    for (let i = 0; i < n; i++) {
      let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
      let slope = 0;
      for (let step = 0; step < 8; step++) {
        let before = 1;
        let value = x;
        for (let k = 2; k <= n; k++) {
          [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
        }
        slope = (n * (x * value - before)) / (x * x - 1);
        x -= value / slope;
      }
      rule.push([(1 + x) / 2, 1 / ((1 - x * x) * slope * slope)]);
    }
    return rule;
  }

  const RULE_8 = legendre(8);
  const RULE_10 = legendre(10);
  const RULE_16 = legendre(16);

  // bounds.py

  const featureVariance = (p) => p * (VARIANCE + (1 - p) * MEAN * MEAN);
  const welchSigma = (p, ratio) => Math.sqrt(featureVariance(p) * ((1 - ratio) / ratio));
  const linearLoss = (p, ratio) => featureVariance(p) * (1 - ratio);

  // loss.py, for a > 0 and σ > 0

  const REACH = 9;
  const SHORT = 0.25;

  function reading(u, a, b, sigma) {
    const z = (a * u + b) / (a * sigma);
    return { z, g: tails(Math.abs(z)) };
  }

  function errorAt(u, missed, e, { z, g }) {
    const base = z > 0 ? missed : u;
    return base * (base - 2 * e * g[2]) + e * e * (2 * g[3] + (z > 0 ? 1 - 2 * g[1] : 0));
  }

  function errorPart(base, slope, length, e, sigma, near, far, passing) {
    const rise = slope * length;
    const d3 = near[4] - far[4];
    const square = length * ((base + rise / 2) ** 2 + (rise * rise) / 12);
    const cross = sigma * (base * near[3] - (base + rise) * far[3] + slope * sigma * d3);
    const noise = 2 * sigma * d3 + (passing ? length - 2 * sigma * (near[2] - far[2]) : 0);
    return square - 2 * e * cross + e * e * noise;
  }

  /** Loss given that the feature is on. */
  function onLoss(a, b, sigma, complement) {
    const e = a * sigma;
    const low = reading(0, a, b, sigma);
    const high = reading(1, a, b, sigma);
    if (Math.min(Math.abs(low.z), Math.abs(high.z)) < REACH && SHORT * sigma > 1) {
      const at = (u) => errorAt(u, complement * u - b, e, reading(u, a, b, sigma));
      return RULE_8.reduce((sum, [u, w]) => sum + w * at(u), 0);
    }
    const kink = Math.min(Math.max(-b / a, 0), 1);
    const base = low.z > 0 ? -b : kink;
    const beyond = (here, { g }) => (here ? g : AT_ZERO);
    const passed = [beyond(low.z > 0, low), beyond(high.z > 0, high)];
    const stopped = [beyond(high.z < 0, high), beyond(low.z < 0, low)];
    const active = errorPart(base, complement, 1 - kink, e, sigma, ...passed, true);
    return active + errorPart(kink, -1, kink, e, sigma, ...stopped, false);
  }

  /** E(x - ReLU(a(x + ν) + b))², with `complement` = 1 - a to full precision where it is known. */
  function reducedLoss(a, b, sigma, p, complement = 1 - a) {
    const off = errorAt(0, -b, a * sigma, reading(0, a, b, sigma));
    return p * onLoss(a, b, sigma, complement) + (1 - p) * off;
  }

  // moments.py, of the reading side·(u + ν) + b, side = ±1

  function momentsAt(u, side, b, sigma) {
    const c = side * u + b;
    const z = c / sigma;
    const g = tails(Math.abs(z));
    const passed = z > 0 ? 1 - g[1] : g[1];
    const v = Math.max(c, 0) + sigma * g[2];
    const square = sigma * sigma;
    const vv = z > 0 ? c * c + square * (1 - 2 * g[3]) : 2 * square * g[3];
    const phi = g[0];
    return {
      passed, v, vv, phi, u: u * passed, uu: u * u * passed, uv: u * v, uphi: u * phi,
      ucphi: phi > 0 ? u * z * phi : 0,
    };
  }

  function onMoments(side, b, sigma) {
    const zLow = b / sigma;
    const zHigh = (side + b) / sigma;
    if (Math.min(zLow, zHigh) > REACH || SHORT * sigma > 1) {
      const sum = momentsAt(0, side, b, sigma);
      for (const [u, w] of RULE_8) {
        const at = momentsAt(u, side, b, sigma);
        for (const name in sum) sum[name] = (u === RULE_8[0][0] ? 0 : sum[name]) + w * at[name];
      }
      return sum;
    }
    const low = signedTails(-zLow);
    const high = signedTails(-zHigh);
    const step = side * sigma;
    const square = sigma * sigma;
    const d2 = high[3] - low[3];
    const d3 = high[4] - low[4];
    const d0 = high[1] - low[1];
    const d1 = high[2] - low[2];
    return {
      passed: step * d1,
      v: sigma * step * d2,
      vv: 2 * square * step * d3,
      phi: step * d0,
      u: step * high[2] - square * d2,
      uu: step * high[2] - 2 * square * high[3] + 2 * step * square * d3,
      uv: sigma * (step * high[3] - square * d3),
      uphi: step * high[1] - square * d1,
      ucphi: square * d0 - step * high[0],
    };
  }

  // optimum.py

  const LINEAR = 7;
  const SURELY_LINEAR = 40;
  const STEP = 1e-7;
  const MAX_STEPS = 12;

  /** Ψ and its derivatives at the threshold β = b/a, and what the decoder is if this is the root. */
  function state(beta, sigma, p) {
    const side = beta > 0 ? -1 : 1;
    const on = onMoments(side, side * beta, sigma);
    const off = momentsAt(0, side, side * beta, sigma);
    const odds = (1 - p) / p;
    const passed = odds * off.passed + on.passed;
    const h = odds * off.v + on.v;
    const hh = odds * off.vv + on.vv;
    const phi = odds * off.phi + on.phi;
    const variance = VARIANCE + (1 - p) * MEAN * MEAN;
    const square = sigma * sigma;
    const xSlope = on.uphi / sigma;
    let x, xh, h1, h2, above, psi, slope;
    if (beta > 0) {
      const k = p * MEAN + beta;
      const meanK = MEAN * k + variance;
      const total = k * k + p * variance + square;
      const ph = k + p * h;
      [x, xh, above] = [MEAN - on.u, meanK + on.uv, 1 / p - passed];
      [h1, h2] = [ph / p, total / p - hh];
      psi = (MEAN * square - variance * beta - on.uv * ph) / p;
      psi -= on.u * h2 + MEAN * hh + meanK * h;
      slope = (-variance - on.u * ph - on.uv) / p + MEAN * h + passed * xh;
    } else {
      [x, xh, above, h1, h2] = [on.u, on.uv, passed, h, hh];
      psi =
        2 * on.u < h
          ? on.u * hh - on.uv * h
          : (square * passed + beta * h) * h - (sigma * phi + beta * passed) * hh;
      slope = on.u * h - on.uv * passed;
    }
    slope += xSlope * h2;
    const curvature =
      ((-side * on.ucphi) / square) * h2 + 3 * xSlope * h1 - (xh * phi) / sigma;
    const a = x / h1;
    const complement = (sigma * phi + beta * above) / h1;
    return { psi, slope, curvature, a, complement, aSlope: (xSlope - a * above) / h1 };
  }

  /** β/σ near the root of Ψ, which is positive below it and negative above. */
  function bracketed(sigma, p, linear) {
    const reach = Math.sqrt((8 / 3) * Math.log(1 / p)) + Math.sqrt(2 * Math.log1p(MEAN / sigma));
    let low = -(reach + 3);
    let high = Math.min(linear, LINEAR);
    if (state(high * sigma, sigma, p).psi >= 0) return linear;
    while (high - low > 1e-3) {
      const middle = (low + high) / 2;
      if (state(middle * sigma, sigma, p).psi > 0) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  function checked(p, ratio) {
    if (!(p >= MIN_P && p <= 1)) throw new RangeError(`p must lie in [1e-8, 1], got ${p}`);
    if (!(ratio >= MIN_RATIO && ratio <= MAX_RATIO)) {
      throw new RangeError(`ratio must lie in [1e-4, 1 - 1e-6], got ${ratio}`);
    }
  }

  /** { a, b, sigma, loss } of the best ReLU decoder, σ at its Welch-type bound. */
  function optimum(p, ratio) {
    checked(p, ratio);
    const sigma = welchSigma(p, ratio);
    const linear = (MEAN * sigma) / (VARIANCE + (1 - p) * MEAN * MEAN);
    let a, b, complement;
    if (linear >= SURELY_LINEAR) {
      const noise = sigma * sigma;
      const total = featureVariance(p) + noise;
      [a, complement] = [featureVariance(p) / total, noise / total];
      b = p * MEAN * complement;
    } else {
      let beta = bracketed(sigma, p, linear) * sigma;
      for (let k = 0, step = Infinity; Math.abs(step) > STEP * (sigma + Math.abs(beta)); k++) {
        if (k === MAX_STEPS) throw new Error(`no optimum found at p = ${p}, ratio = ${ratio}`);
        const now = state(beta, sigma, p);
        step = (-2 * now.psi * now.slope) / (2 * now.slope ** 2 - now.psi * now.curvature);
        a = now.a + now.aSlope * step;
        complement = now.complement - now.aSlope * step;
        beta += step;
      }
      b = a * beta;
    }
    return { a, b, sigma, loss: reducedLoss(a, b, sigma, p, complement) };
  }

  // decoder.py: thresholds

  /** a, b and loss of the best affine value above a threshold on the reading. */
  function bestAffine(theta, sigma, p) {
    const on = onMoments(1, -theta, sigma);
    const off = momentsAt(0, 1, -theta, sigma);
    const missed = p * onMoments(-1, theta, sigma).uu;
    const odds = (1 - p) / p;
    const passed = p * (on.passed + odds * off.passed);
    const v = p * (on.v + odds * off.v);
    const vv = p * (on.vv + odds * off.vv);
    const nu = sigma * p * (on.phi + odds * off.phi);
    const nuv = sigma * sigma * passed;
    const far = p * (theta * on.phi - on.uphi + odds * theta * off.phi);
    const nunu = sigma * sigma * passed + sigma * far;

    const power = p * SECOND_MOMENT;
    const noisy = nunu + missed > power;
    const [first, second] = noisy ? [p * on.uv, p * on.u] : [-nuv, -nu];
    const mean = passed > 0 ? v / passed : 0;
    const spread = vv - mean * v;
    const slope = spread > 0 ? (first - mean * second) / spread : 0;
    const level = passed > 0 ? second / passed - slope * mean : 0;
    const loss = (noisy ? power : nunu + missed) - (slope * first + level * second);
    return { a: noisy ? slope : 1 + slope, b: level - slope * theta, threshold: theta, loss };
  }

  /** Least loss over thresholds: a scan, then golden sections. */
  function bestJump(sigma, p) {
    const flank =
      Math.sqrt(2 * Math.log(1 / p)) + 4 + Math.sqrt(2 * Math.log1p(MEAN / sigma));
    const grid = [];
    for (let k = 0; k < 10; k++) grid.push(sigma * (k - 9));
    for (let k = 0; k < 40; k++) grid.push(sigma * flank * (0.04 + (0.96 * k) / 39));
    for (let k = 0; k < 12; k++) grid.push(MEAN * (0.05 + (1.45 * k) / 11));
    grid.sort((x, y) => x - y);
    const losses = grid.map((theta) => bestAffine(theta, sigma, p).loss);
    const best = losses.indexOf(Math.min(...losses));
    const inside = Math.min(Math.max(best, 1), grid.length - 2);
    const golden = (Math.sqrt(5) - 1) / 2;
    let [low, high] = [grid[inside - 1], grid[inside + 1]];
    let left = bestAffine(high - golden * (high - low), sigma, p);
    let right = bestAffine(low + golden * (high - low), sigma, p);
    for (let k = 0; k < 40; k++) {
      if (left.loss < right.loss) {
        [high, right] = [right.threshold, left];
        left = bestAffine(high - golden * (high - low), sigma, p);
      } else {
        [low, left] = [left.threshold, right];
        right = bestAffine(low + golden * (high - low), sigma, p);
      }
    }
    const ends = [bestAffine(grid[best], sigma, p), left, right];
    return ends.reduce((x, y) => (y.loss < x.loss ? y : x));
  }

  /** The threshold that as many readings exceed as features are on. */
  function bestKept(sigma, p) {
    let low = -REACH * sigma;
    let high = sigma * (REACH + Math.sqrt(2 * Math.log(1 / p))) + 1;
    for (let k = 0; k < 60; k++) {
      const theta = (low + high) / 2;
      const on = onMoments(1, -theta, sigma).passed;
      const off = momentsAt(0, 1, -theta, sigma).passed;
      if (p * on + (1 - p) * off > p) low = theta;
      else high = theta;
    }
    return bestAffine((low + high) / 2, sigma, p);
  }

  // posterior.py and decoder.py: Bayes and oracle

  const SHORT_POSTERIOR = 0.5;

  /** Log density of y = u + ν, mean and variance of u given y, for a feature that is on. */
  function posterior(y, sigma) {
    const flipped = y > 0.5;
    const t = -(flipped ? 1 - y : y) / sigma;
    const delta = 1 / sigma;
    const part = delta < SHORT_POSTERIOR ? shortPart : t >= 0 ? outsidePart : withinPart;
    const [logZ, mean, variance] = part(t, delta);
    const shift = sigma * mean;
    return [logZ, flipped ? 1 - shift : shift, sigma * sigma * variance];
  }

  function shortPart(t, delta) {
    let [total, first, second] = [0, 0, 0];
    for (const [x, w] of RULE_16) {
      const n = delta * x;
      const share = w * Math.exp(-n * (t + n / 2));
      total += share;
      first += share * n;
    }
    const mean = first / total;
    for (const [x, w] of RULE_16) {
      const n = delta * x;
      second += w * Math.exp(-n * (t + n / 2)) * (n - mean) ** 2;
    }
    return [Math.log(total * delta) - (t * t) / 2 - Math.log(SQRT_2PI), mean, second / total];
  }

  function outsidePart(t, delta) {
    const near = ratios(t);
    const far = ratios(t + delta);
    const fall = Math.exp(-delta * (t + delta / 2));
    const zero = near[0] - fall * far[0];
    const first = near[1] - fall * (far[1] + delta * far[0]);
    const second = near[2] - fall * (far[2] + delta * (far[1] + (delta / 2) * far[0]));
    const mean = first / zero;
    const logZ = Math.log(zero) - (t * t) / 2 - Math.log(SQRT_2PI);
    return [logZ, mean, (2 * second) / zero - mean * mean];
  }

  function withinPart(t, delta) {
    const far = t + delta;
    const zero = 1 - tails(-t)[1] - tails(far)[1];
    const [low, high] = [density(t), density(far)];
    const shift = (low - high) / zero;
    return [Math.log(zero), shift - t, 1 + (t * low - far * high) / zero - shift * shift];
  }

  /** Readings between which the densities are smooth enough for a Gauss rule. */
  function panels(sigma, p) {
    const rarity = -2 * Math.log((SQRT_2PI * p * sigma) / (1 - p + 1e-300) / MEAN);
    const flank = Math.sqrt(Math.max(rarity, 0));
    const points = [0, 1];
    for (let k = 0; k < 13; k++) points.push(sigma * (1.5 * k - 9), 1 + sigma * (1.5 * k - 9));
    for (let k = 0; k < 12; k++) points.push((sigma * flank * k) / 11);
    for (let k = 0; k < 15; k++) points.push(sigma * (flank + (k - 6) / (1 + flank)));
    for (const k of [2, 3, 4.5, 6.5, 9]) points.push(sigma * (flank + k));
    return points.sort((x, y) => x - y);
  }

  /** Losses of the posterior mean, and of the one that knows which features are on. */
  function posteriorLosses(sigma, p) {
    const points = panels(sigma, p);
    let [oracle, doubt] = [0, 0];
    for (let k = 1; k < points.length; k++) {
      const length = points[k] - points[k - 1];
      for (const [x, w] of RULE_10) {
        const y = points[k - 1] + length * x;
        const [logOn, mean, variance] = posterior(y, sigma);
        const logOff = -0.5 * (y / sigma) ** 2 - Math.log(sigma) - Math.log(SQRT_2PI);
        const off = 1 / (1 + (p / (1 - p)) * Math.exp(logOn - logOff));
        const weight = length * w * p * Math.exp(logOn);
        oracle += weight * variance;
        doubt += weight * off * mean * mean;
      }
    }
    return { oracle, bayes: oracle + doubt };
  }

  /** Losses of the best decoders of each kind, as `rugtheory.decoder_table`. */
  function decoderLosses(p, ratio) {
    const { sigma, loss } = optimum(p, ratio);
    const { oracle, bayes } = posteriorLosses(sigma, p);
    return {
      linear: linearLoss(p, ratio),
      relu: loss,
      jumprelu: Math.min(loss, bestJump(sigma, p).loss),
      topk: bestKept(sigma, p).loss,
      bayes,
      oracle,
    };
  }

  // antipodal.py, interpolated in a table that docs/explorer_table.py makes

  const inNode = typeof module !== "undefined";
  const TABLE = inNode ? require("./antipodal_table.js") : antipodalTable;
  const KNOWN = inNode ? require("./best_known_table.js") : bestKnownTable;

  /** First of six neighbouring grid points, and Lagrange's weights of them. */
  function lagrange(x, { start, step, count }) {
    const position = (x - start) / step;
    const first = Math.min(Math.max(Math.floor(position) - 2, 0), count - 6);
    const weights = [];
    for (let i = 0; i < 6; i++) {
      let weight = 1;
      for (let j = 0; j < 6; j++) {
        if (j !== i) weight *= (position - first - j) / (i - j);
      }
      weights.push(weight);
    }
    return [first, weights];
  }

  /** Loss of even pairs of features, v and -v; above ratio ½ some are stored alone. */
  function antipodalLoss(p, ratio) {
    checked(p, ratio);
    const [i, u] = lagrange(Math.log(p) + TABLE.stretch * p, TABLE.sparsity);
    const paired = Math.min(ratio, 0.5);
    const [j, w] = lagrange(Math.asinh(TABLE.spread * Math.sqrt((1 - 2 * paired) / paired)), TABLE.noise);
    let log = 0;
    for (let k = 0; k < 6; k++) {
      for (let l = 0; l < 6; l++) log += u[k] * w[l] * TABLE.logShare[i + k][j + l];
    }
    return Math.min(2 * (1 - ratio), 1) * featureVariance(p) * Math.exp(log);
  }

  /** Number of the grid point below x, but for the last, and how far on to the next x is. */
  function linear(x, { start, step, count }) {
    const position = (x - start) / step;
    const first = Math.min(Math.max(Math.floor(position), 0), count - 2);
    return [first, position - first];
  }

  /** Loss of the best structure that `rugtheory.best_known(…, limit=True)` knows. */
  function bestKnownLoss(p, ratio) {
    const known = Math.min(optimum(p, ratio).loss, antipodalLoss(p, ratio));
    const [i, u] = linear(Math.log(p) + KNOWN.stretch * p, KNOWN.sparsity);
    const [j, w] = linear(Math.log(ratio / (1 - ratio)), KNOWN.logit);
    const [below, above] = [KNOWN.logShare[i], KNOWN.logShare[i + 1]].map(
      (row) => row[j] + w * (row[j + 1] - row[j]),
    );
    const log = below + u * (above - below);
    return Math.min(known, (1 - ratio) * featureVariance(p) * Math.exp(log));
  }

  // rug.py

  const N_SPARSE = 64;

  /** The rows of the Hadamard matrix in the order in which rugs of growing n_dense take them. */
  const ROWS = (() => {
    const rows = Array.from({ length: N_SPARSE }, (_, k) => k);
    let seed = 1;
    for (let k = N_SPARSE - 1; k > 0; k--) {
      seed = (seed * 48271) % 2147483647; // Park and Miller's generator
      const other = seed % (k + 1);
      [rows[k], rows[other]] = [rows[other], rows[k]];
    }
    return rows;
  })();

  /** n_dense nearest to the ratio, the rows S, and φ_S, which gives W_ij = φ_S(i XOR j). */
  function rug(ratio) {
    const nDense = Math.max(1, Math.round(ratio * N_SPARSE));
    const rows = ROWS.slice(0, nDense);
    const phi = Array.from({ length: N_SPARSE }, (_, m) => {
      let sum = 0;
      for (const row of rows) {
        let bits = row & m;
        let sign = 1;
        for (; bits; bits &= bits - 1) sign = -sign;
        sum += sign;
      }
      return sum / nDense;
    });
    return { nSparse: N_SPARSE, nDense, rows, phi };
  }

  return {
    MIN_P, MIN_RATIO, MAX_RATIO,
    featureVariance, welchSigma, linearLoss, reducedLoss, optimum,
    decoderLosses, antipodalLoss, bestKnownLoss, rug,
  };
})();

if (typeof module !== "undefined") module.exports = theory;
