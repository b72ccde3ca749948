/** The page: controls, pictures and sentences. pixelcnn_worker.js computes. */
const [image, heat, chart] = document.querySelectorAll("canvas"), [form] = document.forms;
const worker = new Worker("pixelcnn_worker.js", { type: "module" });
const NAMES = { 2: "mnist_classes_integer", 17: "digits_integer", 256: "cifar10_integer" };
const round = (x) => Number(x.toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 20 });
const find = (id) => document.getElementById(id);
const say = (id, text) => { find(id).innerHTML = text; };
let model, steps = [], cursor, task = 0, take;
let touched = -1; // the last sub-pixel drawn or erased by the user

for (let digit = 0; digit < 10; digit++) {
  const input = `<input type="radio" name="digit" value="${digit}">${digit}`;
  form.digits.innerHTML += `<label>${input}</label>`;
}
form.digit.value = 3;

/** Gives the worker a task, which ends the one before; `listener` takes its messages. */
function start(name, options, listener) {
  const url = new URL(`${document.body.dataset.models}${name}.safetensors`, location).href;
  worker.postMessage({ id: ++task, url, label: +form.digit.value, ...options });
  take = listener;
}

worker.onmessage = ({ data }) => data.id === task && take(data);

/** Draws the pixels that `steps` lacks. */
function draw() {
  const given = Array.from(steps, (step) => step?.value), mask = given.map((x) => x !== undefined);
  const [seed, temperature] = [+form.seed.value, +form.temperature.value];
  form.digits.disabled = form.model.value !== NAMES[2];
  say("status", `Loading ${form.model.selectedOptions[0].text} …`);
  start(form.model.value, { given, mask, seed, temperature }, (data) => {
    model = data.model ?? model;
    if (data.model || data.error) say("status", data.error ?? "Drawing …");
    for (const step of data.steps) steps[step.index] = step;
    if (data.steps.length) paint(data.steps.at(-1).index);
    if (data.result) finish(data.seconds);
  });
}

function bitsOf({ value, bounds } = {}) {
  return bounds ? model.totalBits - Math.log2(bounds[value + 1] - bounds[value]) : 0;
}

const sum = (several) => several.reduce((total, step) => total + bitsOf(step), 0);
const stepsOf = (pixel) => steps.slice(pixel * model.channels, (pixel + 1) * model.channels);

