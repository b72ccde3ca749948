/** The page: controls, pictures and sentences. */
import { load } from "./pixelcnn.js";

const [image, heat] = document.querySelectorAll("canvas"), [form] = document.forms;
const { models, digits, settings, tool, seed, temperature, status, file } = form.elements;
const [scale, chart, caption, decoded] = document.querySelectorAll("figcaption[id], div");
const format = (x, digits) => x.toLocaleString("en", { maximumSignificantDigits: digits });
const loaded = {}, tasks = {};
let model = { height: 28, width: 28, channels: 1, levels: 2 };
let steps = [], cursor, touched = 0; // drawn sub-pixels, the shown pixel, end of the user's strokes

const choice = (x) => `<label><input type="radio" name="digit" value="${x}">${x}</label>`;
digits.innerHTML += [...Array(10).keys()].map(choice).join("");
form.digit.value = 3;

/** Runs a task in place of the last one of `output`, which then never resumes from a pause. */
async function run(output, { text, value: url }, task) {
  const id = tasks[output.id] = {};
  let due = 0;
  const pause = async (paint) => {
    if (performance.now() < due) return;
    await new Promise((resume) => setTimeout(() => tasks[output.id] === id && resume()));
    paint();
    due = performance.now() + 30;
  };
  output.textContent = `Loading ${text} …`;
  try {
    const model = await (loaded[url] ??= load(`${url}.safetensors`));
    await pause(() => (output.textContent = "Computing …"));
    const start = performance.now(), result = await task(model, pause);
    output.innerHTML = `${result} in ${format((performance.now() - start) / 1000, 2)} s.`;
  } catch ({ message }) {
    if (tasks[output.id] === id) output.textContent = message;
  }
}

/** Lets the model draw the pixels that `steps` lacks. */
function draw() {
  run(status, models.selectedOptions[0], async (selected, pause) => {
    model = selected;
    digits.disabled = !model.classes;
    const onPixel = (step) => {
      steps[step.index] = { ...step, bits: -Math.log2(step.probabilities[step.value]) };
      return pause(paint);
    };
    const options = { label: +form.digit.value, given: steps.map((step) => step?.value), onPixel };
    await model.sample({ ...options, seed: +seed.value, temperature: +temperature.value });
    paint();
    return `<b>${format(Math.round(bitsOf(steps)))} bits</b> by the model,
      <b>${format(await pngBits())}</b> as a PNG. Drawn`;
  });
}

/** Counts the bits of a PNG without filters, its values packed in the fewest bits. */
async function pngBits() {
  const depth = model.levels > 2 ? 8 : 1, size = model.width * model.channels * depth;
  const bits = steps.map(({ value }) => value.toString(2).padStart(depth, 0)).join("");
  const pack = (row) => row.match(/.{1,8}/g).map((byte) => parseInt(byte.padEnd(8, 0), 2));
  const bytes = bits.match(RegExp(`.{${size}}`, "g")).flatMap((row) => [0, ...pack(row)]);
  const packed = new Blob([Uint8Array.from(bytes)]).stream();
  const stream = packed.pipeThrough(new CompressionStream("deflate"));
  return 8 * (57 + (await new Response(stream).arrayBuffer()).byteLength);
}

const stepsOf = (i) => steps.slice(i * model.channels, (i + 1) * model.channels).filter(Boolean);
const bitsOf = (several) => several.reduce((sum, { bits }) => sum + bits, 0);
const ink = () => (model.channels > 1 ? 0 : model.levels - 1);

/** Fills a pixel of a canvas. */
function fill(canvas, at, fillStyle) {
  const context = Object.assign(canvas.getContext("2d"), { fillStyle });
  context.fillRect(at % canvas.width, Math.floor(at / canvas.width), 1, 1);
}

/** Shows the values of an image; grey ones are ink on paper. */
function show(canvas, values, { width, height, channels, levels }) {
  Object.assign(canvas, { width, height });
  const shades = values.map((x) => (255 * (channels > 1 ? x : levels - 1 - x)) / (levels - 1));
  for (let at = 0; at < width * height; at++) {
    const [red, green = red, blue = red] = shades.slice(at * channels, (at + 1) * channels);
    if (blue >= 0) fill(canvas, at, `rgb(${red} ${green} ${blue})`);
  }
}

