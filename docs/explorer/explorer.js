// The page: controls, plots and tables of the numbers that theory.js computes.
"use strict";

const byId = (id) => document.getElementById(id);

// Numbers as text

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const power = (n) =>
  "10" + (n < 0 ? "⁻" : "") + [...String(Math.abs(n))].map((d) => SUPERSCRIPTS[d]).join("");

function formatted(x, digits) {
  const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
  const n = Number(exponent);
  const text = n >= -3 && n < digits ? x.toPrecision(digits) : `${mantissa} × ${power(n)}`;
  return text.replace(/^-/, "−");
}

function show(element, x, digits = 6) {
  element.value = x;
  element.textContent = formatted(x, digits);
}

/** "… what another loses", as one says it; `digits` of percentages. */
function times(x, digits = 3) {
  if (Math.abs(x - 1) < 0.0005) return "as much as";
  if (x > 1) return `${x.toPrecision(digits + 1)} times`;
  return x < 0.001 ? `${formatted(x, 2)} of` : `${formatted(100 * x, digits)}\u00a0% of`;
}

// The two parameters: what is held is exactly what is displayed and computed with.

const clamped = (x, low, high) => Math.min(Math.max(x, low), high);
const rounded = (x) => Number(x.toPrecision(3));

const SCALES = {
  p: {
    min: theory.MIN_P,
    max: 1,
    to: Math.log10,
    from: (s) => rounded(10 ** s),
    low: -8,
    high: 0,
    // The most wanted labels first: those that find no room are left out.
    ticks: [0, -8, -4, -2, -6, -1, -3, -5, -7].map((k) => [k, k ? power(k) : "1"]),
    label: "probability p",
    share: true,
  },
  ratio: {
    min: theory.MIN_RATIO,
    max: theory.MAX_RATIO,
    to: (r) => Math.log10(r / (1 - r)),
    from(s) {
      if (s <= 0) return rounded(1 / (1 + 10 ** -s));
      return Number((1 - rounded(1 / (1 + 10 ** s))).toFixed(12));
    },
    low: -4,
    high: 6,
    ticks: [
      [-4, "10⁻⁴"],
      [6, "1−10⁻⁶"],
      [0, "½"],
      [-2, "0.01"],
      [Math.log10(99), "0.99"],
      [4, "1−10⁻⁴"],
      [Math.log10(1 / 9), "0.1"],
      [Math.log10(9), "0.9"],
      [-3, "0.001"],
      [Math.log10(999), "0.999"],
      [5, "1−10⁻⁵"],
    ],
    label: "ratio",
    share: false,
  },
};
const NAMES = Object.keys(SCALES);
const view = { p: 0.045, ratio: 0.25 };

// Curves

const POINTS = 161;
const CURVES = [
  { name: "linear", loss: theory.linearLoss },
  { name: "rug", loss: (p, ratio) => theory.optimum(p, ratio).loss },
  { name: "antipodal", loss: theory.antipodalLoss },
  { name: "best-known", label: "best known (limit)", loss: theory.bestKnownLoss },
];

const labelOf = ({ name, label }) => label || name;

/** What a plot shows of a loss: against p its share of the variance, which p itself changes most. */
const height = (name, loss, p) =>
  Math.log10(SCALES[name].share ? loss / theory.featureVariance(p) : loss);

/** Against one parameter, at the other's value: position and height of the points of each curve. */
function curvesAlong(name) {
  const { low, high, min, max } = SCALES[name];
  const positions = Array.from({ length: POINTS }, (_, k) => low + ((high - low) * k) / (POINTS - 1));
  const values = positions.map((s) =>
    clamped(name === "p" ? 10 ** s : 1 / (1 + 10 ** -s), min, max),
  );
  return CURVES.map(({ loss }) =>
    values.map((x, k) => {
      const [p, ratio] = pointAt(name, x);
      return [positions[k], height(name, loss(p, ratio), p)];
    }),
  );
}

/** (p, ratio) of the view with one of them replaced. */
const pointAt = (name, x) => NAMES.map((other) => (other === name ? x : view[other]));

const MARGIN = { left: 48, right: 14, top: 14, bottom: 40 };