/** Paints values on a canvas; grey ones are ink on paper. */
function paintValues(canvas, values, { width, height, channels, levels }) {
  const data = new ImageData(width, height), scale = 255 / (levels - 1);
  for (let i = 0; i < data.data.length; i++) {
    const value = values[(i >> 2) * channels + Math.min(i % 4, channels - 1)];
    const colour = channels > 1 ? scale * value : 255 - scale * value;
    if (value !== undefined) data.data[i] = i % 4 === 3 ? 255 : colour;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
}

function paint(last) {
  const { width, height, channels } = model, data = new ImageData(width, height);
  if (image.width !== width) for (const one of [image, heat]) Object.assign(one, { width, height });
  paintValues(image, steps.map((step) => step?.value), model);
  const bits = Array.from({ length: width * height }, (_, i) => sum(stepsOf(i)));
  const most = Math.max(1, ...bits);
  bits.forEach((x, i) => data.data.set([225, 75, 20, (255 * x) / most], 4 * i));
  heat.getContext("2d").putImageData(data, 0, 0);
  say("scale", `0 to ${round(most)} bits per pixel`);
  show(cursor ?? (last === undefined ? bits.indexOf(most) : Math.floor(last / channels)));
}

/** Shows the probabilities of a pixel. */
function show(pixel) {
  const own = stepsOf(pixel).filter((step) => step?.bounds), context = chart.getContext("2d");
  const { width, height } = model, x = pixel % width, y = Math.floor(pixel / width);
  const { style } = document.body, place = Object.entries({ x, y, width, height });
  for (const [name, number] of place) style.setProperty(`--${name}`, number);
  Object.assign(context, { font: "24px system-ui", textAlign: "center" });
  context.clearRect(0, 0, chart.width, chart.height);
  own.forEach(({ value, bounds }, channel) => {
    const count = bounds.length - 1, bar = Math.min(100, chart.width / count);
    const room = chart.height / own.length, bottom = room * (channel + 1) - 30;
    const left = (chart.width - count * bar) / 2;
    for (let v = 0; v < count; v++) {
      const p = (bounds[v + 1] - bounds[v]) / 2 ** model.totalBits, x = left + v * bar;
      const tall = Math.max(2, p * (room - 70));
      context.fillStyle = v === value ? "#e14b14" : "#8a94a6";
      context.fillRect(x + bar * 0.05, bottom - tall, bar * 0.9, tall);
      if (count < 99) context.fillText(v, x + bar / 2, bottom + 25);
      if (count < 9) context.fillText(`${round(100 * p)} %`, x + bar / 2, bottom - tall - 9);
    }
  });
  const about = `value ${own.map((step) => step.value).join(", ")}, probability
    ${round(2 ** -sum(own))}, ${round(sum(own))} bits`;
  say("pixel", `Row ${y + 1}, column ${x + 1}: ${own.length ? about : "not drawn yet"}`);
}

async function finish(seconds) {
  const png = await pngBits(), kind = model.channels > 1 ? "PNG" : "grey PNG";
  say("status", `<b>${Math.round(sum(steps)).toLocaleString("en")} bits</b> by the model,
    <b>${png.toLocaleString("en")}</b> as a ${kind}. Drawn in ${round(seconds)} s.`);
  paint();
}

/** Computes the size of the image as a PNG; grey values are packed in the fewest bits. */
async function pngBits() {
  const { width, height, channels, levels } = model, depth = levels > 16 ? 8 : levels > 2 ? 4 : 1;
  if (channels > 1) return 8 * (await new Promise((resolve) => image.toBlob(resolve))).size;
  const row = 1 + Math.ceil((width * depth) / 8), data = new Uint8Array(row * height);
  steps.forEach(({ value }, i) => {
    const bit = (i % width) * depth, at = Math.floor(i / width) * row + 1 + (bit >> 3);
    data[at] |= value << (8 - depth - (bit & 7));
  });
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return 8 * (57 + (await new Response(packed).arrayBuffer()).byteLength);
}

/** Draws or erases a square at the cursor. */
function stroke() {
  const { width, height, channels, levels } = model, size = Math.round(width / 14);
  const column = Math.min(cursor % width, width - size);
  const row = Math.min(Math.floor(cursor / width), height - size);
  const step = form.tool.value === "draw" ? { value: channels > 1 ? 0 : levels - 1 } : undefined;
  task++;
  for (let i = 0; i < size * size; i++) {
    const at = ((row + Math.floor(i / size)) * width + column + (i % size)) * channels;
    for (let channel = 0; channel < channels; channel++) steps[at + channel] = step;
    touched = Math.max(touched, at + channels - 1);
  }
  paint();
}

/** Lets the model draw what was erased, or all that follows the ink. */
function complete() {
  if (touched < 0) return;
  if (form.tool.value === "draw") steps.length = touched + 1;
  touched = -1;
  draw();
}

function point({ target, clientX, clientY, buttons }) {
  if (!model) return;
  const { left, top, width, height } = target.getBoundingClientRect();
  const cell = (share, size) => Math.floor(Math.max(0, Math.min(0.999, share)) * size);
  const row = cell((clientY - top) / height, model.height);
  cursor = row * model.width + cell((clientX - left) / width, model.width);
  if (target === image && buttons && form.tool.value !== "look") stroke();
  show(cursor);
}

/** Decodes a file by the model of its levels, and paints its images side by side. */
async function decode(file) {
  const bytes = new Uint8Array(await file.slice(0, 2 ** 24).arrayBuffer()), images = [];
  const read = (at) => bytes[at] + 256 * bytes[at + 1];
  const [count, height, width, levels] = [34, 42, 46, 54].map(read), decoded = find("decoded");
  let shape;
  decoded.replaceChildren();
  start(NAMES[levels] ?? NAMES[2], { bytes }, ({ model, steps, error, result, seconds }) => {
    shape ??= { ...model, width, height };
    for (const { i, index, value } of steps) {
      images[i] ??= { values: [], canvas: document.createElement("canvas") };
      images[i].values[index] = value;
    }
    for (const { canvas, values } of images) {
      if (!canvas.parentNode) decoded.append(Object.assign(canvas, { width, height }));
      paintValues(canvas, values, shape);
    }
    if (model || error) say("file", error ?? "Decoding …");
    if (result) say("file", `<b>${bytes.length.toLocaleString("en")} bytes</b> hold ${count} images
      of ${width}×${height} pixels. Decoded in ${round(seconds)} s.`);
  });
}

for (const one of [image, heat]) one.onpointermove = one.onpointerdown = point;
onpointerup = image.onkeyup = complete;
image.onkeydown = (event) => {
  const { width, height } = model ?? {};
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width, " ": 0 };
  const move = moves[event.key];
  if (!model || move === undefined) return;
  event.preventDefault();
  cursor = Math.max(0, Math.min(width * height - 1, (cursor ?? 0) + move));
  if (!move && form.tool.value !== "look") stroke();
  show(cursor);
};
form.oninput = ({ target }) => {
  if (target.name === "tool") return;
  [steps, cursor] = [[], undefined];
  draw();
};
form.onsubmit = (event) => {
  event.preventDefault();
  form.seed.value++;
  form.oninput(event);
};
find("clear").onclick = () => {
  const { width, height, channels, levels } = model, value = channels > 1 ? levels - 1 : 0;
  task++;
  steps = Array.from({ length: width * height * channels }, () => ({ value }));
  form.tool.value = "draw";
  paint();
};
find("choose").onchange = ({ target }) => decode(target.files[0]);
find("example").onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
ondragover = (event) => event.preventDefault();
ondrop = (event) => {
  event.preventDefault();
  for (const file of event.dataTransfer.files) decode(file);
};
draw();