/** Shows the image, its bits, and the probabilities of the cursor or the most surprising pixel. */
function paint() {
  const { width, height, levels } = model;
  const pixels = Array.from({ length: width * height }, (_, i) => stepsOf(i));
  const bits = pixels.map(bitsOf), most = Math.max(...bits), at = cursor ?? bits.indexOf(most);
  show(image, steps.map((step) => step?.value), model);
  Object.assign(heat, { width, height });
  bits.forEach((x, i) => fill(heat, i, `rgb(225 75 20 / ${x / Math.max(1, most)})`));
  for (const canvas of [image, heat]) fill(canvas, at, "#06fa");
  scale.textContent = `0 to ${format(Math.max(1, most), 2)} bits per pixel`;
  const drawn = pixels[at].filter((step) => step.probabilities);
  const about = `value ${drawn.map((step) => step.value).join(", ")}, probability
    ${format(2 ** -bits[at], 2)}, ${format(bits[at], 2)} bits`;
  caption.textContent = `Row ${Math.floor(at / width) + 1}, column ${(at % width) + 1}:
    ${drawn.length ? about : "not drawn by the model"}`;
  const bar = ({ value, probabilities }) => (p, v) => {
    const label = levels < 9 ? `${v}: ${format(100 * p, 2)} %` : levels < 99 ? v : "";
    const height = (100 * p) / Math.max(...probabilities), tag = v === value ? "b" : "i";
    return `<${tag} title="${label}" style="height: ${height}%"></${tag}>`;
  };
  const row = (step) => `<p>${step.probabilities.map(bar(step)).join("")}</p>`;
  chart.innerHTML = drawn.map(row).join("");
}

/** Moves the cursor; the tool draws or erases two by two pixels there. */
function move(pixel, isPressed) {
  const { width, height, channels } = model, column = Math.min(pixel % width, width - 2);
  const start = Math.min(Math.floor(pixel / width), height - 2) * width + column;
  cursor = pixel;
  if (isPressed && tool.value !== "look") {
    const step = tool.value === "draw" ? { value: ink(), bits: 0 } : undefined;
    delete tasks.status;
    steps.length = width * height * channels;
    for (const at of [start, start + width]) steps.fill(step, at * channels, (at + 2) * channels);
    touched = Math.max(touched, (start + width + 2) * channels);
  }
  paint();
}

/** Decodes a file by the model of its levels, and shows its images side by side. */
async function decode(blob) {
  const bytes = new Uint8Array(await blob.slice(0, 2 ** 24).arrayBuffer());
  const levels = bytes[54] + 256 * bytes[55];
  decoded.replaceChildren();
  run(file, models[{ 17: 1, 256: 2 }[levels] ?? 0], async (model, pause) => {
    const onPixel = ({ index }) => pause(() => (file.textContent = `Sub-pixel ${index + 1} …`));
    const { images, ...size } = await model.decode(bytes, +form.digit.value, { onPixel });
    decoded.append(...images.map(() => document.createElement("canvas")));
    images.forEach((values, i) => show(decoded.children[i], values, { ...model, ...size }));
    return `<b>${format(bytes.length)} bytes</b> hold ${images.length} images
      of ${size.width}×${size.height} pixels. Decoded`;
  });
}

image.onpointermove = image.onpointerdown = heat.onpointermove = (event) => {
  const { target, offsetX, offsetY, buttons } = event, { width, height, clientWidth } = target;
  const clip = (offset) => Math.min(Math.max(offset / clientWidth, 0), 0.999);
  const row = Math.floor(clip(offsetY) * height), column = Math.floor(clip(offsetX) * width);
  move(row * width + column, buttons && target === image);
};
image.onkeydown = ({ key, target: { width, height } }) => {
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width, " ": 0 };
  const to = (cursor ?? 0) + moves[key], isInside = to >= 0 && to < width * height;
  if (isInside) move(to, key === " ");
  return !isInside;
};
onpointerup = image.onkeyup = () => {
  if (touched && tool.value === "draw") steps.length = touched;
  if (touched && tool.value === "erase") seed.value++; // the last one would draw the same again
  if (touched) draw();
  touched = 0;
};
digits.oninput = settings.oninput = () => {
  [steps, cursor] = [[], undefined];
  draw();
};
form.onsubmit = () => {
  seed.value++;
  settings.oninput();
  return false;
};
form.clear.onclick = () => {
  const { width, height, channels, levels } = model;
  delete tasks.status;
  steps = Array(width * height * channels).fill({ value: levels - 1 - ink(), bits: 0 });
  tool.value = "draw";
  paint();
};
form.choose.onchange = ({ target }) => decode(target.files[0]);
form.example.onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
draw();
