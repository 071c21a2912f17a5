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
  const text = n >= -3 && n < 5 ? x.toPrecision(digits) : `${mantissa} × ${power(n)}`;
  return text.replace(/^-/, "−");
}

function show(element, x, digits = 6) {
  element.value = x;
  element.textContent = formatted(x, digits);
}

/** A share or a multiple, as one says it. */
function times(x) {
  if (x < 0.01) return `${formatted(100 * x, 2)} %`;
  return x < 0.9995 ? `${(100 * x).toPrecision(3)} %` : `${x.toPrecision(4)} times`;
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
    ticks: Array.from({ length: 9 }, (_, k) => [k - 8, k === 8 ? "1" : power(k - 8)]),
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
      [-3, "0.001"],
      [-2, "0.01"],
      [Math.log10(1 / 9), "0.1"],
      [0, "½"],
      [Math.log10(9), "0.9"],
      [Math.log10(99), "0.99"],
      [Math.log10(999), "0.999"],
      [4, "1−10⁻⁴"],
      [5, "1−10⁻⁵"],
      [6, "1−10⁻⁶"],
    ],
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
];

/** Losses against one parameter at the other's value: for each curve the log₁₀ at each position. */
function curvesAlong(name) {
  const { low, high, min, max } = SCALES[name];
  const positions = Array.from({ length: POINTS }, (_, k) => low + ((high - low) * k) / (POINTS - 1));
  const values = positions.map((s) =>
    clamped(name === "p" ? 10 ** s : 1 / (1 + 10 ** -s), min, max),
  );
  return CURVES.map(({ loss }) =>
    values.map((x, k) => [positions[k], Math.log10(loss(...pointAt(name, x)))]),
  );
}

/** (p, ratio) of the view with one of them replaced. */
const pointAt = (name, x) => NAMES.map((other) => (other === name ? x : view[other]));

const MARGIN = { left: 48, right: 14, top: 14, bottom: 40 };

function draw(name) {
  const svg = byId(`${name}-plot`);
  const { width, height } = svg.getBoundingClientRect();
  if (!width) return;
  const scale = SCALES[name];
  const curves = curvesAlong(name);
  const all = curves.flat().map(([, y]) => y);
  const top = Math.ceil(Math.max(...all));
  const step = Math.ceil((top - Math.floor(Math.min(...all))) / 7);
  const bottom = top - step * Math.ceil((top - Math.min(...all)) / step);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const toX = (s) => MARGIN.left + (inner.width * (s - scale.low)) / (scale.high - scale.low);
  const toY = (y) => MARGIN.top + (inner.height * (top - y)) / (top - bottom);
  const floor = MARGIN.top + inner.height;
  const parts = [];

  for (let y = bottom; y <= top; y += step) {
    parts.push(
      `<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${toY(y)}" y2="${toY(y)}"/>`,
      `<text x="${MARGIN.left - 7}" y="${toY(y) + 4}" text-anchor="end">${y ? power(y) : "1"}</text>`,
    );
  }
  let free = -Infinity;
  for (const [s, label] of scale.ticks) {
    const x = toX(s);
    parts.push(`<line class="axis" x1="${x}" x2="${x}" y1="${floor}" y2="${floor + 4}"/>`);
    const half = 3.6 * label.length;
    const middle = Math.min(x, width - half);
    if (middle - half > free) {
      parts.push(`<text x="${middle}" y="${floor + 18}" text-anchor="middle">${label}</text>`);
      free = middle + half + 4;
    }
  }
  parts.push(
    `<line class="axis" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${floor}" y2="${floor}"/>`,
    `<text x="${MARGIN.left + inner.width / 2}" y="${height - 5}" text-anchor="middle">${name}</text>`,
  );

  const here = toX(scale.to(view[name]));
  parts.push(`<line class="here" x1="${here}" x2="${here}" y1="${MARGIN.top}" y2="${floor}"/>`);
  curves.forEach((points, k) => {
    const path = points.map(([s, y]) => `${toX(s).toFixed(1)} ${toY(y).toFixed(1)}`).join("L");
    parts.push(`<path class="curve ${CURVES[k].name}" d="M${path}"/>`);
  });
  const losses = CURVES.map(({ loss }) => loss(view.p, view.ratio));
  losses.forEach((loss, k) => {
    const y = toY(Math.log10(loss));
    parts.push(`<circle class="${CURVES[k].name}" cx="${here}" cy="${y}" r="4.5"/>`);
  });
  svg.innerHTML = parts.join("");
  const said = CURVES.map((curve, k) => `${curve.name} ${formatted(losses[k], 3)}`).join(", ");
  svg.setAttribute(
    "aria-label",
    `Loss per feature against ${name}, both on log scales. At p = ${view.p} and ratio = ${view.ratio}: ${said}.`,
  );
}

