/** The page: controls, pictures and sentences. pixelcnn_worker.js computes. */
import { NO_LABEL } from "./pixelcnn.js";

const [image, heat] = document.querySelectorAll("canvas"), [form] = document.forms;
const { models, digits, settings, tool, seed, temperature, status, file } = form.elements;
const [scale, chart, pixel, decoded] = document.querySelectorAll("figcaption[id], div");
const format = (x) => x.toLocaleString("en", { maximumSignificantDigits: 2 });
const workers = {};
let size = { height: 28, width: 28, channels: 1, levels: 2 };
let steps = [], cursor, touched = 0; // drawn sub-pixels, the shown pixel, end of the user's strokes

const choice = (x) => `<label><input type="radio" name="digit" value="${x}">${x}</label>`;
digits.innerHTML += [...Array(10).keys()].map(choice).join("");
form.digit.value = 3;

/** Gives a task to a new worker, in place of the last one that wrote to `output`. */
function compute(output, option, options, listen) {
  workers[output.id]?.terminate();
  const worker = workers[output.id] = new Worker("pixelcnn_worker.js", { type: "module" });
  output.textContent = `Loading ${option.text} …`;
  worker.onmessage = ({ data }) => {
    if (data.error || data.size) output.textContent = data.error ?? "Computing …";
    listen(data);
  };
  worker.postMessage({ url: `${option.value}.safetensors`, label: +form.digit.value, ...options });
}

/** Lets the model draw the pixels that `steps` lacks. */
function draw() {
  const given = steps.map((step) => step?.value);
  const options = { given, seed: +seed.value, temperature: +temperature.value };
  compute(status, models.selectedOptions[0], options, (data) => {
    size = data.size ?? size;
    digits.disabled = !size.classes;
    for (const step of data.steps) steps[step.index] = step;
    paint();
    if (data.seconds) finish(data.seconds);
  });
}

/** Says the bits of the model and of a PNG, whose values are packed in the fewest bits. */
async function finish(seconds) {
  const depth = size.levels > 2 ? 8 : 1, length = size.width * size.channels * depth;
  const bits = steps.map(({ value }) => value.toString(2).padStart(depth, 0)).join("");
  const pack = (row) => [0, ...row.match(/.{1,8}/g).map((x) => parseInt(x.padEnd(8, 0), 2))];
  const data = Uint8Array.from(bits.match(RegExp(`.{${length}}`, "g")).flatMap(pack));
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  const png = 8 * (57 + (await new Response(packed).arrayBuffer()).byteLength);
  status.innerHTML = `<b>${Math.round(bitsOf(steps)).toLocaleString("en")} bits</b> by the model,
    <b>${png.toLocaleString("en")}</b> as a PNG. Drawn in ${format(seconds)} s.`;
}

const stepsOf = (at) => steps.slice(at * size.channels, (at + 1) * size.channels);
const probabilityOf = (step) => step?.probabilities?.[step.value] ?? 1;
const bitsOf = (several) => several.reduce((sum, step) => sum - Math.log2(probabilityOf(step)), 0);
const ink = () => (size.channels > 1 ? 0 : size.levels - 1);

/** Fills a canvas by the colour of each pixel, and marks one of them. */
function fill(canvas, { width, height }, colourOf, mark) {
  const bytes = Array.from({ length: width * height }, (_, i) => colourOf(i)).flat();
  const context = Object.assign(canvas, { width, height }).getContext("2d");
  context.putImageData(new ImageData(Uint8ClampedArray.from(bytes), width), 0, 0);
  context.fillStyle = "#06fa";
  context.fillRect(mark % width, Math.floor(mark / width), 1, 1);
}

/** Makes colours of values: grey ones are ink on paper, absent ones transparent. */
const colours = (values, { channels, levels }) => (i) => {
  const own = [0, 1, 2].map((c) => values[i * channels + (c % channels)]);
  const shades = own.map((x) => 255 * (channels > 1 ? x : levels - 1 - x) / (levels - 1));
  return [...shades, own.includes(undefined) ? 0 : 255];
};

