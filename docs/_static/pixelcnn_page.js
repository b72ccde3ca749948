/** The page: controls, pictures and sentences. pixelcnn_worker.js computes. */
const [form] = document.forms;
const [image, heat, chart, decoded] = document.querySelectorAll("canvas");
const worker = new Worker("pixelcnn_worker.js", { type: "module" });
const MODELS = { 2: "mnist_classes_integer", 17: "digits_integer", 256: "cifar10_integer" };
const number = (x, digits = 0) => x.toLocaleString("en", { maximumFractionDigits: digits });
const say = (id, text) => { document.getElementById(id).innerHTML = text; };
for (let i = 0; i < 10; i++) {
  const checked = i === 3 ? " checked" : "";
  form.digits.innerHTML += `<label><input type="radio" name="digit" value="${i}"${checked}>${i}</label>`;
}
let model, steps = [], cursor, last, lowest = -1, id = 0, take;

/** Gives the worker a task, which ends the one before; `then` takes its messages. */
function start(name, task, then) {
  const url = new URL(`${document.body.dataset.models}${name}.safetensors`, location).href;
  worker.postMessage({ id: ++id, url, label: +form.digit.value, ...task });
  take = then;
}

worker.onmessage = ({ data }) => data.id === id && take(data);

/** Draws an image, around the pixels that `steps` has. */
function draw() {
  const name = form.model.value, [seed, temperature] = [+form.seed.value, +form.temperature.value];
  const given = Array.from(steps, (step) => step?.value), mask = given.map((x) => x !== undefined);
  say("status", `Loading ${form.model.selectedOptions[0].text} …`);
  form.digits.disabled = name !== MODELS[2];
  start(name, { given, mask, seed, temperature }, (data) => {
    model = data.model ?? model;
    for (const step of data.steps) steps[step.index] = step;
    last = data.steps.at(-1)?.index ?? last;
    paint();
    if (data.error) say("status", data.error);
    else if (data.result) finish(data);
    else say("status", `Drawing pixel ${number(last ?? 0)} of ${number(model.width * model.height)}`);
  });
}

const bitsOf = (step) => step?.bounds
  ? model.totalBits - Math.log2(step.bounds[step.value + 1] - step.bounds[step.value]) : 0;

/** Paints values, the paper white and the ink black, on a canvas. */
function paintValues(canvas, values, { width, height, channels, levels }, x = 0, y = 0) {
  const data = new ImageData(width, height);
  for (let i = 0; i < 4 * width * height; i++) {
    const value = values[(i >> 2) * channels + Math.min(i % 4, channels - 1)];
    const light = (255 * value) / (levels - 1);
    data.data[i] = value === undefined ? 0 : i % 4 === 3 ? 255 : channels === 1 ? 255 - light : light;
  }
  canvas.getContext("2d").putImageData(data, x, y);
}

function paint() {
  const { width, height, channels } = model, bits = Array(width * height).fill(0);
  for (const canvas of [image, heat]) if (canvas.width !== width) Object.assign(canvas, { width, height });
  paintValues(image, steps.map((step) => step?.value), model);
  steps.forEach((step, i) => { bits[Math.floor(i / channels)] += bitsOf(step); });
  const most = Math.max(1, ...bits), data = new ImageData(width, height);
  bits.forEach((x, i) => data.data.set([225, 75, 20, (255 * x) / most], 4 * i));
  heat.getContext("2d").putImageData(data, 0, 0);
  say("most", `0 to ${number(most, 1)} bits per pixel`);
  show(cursor ?? Math.floor(last / channels));
}

/** Shows the probabilities of a pixel. */
function show(pixel) {
  const { width, height, channels } = model, context = chart.getContext("2d");
  const own = steps.slice(pixel * channels, (pixel + 1) * channels).filter((step) => step?.bounds);
  for (const [name, x] of Object.entries({ x: pixel % width, y: Math.floor(pixel / width), width, height })) {
    document.body.style.setProperty(`--${name}`, x);
  }
  context.clearRect(0, 0, chart.width, chart.height);
  own.forEach(({ value, bounds }, channel) => {
    const bar = chart.width / (bounds.length - 1), room = chart.height / channels, y = room * (channel + 1);
    for (let v = 0; v < bounds.length - 1; v++) {
      const tall = ((bounds[v + 1] - bounds[v]) / 2 ** model.totalBits) * (room - 4);
      context.fillStyle = v === value ? "#e14b14" : "#8a94a6";
      context.fillRect(v * bar + bar / 20, y - tall - 2, bar * 0.9, tall + 2);
    }
  });
  const p = own.map(bitsOf).map((bits) => number(2 ** -bits, 3)).join(", ");
  const where = `Row ${Math.floor(pixel / width) + 1}, column ${(pixel % width) + 1}: `;
  const what = `value ${own.map((step) => step.value).join(", ")} had probability ${p}`;
  say("pixel", where + (own.length ? what : "not drawn by the model"));
}

