/** The page: controls, pictures and sentences. pixelcnn_worker.js computes. */
const parts = [...document.querySelectorAll("[id]")].map((part) => [part.id, part]);
const { form, image, heat, chart, decoded, ...texts } = Object.fromEntries(parts);
const worker = new Worker("pixelcnn_worker.js", { type: "module" });
const NAMES = { 2: "mnist_classes_integer", 17: "digits_integer", 256: "cifar10_integer" };
const number = (x, digits = 0) => x.toLocaleString("en", { maximumSignificantDigits: digits || 21 });
let model, steps = [], cursor, task = 0, take;
let touched = -1; // the last sub-pixel that was drawn or erased

for (let digit = 0; digit < 10; digit++) {
  const input = `<input type="radio" name="digit" value="${digit}" ${digit === 3 ? "checked" : ""}>`;
  form.digits.innerHTML += `<label>${input}${digit}</label>`;
}

function say(id, text) {
  if (texts[id].innerHTML !== text) texts[id].innerHTML = text;
}

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
  const options = { given, mask, seed: +form.seed.value, temperature: +form.temperature.value };
  form.digits.disabled = form.model.value !== NAMES[2];
  say("status", `Loading ${form.model.selectedOptions[0].text} …`);
  start(form.model.value, options, (data) => {
    model = data.model ?? model;
    for (const step of data.steps) steps[step.index] = step;
    say("status", data.error ?? "Drawing …");
    if (data.steps.length) paint(data.steps.at(-1).index);
    if (data.result) finish(data.seconds);
  });
}

function bitsOf({ value, bounds } = {}) {
  return bounds ? model.totalBits - Math.log2(bounds[value + 1] - bounds[value]) : 0;
}

/** Paints values on a canvas; grey ones as ink on paper. */
function paintValues(canvas, values, { width, height, channels, levels }, x = 0, y = 0) {
  const data = new ImageData(width, height);
  for (let i = 0; i < 4 * width * height; i++) {
    const value = values[(i >> 2) * channels + Math.min(i % 4, channels - 1)];
    const light = (255 * value) / (levels - 1), colour = channels > 1 ? light : 255 - light;
    if (value !== undefined) data.data[i] = i % 4 === 3 ? 255 : colour;
  }
  canvas.getContext("2d").putImageData(data, x, y);
}

function paint(last) {
  const { width, height, channels } = model, bits = Array(width * height).fill(0);
  for (const canvas of [image, heat]) if (canvas.width !== width) Object.assign(canvas, { width, height });
  paintValues(image, steps.map((step) => step?.value), model);
  steps.forEach((step, i) => { bits[Math.floor(i / channels)] += bitsOf(step); });
  const most = Math.max(1, ...bits), data = new ImageData(width, height);
  bits.forEach((x, i) => data.data.set([225, 75, 20, (255 * x) / most], 4 * i));
  heat.getContext("2d").putImageData(data, 0, 0);
  say("scale", `0 to ${number(most, 2)} bits per pixel`);
  show(cursor ?? (last === undefined ? bits.indexOf(most) : Math.floor(last / channels)));
}

/** Shows the probabilities of a pixel. */
function show(pixel) {
  const { width, height, channels, totalBits } = model, context = chart.getContext("2d");
  const own = steps.slice(pixel * channels, (pixel + 1) * channels).filter((step) => step?.bounds);
  const place = { x: pixel % width, y: Math.floor(pixel / width), width, height };
  for (const name in place) document.body.style.setProperty(`--${name}`, place[name]);
  Object.assign(context, { font: "24px system-ui", textAlign: "center" });
  context.clearRect(0, 0, chart.width, chart.height);
  own.forEach(({ value, bounds }, channel) => {
    const count = bounds.length - 1, room = chart.height / channels, y = room * (channel + 1) - 30;
    const step = Math.min(100, chart.width / count), left = (chart.width - step * count) / 2;
    for (let v = 0; v < count; v++) {
      const p = (bounds[v + 1] - bounds[v]) / 2 ** totalBits, x = left + v * step;
      context.fillStyle = v === value ? "#e14b14" : "#8a94a6";
      context.fillRect(x + step * 0.05, y, step * 0.9, -Math.max(2, p * (room - 70)));
      if (count < 99) context.fillText(v, x + step / 2, y + 25);
      if (count < 9) context.fillText(`${number(100 * p, 2)} %`, x + step / 2, y - p * (room - 70) - 10);
    }
  });
  const bits = own.reduce((sum, step) => sum + bitsOf(step), 0);
  const values = own.map((step) => step.value).join(", ");
  const about = own.length ? `value ${values}, probability ${number(2 ** -bits, 2)}, ${number(bits, 2)} bits` : "yours";
  say("pixel", `Row ${place.y + 1}, column ${place.x + 1}: ${about}`);
}