function draw(name) {
  const svg = byId(`${name}-plot`);
  const box = svg.getBoundingClientRect();
  const scale = SCALES[name];
  const curves = curvesAlong(name);
  const all = curves.flat().map(([, y]) => y);
  const top = Math.ceil(Math.max(...all));
  const bottom = Math.min(Math.floor(Math.min(...all)), top - 1);
  const right = box.width - MARGIN.right;
  const floor = box.height - MARGIN.bottom;
  const inner = { width: right - MARGIN.left, height: floor - MARGIN.top };
  const toX = (s) => MARGIN.left + (inner.width * (s - scale.low)) / (scale.high - scale.low);
  const toY = (y) => MARGIN.top + (inner.height * (top - y)) / (top - bottom);
  const parts = [];

  const step = Math.ceil((top - bottom) / 7);
  for (let y = top; y >= bottom; y -= step) {
    parts.push(
      `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${toY(y)}" y2="${toY(y)}"/>`,
      `<text x="${MARGIN.left - 7}" y="${toY(y) + 4}" text-anchor="end">${y ? power(y) : "1"}</text>`,
    );
  }
  const taken = [];
  for (const [s, label] of scale.ticks) {
    const x = toX(s);
    const half = 3.8 * label.length; // half a character of 12 pixels is not quite 4 wide
    const middle = Math.min(x, box.width - half);
    parts.push(`<line class="axis" x1="${x}" x2="${x}" y1="${floor}" y2="${floor + 4}"/>`);
    if (taken.every((other) => Math.abs(middle - other.middle) > half + other.half)) {
      parts.push(`<text x="${middle}" y="${floor + 18}" text-anchor="middle">${label}</text>`);
      taken.push({ middle, half });
    }
  }
  const centre = MARGIN.left + inner.width / 2;
  parts.push(
    `<line class="axis" x1="${MARGIN.left}" x2="${right}" y1="${floor}" y2="${floor}"/>`,
    `<text x="${centre}" y="${box.height - 5}" text-anchor="middle">${scale.label}</text>`,
  );

  const here = toX(scale.to(view[name]));
  parts.push(`<line class="here" x1="${here}" x2="${here}" y1="${MARGIN.top}" y2="${floor}"/>`);
  curves.forEach((points, k) => {
    const path = points.map(([s, y]) => `${toX(s).toFixed(1)} ${toY(y).toFixed(1)}`).join("L");
    parts.push(`<path class="curve ${CURVES[k].name}" d="M${path}"/>`);
  });
  const losses = CURVES.map(({ loss }) => loss(view.p, view.ratio));
  losses.forEach((loss, k) => {
    const y = toY(height(name, loss, view.p));
    parts.push(`<circle class="${CURVES[k].name}" cx="${here}" cy="${y}" r="4.5"/>`);
  });
  svg.innerHTML = parts.join("");
  const said = CURVES.map((curve, k) => `${labelOf(curve)} ${formatted(losses[k], 3)}`).join(", ");
  const title = byId(`${name}-title`).textContent;
  const point = `p = ${view.p} and ratio = ${view.ratio}`;
  svg.setAttribute("aria-label", `${title}, on log scales. Losses at ${point}: ${said}.`);
}

// Numbers

const DECODERS = [
  ["linear", "linear", "a y + b"],
  ["relu", "ReLU", "of a y + b"],
  ["jumprelu", "JumpReLU", "a y + b if y > θ, else 0"],
  ["topk", "TopK", "θ passes a share p"],
  ["bayes", "Bayes", "E[x | y]"],
  ["oracle", "oracle", "knows what is on"],
];

function writeNumbers() {
  const best = theory.optimum(view.p, view.ratio);
  const losses = theory.decoderLosses(view.p, view.ratio);
  for (const name of ["a", "b", "sigma", "loss"]) show(byId(name), best[name]);
  const antipodal = theory.antipodalLoss(view.p, view.ratio);
  show(byId("antipodal"), antipodal, 4);
  const known = theory.bestKnownLoss(view.p, view.ratio);
  show(byId("best-known"), known, 2);
  for (const [kind] of DECODERS) {
    show(byId(`${kind}-loss`), losses[kind], 5);
    for (const best of ["bayes", "oracle"]) {
      const over = losses[kind] / losses[best];
      show(byId(`${kind}-${best}`), over, over < 1e4 ? 4 : 2);
    }
  }
  const point = `p=${view.p}, ratio=${view.ratio}`;
  byId("python").textContent = `rt.optimum(${point})\nrt.decoder_table(${point})`;
  byId("summary").textContent =
    `At p = ${view.p} and ratio ${view.ratio} the rug loses ${times(best.loss / losses.linear)} ` +
    `what the linear model loses, and antipodal pairs ${times(antipodal / best.loss)} what the ` +
    `rug loses; the best structure known loses ${times(known / best.loss, 2)} it. In place of the rug's ReLU, the best function of one reading would lose ` +
    `${times(losses.bayes / best.loss)} what it loses.`;
}

// The rug