// Numbers

const DECODERS = [
  ["linear", "linear", "a y + b"],
  ["relu", "ReLU", "of a y + b"],
  ["jumprelu", "JumpReLU", "a y + b if y > θ, else 0"],
  ["topk", "TopK", "the same, θ passing a share p"],
  ["bayes", "Bayes", "E[x | y]"],
  ["oracle", "oracle", "told what is on"],
];

function writeNumbers() {
  const best = theory.optimum(view.p, view.ratio);
  const losses = theory.decoderLosses(view.p, view.ratio);
  for (const name of ["a", "b", "sigma", "loss"]) show(byId(name), best[name]);
  const antipodal = theory.antipodalLoss(view.p, view.ratio);
  show(byId("antipodal"), antipodal, 4);
  for (const [kind] of DECODERS) {
    show(byId(`${kind}-loss`), losses[kind], 5);
    show(byId(`${kind}-bayes`), losses[kind] / losses.bayes, 4);
    show(byId(`${kind}-oracle`), losses[kind] / losses.oracle, 4);
  }
  byId("python").textContent = `rt.optimum(p=${view.p}, ratio=${view.ratio})`;
  byId("summary").textContent =
    `At p = ${view.p} and ratio ${view.ratio} the rug loses ${times(best.loss / losses.linear)} ` +
    `of what the linear model does; antipodal pairs lose ${times(antipodal / best.loss)} of what ` +
    `the rug does, and the best possible decoder of the rug's readings ` +
    `${times(losses.bayes / best.loss)}.`;
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
    `Weights <i>W</i>/<i>a</i> of ${nSparse} features in ${units}, ` +
    `${nDense} rows of a Hadamard matrix: the diagonal is 1, and every row holds the same ` +
    `numbers in another order.`;
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
    const x = Number(given.get(name));
    if (given.get(name) && Number.isFinite(x)) set(name, x);
  }
}

function set(name, x) {
  const { min, max, to } = SCALES[name];
  view[name] = clamped(x, min, max);
  const slider = byId(`${name}-slider`);
  slider.value = to(view[name]);
  slider.setAttribute("aria-valuetext", view[name]);
  byId(`${name}-text`).value = view[name];
  byId(`${name}-text`).setCustomValidity("");
  refresh();
}

function change(name, x) {
  set(name, x);
  writeHash();
}

function connect(name) {
  const { min, max, from, low, high } = SCALES[name];
  const text = byId(`${name}-text`);
  const slider = byId(`${name}-slider`);
  slider.addEventListener("input", () => change(name, from(slider.valueAsNumber)));
  text.addEventListener("input", () => text.setCustomValidity(""));
  text.addEventListener("change", () => {
    const x = Number(text.value.trim() || NaN);
    if (x >= min && x <= max) {
      change(name, x);
    } else {
      text.setCustomValidity(`${name} must lie between ${min} and ${max}`);
      text.reportValidity();
    }
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
      ({ name }) =>
        `<li><svg aria-hidden="true"><path class="curve ${name}" d="M0 4H30"/></svg>${name}</li>`,
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