async function finish(seconds) {
  const bits = number(Math.round(steps.reduce((sum, step) => sum + bitsOf(step), 0)));
  const kind = model.channels > 1 ? "PNG" : "grey PNG", png = number(await pngBits());
  say("status", `<b>${bits} bits</b> by the model, <b>${png}</b> as a ${kind}.
    Drawn in ${number(seconds, 2)} s.`);
  paint();
}

/** Computes the size of the image as a PNG; grey values are packed in the fewest bits. */
async function pngBits() {
  const { width, height, channels, levels } = model;
  if (channels > 1) return 8 * (await new Promise((resolve) => image.toBlob(resolve))).size;
  const depth = levels > 16 ? 8 : levels > 4 ? 4 : levels > 2 ? 2 : 1;
  const row = 1 + Math.ceil((width * depth) / 8), data = new Uint8Array(row * height);
  steps.forEach(({ value }, i) => {
    const bit = (i % width) * depth;
    data[Math.floor(i / width) * row + 1 + (bit >> 3)] |= value << (8 - depth - (bit & 7));
  });
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return 8 * (57 + (await new Response(packed).arrayBuffer()).byteLength);
}

/** Draws or erases the pixels at the cursor. */
function stroke() {
  const { width, height, channels, levels } = model, size = Math.round(width / 14);
  const x = Math.min(cursor % width, width - size), y = Math.min(Math.floor(cursor / width), height - size);
  task++;
  for (let i = 0; i < size * size * channels; i++) {
    const place = Math.floor(i / channels), row = y + Math.floor(place / size), column = x + (place % size);
    const index = (row * width + column) * channels + (i % channels);
    steps[index] = form.tool.value === "draw" ? { value: channels > 1 ? 0 : levels - 1 } : undefined;
    touched = Math.max(touched, index);
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

function point(event) {
  const box = event.target.getBoundingClientRect(), clip = (x) => Math.max(0, Math.min(0.999, x));
  const x = clip((event.clientX - box.left) / box.width), y = clip((event.clientY - box.top) / box.height);
  if (!model) return;
  cursor = Math.floor(y * model.height) * model.width + Math.floor(x * model.width);
  if (event.target === image && event.buttons && form.tool.value !== "look") stroke();
  show(cursor);
}

/** Decodes a file by the model of its levels, and paints its images in a grid. */
async function decode(file) {
  const bytes = new Uint8Array(await file.slice(0, 2 ** 24).arrayBuffer()), images = [];
  const at = (place) => bytes[place] + 256 * bytes[place + 1];
  const [count, height, width] = [34, 42, 46].map(at), columns = Math.ceil(Math.sqrt(3 * count));
  let shape;
  decoded.hidden = true;
  start(NAMES[at(54)] ?? NAMES[2], { bytes }, (data) => {
    shape ??= { ...data.model, width, height };
    for (const { i, index, value } of data.steps) (images[i] ??= [])[index] = value;
    if (decoded.hidden && images.length) {
      decoded.width = Math.min(count, columns) * (width + 1);
      decoded.height = Math.ceil(count / columns) * (height + 1);
      decoded.hidden = false;
    }
    images.forEach((values, i) => {
      const x = (i % columns) * (width + 1), y = Math.floor(i / columns) * (height + 1);
      paintValues(decoded, values, shape, x, y);
    });
    say("file", data.error ?? (data.result ? `<b>${number(bytes.length)} bytes</b> hold ${count} images of
      ${width}×${height} pixels. Decoded in ${number(data.seconds, 2)} s.` : "Decoding …"));
  });
}

for (const canvas of [image, heat]) Object.assign(canvas, { onpointermove: point, onpointerdown: point });
onpointerup = complete;
image.onkeydown = (event) => {
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -model.width, ArrowDown: model.width, " ": 0 };
  const move = moves[event.key];
  if (move === undefined) return;
  event.preventDefault();
  cursor = Math.max(0, Math.min(model.width * model.height - 1, (cursor ?? 0) + move));
  show(cursor);
  if (!move && form.tool.value !== "look") stroke();
};
image.onkeyup = complete;
form.oninput = ({ target }) => {
  if (target.name === "tool") return;
  steps = [];
  cursor = undefined;
  draw();
};
form.onsubmit = (event) => {
  event.preventDefault();
  form.seed.value++;
  form.oninput(event);
};
texts.clear.onclick = () => {
  task++;
  steps = Array.from(steps, () => ({ value: 0 }));
  form.tool.value = "draw";
  paint();
};
texts.choose.onchange = ({ target }) => decode(target.files[0]);
texts.example.onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
ondragover = (event) => event.preventDefault();
ondrop = (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) decode(event.dataTransfer.files[0]);
};
draw();