const POSITIVE = [0x00, 0x72, 0xb2];
const NEGATIVE = [0xd5, 0x5e, 0x00];

function drawRug() {
  const { nSparse, nDense, phi } = theory.rug(view.ratio);
  const canvas = byId("rug");
  const context = canvas.getContext("2d");
  const image = context.createImageData(nSparse, nSparse);
  for (let i = 0; i < nSparse; i++) {
    for (let j = 0; j < nSparse; j++) {
      const w = phi[i ^ j];
      const ink = w > 0 ? POSITIVE : NEGATIVE;
      const at = 4 * (i * nSparse + j);
      for (let c = 0; c < 3; c++) image.data[at + c] = 255 + Math.abs(w) * (ink[c] - 255);
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  const units = `${nDense} hidden unit${nDense > 1 ? "s" : ""}`;
  canvas.setAttribute("aria-label", `Weights of a rug of ${nSparse} features in ${units}`);
  byId("rug-note").innerHTML =
    `Weights <i>W</i>/<i>a</i> of ${nSparse} features in ${units}, at this size the nearest to ` +
    `ratio ${view.ratio}. The diagonal is 1, and every row holds the same numbers in another order.`;
}

// What holds it together

let pending = 0;

function refresh() {
  pending ||= requestAnimationFrame(() => {
    pending = 0;
    NAMES.forEach(draw);
    writeNumbers();
    drawRug();
  });
}

let writing = 0;

/** Browsers refuse many changes of the address in a short time. */
function writeHash() {
  clearTimeout(writing);
  writing = setTimeout(() => {
    history.replaceState(null, "", "#" + NAMES.map((name) => `${name}=${view[name]}`).join("&"));
  }, 250);
}

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of NAMES) {
    const text = given.get(name);
    if (text === null) continue;
    const x = Number(text.trim() || NaN);
    if (Number.isFinite(x)) set(name, x);
    if (!valid(name, x)) explain(name, `the address has ${name} = ${text}`);
  }
}

const valid = (name, x) => x >= SCALES[name].min && x <= SCALES[name].max;

/** Marks what was typed, or came with the address, as wrong, and says what would be right. */
function explain(name, given) {
  const { min, max } = SCALES[name];
  byId(`${name}-wrong`).textContent =
    `${name} must be a number from ${min} to ${max}, ${given}; the page shows ${view[name]}.`;
  byId(`${name}-text`).setAttribute("aria-invalid", "true");
}

function accept(name) {
  byId(`${name}-wrong`).textContent = "";
  byId(`${name}-text`).removeAttribute("aria-invalid");
}

function set(name, x) {
  const { min, max, to } = SCALES[name];
  view[name] = clamped(x, min, max);
  const slider = byId(`${name}-slider`);
  slider.value = to(view[name]);
  slider.setAttribute("aria-valuetext", view[name]);
  byId(`${name}-text`).value = view[name];
  accept(name);
  refresh();
}

function change(name, x) {
  set(name, x);
  writeHash();
}

function connect(name) {
  const { from, low, high } = SCALES[name];
  const text = byId(`${name}-text`);
  const slider = byId(`${name}-slider`);
  slider.addEventListener("input", () => change(name, from(slider.valueAsNumber)));
  text.addEventListener("input", () => accept(name));
  text.addEventListener("change", () => {
    const x = Number(text.value.trim() || NaN);
    if (valid(name, x)) change(name, x);
    else explain(name, text.value.trim() ? `got ${text.value.trim()}` : "got nothing");
  });
  const svg = byId(`${name}-plot`);
  const drag = (event) => {
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    change(name, from(low + (high - low) * clamped(share, 0, 1)));
  };
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    drag(event);
  });
  svg.addEventListener("pointermove", (event) => event.buttons && drag(event));
}

function start() {
  byId("decoders").innerHTML = DECODERS.map(
    ([kind, name, about]) =>
      `<tr><th scope="row">${name} <small>${about}</small></th>` +
      ["loss", "bayes", "oracle"].map((x) => `<td><data id="${kind}-${x}"></data></td>`).join("") +
      `</tr>`,
  ).join("");
  for (const list of document.querySelectorAll(".legend")) {
    list.innerHTML = CURVES.map(
      (curve) =>
        `<li><svg aria-hidden="true"><path class="curve ${curve.name}" d="M0 4H30"/></svg>` +
        `${labelOf(curve)}</li>`,
    ).join("");
  }
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  NAMES.forEach(connect);
  for (const name of NAMES) set(name, view[name]);
  readHash();
  addEventListener("hashchange", readHash);
  new ResizeObserver(refresh).observe(byId("ratio-plot"));
}

start();