async function finish({ seconds }) {
  const bits = steps.reduce((sum, step) => sum + bitsOf(step), 0), png = await pngBits();
  const kind = model.channels === 1 ? "grey PNG" : "PNG";
  say("status", `<b>${number(bits)} bits</b> by the model, <b>${number(png)} bits</b> as a ${kind}.
    Drawn in ${number(seconds, 1)} s.`);
  image.ariaLabel = `A drawing by ${form.model.selectedOptions[0].text}`;
}

/** Computes the size of the image as a PNG, packed in the fewest bits per pixel. */
async function pngBits() {
  const { width, height, channels, levels } = model;
  if (channels > 1) return 8 * (await new Promise((done) => image.toBlob(done))).size;
  const depth = [1, 2, 4, 8].find((bits) => 2 ** bits >= levels), row = Math.ceil((width * depth) / 8) + 1;
  const raw = new Uint8Array(row * height);
  steps.forEach(({ value }, i) => {
    const bit = (i % width) * depth, at = Math.floor(i / width) * row + 1 + (bit >> 3);
    raw[at] |= value << (8 - depth - (bit & 7));
  });
  const packed = new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate"));
  return 8 * (57 + (await new Response(packed).arrayBuffer()).byteLength);
}

/** Draws or erases at the cursor. */
function stroke() {
  const { width, height, channels, levels } = model, size = Math.round(width / 14);
  const x = Math.min(cursor % width, width - size);
  const y = Math.min(Math.floor(cursor / width), height - size);
  id++;
  for (let i = 0; i < size * size; i++) {
    const pixel = (y + Math.floor(i / size)) * width + x + (i % size);
    for (let index = pixel * channels; index < (pixel + 1) * channels; index++) {
      steps[index] = form.tool.value === "erase" ? undefined : { value: channels > 1 ? 0 : levels - 1 };
      lowest = Math.max(lowest, index);
    }
  }
  paint();
}

/** Lets the model complete the image: what was erased, or all that follows the ink. */
function complete() {
  if (lowest < 0) return;
  if (form.tool.value === "draw") steps.length = lowest + 1;
  lowest = -1;
  draw();
}

function point(event) {
  const { left, top, width, height } = event.target.getBoundingClientRect();
  const along = (x, size, count) => Math.max(0, Math.min(count - 1, Math.floor((x / size) * count)));
  cursor = along(event.clientY - top, height, model.height) * model.width
    + along(event.clientX - left, width, model.width);
  if (event.target === image && event.buttons && form.tool.value !== "look") stroke();
  show(cursor);
}

for (const canvas of [image, heat]) {
  canvas.onpointermove = point;
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); point(event); };
  canvas.onpointerup = complete;
}
image.onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -model.width, ArrowDown: model.width }[event.key];
  const next = (cursor ?? -1) + (step ?? 0);
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (next >= 0 && next < model.width * model.height) cursor = next;
  if (!step && form.tool.value !== "look") stroke(), complete();
  show(cursor ?? 0);
};

async function decode(file) {
  if (file.size > 2 ** 24) return say("file", "This file is too large: over 16 MB.");
  const bytes = new Uint8Array(await file.arrayBuffer()), images = [];
  decoded.hidden = true;
  const at = (place) => new DataView(bytes.slice(place, place + 4).buffer).getUint32(0, true);
  const [count, height, width, levels] = bytes.length < 78 ? [] : [34, 42, 46, 54].map(at);
  const columns = Math.ceil(Math.sqrt(count * height / width));
  let size;
  start(MODELS[levels] ?? MODELS[2], { bytes }, ({ steps, model: own, result, error, seconds }) => {
    if (own) size = { ...own, width, height };
    for (const { i, index, value } of steps) (images[i] ??= [])[index] = value;
    if (decoded.hidden && images.length) {
      Object.assign(decoded, { width: columns * width, height: Math.ceil(count / columns) * height, hidden: false });
    }
    images.forEach((values, i) => paintValues(decoded, values, size, (i % columns) * width, Math.floor(i / columns) * height));
    say("file", error ?? (!result ? `Decoding …` : `<b>${number(bytes.length)} bytes</b> hold
      ${number(count)} images of ${width}×${height} pixels. Decoded in ${number(seconds, 1)} s.`));
  });
}

form.oninput = (event) => {
  if (event.target.name === "tool") return;
  steps = [];
  draw();
};
form.onsubmit = (event) => {
  event.preventDefault();
  form.seed.value = +form.seed.value + 1;
  form.oninput(event);
};
document.getElementById("clear").onclick = () => {
  id++;
  lowest = -1;
  steps = Array.from({ length: model.width * model.height * model.channels }, () => ({ value: 0 }));
  form.tool.value = "draw";
  paint();
};
document.querySelector("[type=file]").onchange = ({ target }) => decode(target.files[0]);
document.getElementById("example").onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) decode(event.dataTransfer.files[0]);
};
draw();
