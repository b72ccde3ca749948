/** The page: controls, pictures and sentences. pixelcnn_worker.js computes. */
const [image, heat] = document.querySelectorAll("canvas"), [form] = document.forms;
const { model, digits, tool, seed, temperature, status, file } = form.elements;
const [scale, chart, pixel, decoded] = ["scale", "chart", "pixel", "decoded"].map(
  (id) => document.getElementById(id));
const format = (x) => x.toLocaleString("en", { maximumSignificantDigits: 2 });
const workers = {};
let size = { height: 28, width: 28, channels: 1, levels: 2 };
let steps = []; // { index, value, probabilities } of each sub-pixel
let cursor; // the pixel shown
let touched = 0; // sub-pixels up to the last one that the user drew or erased

for (let digit = 0; digit < 10; digit++) {
  digits.innerHTML += `<label><input type="radio" name="digit" value="${digit}">${digit}</label>`;
}
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
  const url = `${option.value}.safetensors`, label = Number(form.digit.value);
  worker.postMessage({ url, label, ...options });
}

/** Lets the model draw the pixels that `steps` lacks. */
function draw() {
  const options = { given: steps.map((step) => step?.value), seed: seed.valueAsNumber };
  options.temperature = temperature.valueAsNumber;
  compute(status, model.selectedOptions[0], options, (data) => {
    size = data.size ?? size;
    digits.disabled = !size.classes;
    for (const step of data.steps) steps[step.index] = step;
    paint();
    if (data.seconds) finish(data.seconds);
  });
}

async function finish(seconds) {
  const png = await pngBits(), kind = size.channels > 1 ? "PNG" : "grey PNG";
  status.innerHTML = `<b>${Math.round(bitsOf(steps)).toLocaleString("en")} bits</b> by the model,
    <b>${png.toLocaleString("en")}</b> as a ${kind}. Drawn in ${format(seconds)} s.`;
}

/** Computes the size of the image as a PNG; grey values are packed in the fewest bits. */
async function pngBits() {
  const { width, height, channels, levels } = size, depth = levels > 2 ? 8 : 1;
  if (channels > 1) return 8 * (await new Promise((resolve) => image.toBlob(resolve))).size;
  const row = 1 + Math.ceil((width * depth) / 8), data = new Uint8Array(row * height);
  steps.forEach(({ value }, i) => {
    const bit = (i % width) * depth, at = Math.floor(i / width) * row + 1 + (bit >> 3);
    data[at] |= value << (8 - depth - (bit & 7));
  });
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return 8 * (57 + (await new Response(packed).arrayBuffer()).byteLength);
}

const stepsOf = (at) => steps.slice(at * size.channels, (at + 1) * size.channels);
const probabilityOf = (step) => step?.probabilities?.[step.value] ?? 1;
const bitsOf = (several) => several.reduce((sum, step) => sum - Math.log2(probabilityOf(step)), 0);
const ink = () => (size.channels > 1 ? 0 : size.levels - 1);

/** Fills a canvas by the colour of each pixel, and marks one of them. */
function fill(canvas, { width, height }, colourOf, mark) {
  const data = new ImageData(width, height), context = canvas.getContext("2d");
  for (let i = 0; i < width * height; i++) data.data.set(colourOf(i), 4 * i);
  Object.assign(canvas, { width, height });
  context.putImageData(data, 0, 0);
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
  chart.innerHTML = drawn.map(({ value, probabilities }) => `<p>${probabilities.map((p, v) => {
    const tag = v === value ? "b" : "i", few = probabilities.length;
    const title = few < 9 ? `${v}: ${format(100 * p)} %` : few < 99 ? v : "";
    return `<${tag} title="${title}" style="height: ${100 * p}%"></${tag}>`;
  }).join("")}</p>`).join("");
}

/** Draws or erases two by two pixels at the cursor. */
function stroke() {
  if (tool.value === "look") return;
  const { width, height, channels } = size;
  const row = Math.min(Math.floor(cursor / width), height - 2);
  const start = row * width + Math.min(cursor % width, width - 2);
  const step = tool.value === "draw" ? { value: ink() } : undefined;
  workers.status.terminate();
  steps.length = width * height * channels;
  for (const at of [start, start + width]) steps.fill(step, at * channels, (at + 2) * channels);
  touched = Math.max(touched, (start + width + 2) * channels);
}

/** Lets the model draw what was erased, or all that follows the ink. */
function complete() {
  if (!touched) return;
  if (tool.value === "draw") steps.length = touched;
  touched = 0;
  draw();
}

/** Decodes a file by the model of its levels, and paints its images side by side. */
async function decode(blob) {
  const bytes = new Uint8Array(await blob.slice(0, 2 ** 24).arrayBuffer()), images = [];
  const read = (at) => bytes[at] + 256 * bytes[at + 1];
  const [count, height, width, channels, levels] = [34, 42, 46, 50, 54].map(read);
  const option = model[{ 17: 1, 256: 2 }[levels] ?? 0];
  decoded.replaceChildren();
  compute(file, option, { bytes }, ({ steps, seconds }) => {
    for (const { image, index, value } of steps) (images[image] ??= [])[index] = value;
    for (const [i, values] of images.entries()) {
      const canvas = decoded.children[i] ?? decoded.appendChild(document.createElement("canvas"));
      fill(canvas, { width, height }, colours(values, { channels, levels }));
    }
    if (seconds) file.innerHTML = `<b>${bytes.length.toLocaleString("en")} bytes</b> hold ${count}
      images of ${width}×${height} pixels. Decoded in ${format(seconds)} s.`;
  });
}

image.onpointermove = image.onpointerdown = heat.onpointermove = (event) => {
  const { width, height } = size, { target, offsetX, offsetY, buttons } = event;
  const cell = (share, count) => Math.floor(Math.min(Math.max(share, 0), 0.999) * count);
  const row = cell(offsetY / target.clientHeight, height);
  cursor = row * width + cell(offsetX / target.clientWidth, width);
  if (buttons && target === image) stroke();
  paint();
};
onpointerup = image.onkeyup = complete;
image.onkeydown = (event) => {
  const { width, height } = size;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width, " ": 0 };
  const to = (cursor ?? 0) + moves[event.key];
  if (!(to >= 0 && to < width * height)) return;
  event.preventDefault();
  cursor = to;
  if (event.key === " ") stroke();
  paint();
};
model.oninput = seed.oninput = temperature.oninput = digits.oninput = () => {
  [steps, cursor] = [[], undefined];
  draw();
};
form.onsubmit = (event) => {
  event.preventDefault();
  seed.value++;
  seed.oninput();
};
form.clear.onclick = () => {
  workers.status.terminate();
  const { width, height, channels, levels } = size, value = levels - 1 - ink();
  steps = Array(width * height * channels).fill({ value });
  tool.value = "draw";
  paint();
};
form.choose.onchange = ({ target }) => decode(target.files[0]);
form.example.onclick = async () => decode(await (await fetch("digits.pcnn")).blob());
draw();