/** Shows the image, its bits, and the probabilities of the cursor or the most surprising pixel. */
function paint() {
  const { width, height } = size, values = steps.map((step) => step?.value);
  const bits = Array.from({ length: width * height }, (_, i) => bitsOf(stepsOf(i)));
  const most = Math.max(...bits), at = cursor ?? bits.indexOf(most), own = stepsOf(at);
  fill(image, size, colours(values, size), at);
  fill(heat, size, (i) => [225, 75, 20, (255 * bits[i]) / Math.max(1, most)], at);
  scale.textContent = `0 to ${format(Math.max(1, most))} bits per pixel`;
  const place = `Row ${Math.floor(at / width) + 1}, column ${(at % width) + 1}`;
  const drawn = own.filter((step) => step?.probabilities);
  const about = `value ${drawn.map((step) => step.value).join(", ")}, probability
    ${format(2 ** -bits[at])}, ${format(bits[at])} bits`;
  pixel.textContent = `${place}: ${drawn.length ? about : "not drawn by the model"}`;
  const bar = ({ value, probabilities }, scale = 100 / Math.max(...probabilities)) => (p, v) => {
    const tag = v === value ? "b" : "i";
    const title = size.levels < 9 ? `${v}: ${format(100 * p)} %` : size.levels < 99 ? v : "";
    return `<${tag} title="${title}" style="height: ${scale * p}%"></${tag}>`;
  };
  const bars = drawn.map((step) => step.probabilities.map(bar(step)).join(""));
  chart.innerHTML = bars.map((row) => `<p>${row}</p>`).join("");
}

/** Moves the cursor; the tool draws or erases two by two pixels there. */
function move(pixel, isPressed) {
  cursor = pixel;
  if (isPressed && tool.value !== "look") {
    const { width, height, channels } = size, column = Math.min(cursor % width, width - 2);
    const start = Math.min(Math.floor(cursor / width), height - 2) * width + column;
    const step = tool.value === "draw" ? { value: ink() } : undefined;
    workers.status.terminate();
    steps.length = width * height * channels;
    for (const at of [start, start + width]) steps.fill(step, at * channels, (at + 2) * channels);
    touched = Math.max(touched, (start + width + 2) * channels);
  }
  paint();
}

/** Decodes a file by the model of its levels, and paints its images side by side; asks for a digit it needs. */
async function decode(blob, label) {
  if (blob.size > 2 ** 24) return void (file.textContent = "This file is too large for a browser.");
  const bytes = new Uint8Array(await blob.arrayBuffer()), images = [];
  const read = (at) => bytes[at] + 256 * bytes[at + 1];
  const [count, height, width, channels, levels] = [34, 42, 46, 50, 54].map(read);
  const shape = { height, width, channels, levels }, { children } = decoded;
  decoded.replaceChildren();
  const option = models[{ 17: 1, 256: 2 }[levels] ?? 0], by = label === undefined ? "" : ` with the digit ${label}`;
  compute(file, option, { bytes, label }, ({ steps, seconds, error }) => {
    for (const { image, index, value } of steps) (images[image] ??= [])[index] = value;
    while (children.length < images.length) decoded.append(document.createElement("canvas"));
    images.forEach((values, i) => fill(children[i], shape, colours(values, shape)));
    if (seconds) file.innerHTML = `<b>${bytes.length.toLocaleString("en")} bytes</b> hold ${count}
      images of ${width}×${height} pixels. Decoded${by} in ${format(seconds)} s.`;
    if (error === NO_LABEL) file.textContent = "Which digit was this file compressed with?";
    else if (error && by) file.textContent = `${error} It was decoded${by}; try another:`;
    else return;
    for (const { value } of form.digit) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: value });
      button.onclick = () => decode(blob, +value);
      file.append(" ", button);
    }
  });
}

image.onpointermove = image.onpointerdown = heat.onpointermove = (event) => {
  const { target, offsetX, offsetY, buttons } = event, { width, height, clientWidth } = target;
  const cell = (offset, n) => Math.min(Math.max(0, Math.floor(n * offset / clientWidth)), n - 1);
  move(cell(offsetY, height) * width + cell(offsetX, width), buttons && target === image);
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
  workers.status.terminate();
  status.textContent = "";
  steps = Array(size.width * size.height * size.channels).fill({ value: size.levels - 1 - ink() });
  tool.value = "draw";
  paint();
};
form.choose.onchange = ({ target }) => decode(target.files[0]);
form.example.onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
draw();
