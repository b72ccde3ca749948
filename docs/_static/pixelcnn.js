/**
 * Integer PixelCNNs in JavaScript, bit by bit those of Python (docs/integer_codec.md).
 *
 *     const model = await load("mnist_classes_integer.safetensors");
 *     const pixels = await model.sample({ label: 3, seed: 1 });
 */
const LOW = 2 ** 24; // the coder's smallest state
const DAMAGED = "This file is damaged, or of another model or label.";
export const NO_LABEL = "This model needs a label.";

/** Loads a model from its safetensors file and the card (.json) beside it. */
export async function load(url) {
  const weights = await fetch(url), card = await fetch(url.replace(/safetensors$/, "json"));
  check(weights.ok && card.ok, `There is no model at ${url}.`);
  return new PixelCNN(readArrays(await weights.arrayBuffer()), await card.json());
}

function check(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

function readArrays(buffer) {
  const start = 8 + new DataView(buffer).getUint32(0, true);
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(buffer.slice(8, start)));
  return Object.fromEntries(Object.keys(header).sort().map((path) => {
    const { dtype, shape, data_offsets: [from, to] } = header[path];
    const data = buffer.slice(start + from, start + to);
    const x = dtype === "I16" ? Int32Array.from(new Int16Array(data)) : new Int32Array(data);
    return [path.replace("params.", ""), Object.assign(x, { shape })];
  }));
}

const zeros = (size) => new Int32Array(size);
const add = (x, y) => x.map((value, i) => value + y[i]);
const differences = (x) => x.slice(1).map((value, i) => value - x[i]);
const bitLength = (x) => 32 - Math.clz32(x);
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const rescale = (sum, shift) => (sum + (1 << (shift - 1))) >> shift;
const lookUp = (table, x, reach = table.length >> 1) => table[clip(x, -reach, reach) + reach];
const levelAt = (bounds, slot) => bounds.findIndex((bound) => bound > slot) - 1;
const probabilitiesOf = (bounds) => differences(bounds).map((width) => width / bounds.at(-1));
const sha256 = async (x) => new Uint8Array(await crypto.subtle.digest("SHA-256", x));

/** Takes x[index] of an array. */
function take(x, index) {
  const [count, ...shape] = x.shape, size = x.length / count;
  check(index !== undefined, NO_LABEL);
  check(Number.isInteger(index) && index >= 0 && index < count, `There is no label ${index}.`);
  return Object.assign(x.subarray(index * size, (index + 1) * size), { shape });
}

/** Takes neighbours of a row; those outside the image are undefined. */
const neighbours = (row, start, size) => Array.from({ length: size }, (_, i) => row[start + i]);

/** Computes the product of vectors with a kernel, plus a bias. */
function affine(vectors, part, name, bias = part[`${name}.bias`]) {
  const kernel = part[`${name}.kernel`], sums = bias.slice(), outputs = sums.length;
  const inputs = kernel.length / outputs / vectors.length;
  for (const [v, vector] of vectors.entries()) {
    for (let i = 0; vector && i < inputs; i++) {
      const x = vector[i], start = (v * inputs + i) * outputs;
      for (let o = 0; o < outputs; o++) sums[o] += Math.imul(kernel[start + o], x);
    }
  }
  return sums;
}

/** Rescales sums, and clips them to [sign * clips, clips]. */
function settle(sums, part, name, sign = -1) {
  const shifts = part[`shifts.${name}`], clips = part[`clips.${name}`];
  return sums.map((x, i) => clip(rescale(x, shifts[i % shifts.length]), sign * clips[i], clips[i]));
}

/** Draws the slot of a sub-pixel: a hash of seed and index. */
function slotOf(seed, index, total) {
  const mix = (x, shift, factor) => Math.imul(x ^ (x >>> shift), factor);
  const hash = (x) => mix(mix(mix(x, 16, 0x21f0aaad), 15, 0x735a2d97), 15, 1);
  return hash(hash(seed) + Math.imul(index, 0x9e3779b9)) >>> (33 - bitLength(total));
}

/** Prepares the layers for an image: they remember the inputs of rows above and of this row. */
function begin({ layers, features }, label) {
  const code = (codes) => (codes ? take(codes, label) : zeros(2 * features));
  return layers.map((layer) => {
    const [height, columns] = layer["vertical.kernel"].shape, border = columns >> 1;
    const codes = [code(layer.vertical_h), code(layer.horizontal_h)];
    return { ...layer, codes, columns, border, rows: Array(height).fill([]), row: [] };
  });
}

/** Advances the vertical stack by the row above. */
function openRow(model, layers, width) {
  let input = layers[0].row;
  for (const layer of layers) {
    const { codes, columns, border } = layer, bias = add(layer["horizontal.bias"], codes[1]);
    Object.assign(layer, { rows: [...layer.rows.slice(1), input], row: [], contexts: [] });
    input = Array.from({ length: width }, (_, column) => {
      const window = layer.rows.flatMap((row) => neighbours(row, column - border, columns));
      const sums = affine(window, layer, "vertical"), crossing = settle(sums, layer, "crossing");
      layer.contexts.push(affine([crossing], layer, "crossing", bias));
      return gate(model, add(sums, codes[0]), layer["shifts.vertical"]);
    });
  }
}

function gate({ features, mixture, tables: { tanh, sigmoid } }, sums, shifts) {
  const half = (table, i) => lookUp(table, rescale(sums[i], shifts[i]));
  const product = (i) => half(tanh, i) * half(sigmoid, features + i);
  return zeros(features).map((_, i) => rescale(product(i), mixture ? 12 : 14));
}

/** Computes the outputs of a sub-pixel. */
function outputsOf(model, layers, column, channel) {
  const { head, channels } = model;
  let x = zeros(model.features);
  for (const layer of layers) {
    const { row, border, contexts } = layer;
    if (layer["shifts.input"]) row[column] = settle(x, layer, "input");
    else row[column] ??= Int32Array.of(1, ...zeros(channels));
    const window = neighbours(row, column - border, border + 1);
    const sums = affine(window, layer, "horizontal", contexts[column]);
    const out = affine([gate(model, sums, layer["shifts.horizontal"])], layer, "out");
    const shifts = layer["shifts.out"], clips = layer["clips.residual"];
    x = x.map((value, i) => clip(value + rescale(out[i], shifts[i]), -clips[i], clips[i]));
  }
  const hidden = affine([settle(x, head, "input", 0)], head, "hidden");
  const sums = affine([settle(hidden, head, "hidden", 0)], head, "logits");
  const logits = Array.from(sums, (sum, i) => rescale(sum, head["shifts.logits"][i]));
  const size = logits.length / channels, outputs = logits.slice(channel * size).slice(0, size);
  return model.linear_prediction ? predict(model, outputs, layers[0], column, channel) : outputs;
}

/** Adds a linear prediction to the means, from the pixels left, above and above left. */
function predict({ levels, channels, mixture }, outputs, { rows, row }, column, channel) {
  const pixels = [row[column - 1], rows.at(-1)[column], rows.at(-1)[column - 1]];
  const [left, above, corner] = pixels.map((pixel) => pixel ?? zeros(1 + channels));
  const own = row[column], c = 1 + channel, mean = add(left, above); // twice the mean
  const terms = [left[c] - above[c], 2 * corner[c] - mean[c]];
  for (let i = 1; i < channels; i++) terms.push(i < c ? 2 * own[i] - mean[i] : 0);
  const size = outputs.length - terms.length * mixture;
  const reach = Math.floor(2 ** 24 / (4 * terms.length * (levels - 1))) - 1;
  for (let k = 0; k < mixture; k++) {
    const product = (term, t) => term * clip(outputs[size + t * mixture + k], -reach, reach);
    const sum = terms.map(product).reduce((x, y) => x + y);
    outputs[mixture + k] += mean[c] * 2 ** (13 - bitLength(levels - 1)) + rescale(sum, 5);
  }
  return outputs.slice(0, size);
}

/** Divides 0 to room in proportion to the exponentials of logits. */
function divide(exp, logits, inverse, room) {
  const largest = Math.max(...logits), sums = [0];
  const below = logits.map((logit) => Math.round(((largest - logit) * inverse) / 256));
  for (const x of below) sums.push(sums.at(-1) + exp[Math.min(x, exp.length - 1)]);
  const shift = Math.max(0, bitLength(sums.at(-1)) - 16), total = sums.at(-1) >> shift;
  return sums.map((sum) => Math.floor(((sum >> shift) * room) / total));
}

/** Computes the bounds of the levels' intervals, from 0 to 2**16, of a mixture to 2**20. */
function boundsOf({ levels, mixture, tables }, outputs, temperature = 1) {
  const { exp, logistic, slopes, slope_shifts } = tables, inverse = Math.round(256 / temperature);
  if (!mixture) return divide(exp, outputs, inverse, 2 ** 16 - levels).map((sum, v) => v + sum);
  const logits = [...outputs.slice(0, mixture), ...outputs.slice(3 * mixture)];
  const room = 2 ** 16 - Math.ceil(levels / 16), wider = Math.round(64 * Math.log(temperature));
  const weights = differences(divide(exp, logits, inverse, room));
  const scales = outputs.map((x) => clip(x + wider, 0, slopes.length - 1)).slice(2 * mixture);
  const step = 2 ** (14 - bitLength(levels - 1)), bounds = [0];
  for (let v = 1; v < levels; v++) {
    let below = (weights[mixture] ?? 0) * 2 ** 16; // a point mass
    for (let k = 0; k < mixture; k++) {
      const slope = slopes[scales[k]], far = Math.min(2 ** 20 - 1, Math.floor(2 ** 30 / slope));
      const distance = clip((2 * v - levels) * step - outputs[mixture + k], -far, far);
      const argument = rescale(distance * slope, slope_shifts[scales[k]]);
      below += weights[k] * lookUp(logistic, argument);
    }
    bounds.push(v + Math.floor(below / 2 ** 12));
  }
  return [...bounds, 2 ** 20];
}

/** Yields the sub-pixels of images in coding order; whoever takes a step sets its value. */
function* stepsOf(model, images, labels, width) {
  const { channels, levels } = model;
  const states = labels.map((label) => begin(model, label));
  for (let index = 0; index < images[0].length; index++) {
    const channel = index % channels, column = Math.floor(index / channels) % width;
    for (const [image, layers] of states.entries()) {
      if (index % (width * channels) === 0) openRow(model, layers, width);
      const outputs = outputsOf(model, layers, column, channel);
      const step = { image, index, outputs, bounds: boundsOf(model, outputs) };
      yield step;
      step.value = Number(step.value);
      const isLevel = Number.isInteger(step.value) && step.value >= 0 && step.value < levels;
      check(isLevel, `Sub-pixels must be integers from 0 to ${levels - 1}.`);
      images[image][index] = step.value;
      layers[0].row[column][1 + channel] = 2 * step.value - (levels - 1);
    }
  }
}

/** Reads a container, and checks its numbers before time or memory depends on them. */
async function unpack(model, bytes, limit) {
  bytes = new Uint8Array(bytes); // a copy, except of an ArrayBuffer: a Buffer of Node would share memory with slices
  const begins = (at) => String.fromCharCode(...bytes.subarray(at, at + 10)) === "\x93PCNN\r\n\x1a\x02\0";
  const end = bytes.length - 8;
  check(begins(0) && end >= 74, "This is not a .pcnn file of version 2.");
  const next = Number(new BigUint64Array(bytes.slice(10, 18).buffer)[0]);
  check(!begins(next), "This file holds images of several sizes: decompress it in a shell.");
  const holds = (at, to, digest) => bytes.subarray(at, to).every((x, i) => x === digest[i]);
  check(next === bytes.length && holds(end, end + 8, await sha256(bytes.subarray(0, end))), DAMAGED);
  const numbers = new Uint32Array(bytes.slice(34, 74).buffer);
  const [count, high, height, width, channels, levels, size, lanes, tile, extra] = numbers;
  check(holds(18, 34, await digestOf(model)), "This file was compressed with another model.");
  check(!tile, "This file holds images in tiles: decompress it in a shell.");
  const subpixels = (count + high * 2 ** 32) * height * width * channels;
  check(subpixels <= limit && size * width <= 2 ** 13, "This file is too large for a browser.");
  const isOwn = channels === model.channels && levels === model.levels;
  check(isOwn && size > 0 && subpixels > 0 && subpixels <= 1024 * bytes.length, DAMAGED);
  let at = 74 + extra;
  const streams = Array.from({ length: Math.ceil(count / size) }, () => {
    let length = 0, scale = 1;
    for (; bytes[at] > 127; scale *= 128) length += (bytes[at++] & 127) * scale;
    return length + bytes[at++] * scale;
  }).map((length) => bytes.slice(at, at += length));
  check(at === end && streams.every((stream) => stream.length >= 4 * lanes), DAMAGED);
  return { count, height, width, streams, size, lanes };
}

/** Computes the digest by which files name their model. */
async function digestOf({ arrays, channels, levels }) {
  const parts = Object.entries(arrays).flatMap(([path, x]) => {
    const comma = x.shape.length === 1 ? "," : "", keys = path.replaceAll(".", "']['");
    return [`['${keys}'] (${x.shape.join(", ")}${comma})`, x];
  });
  return sha256(await new Blob([`${channels} ${levels}`, ...parts]).arrayBuffer());
}

/** An integer model. Images are arrays of sub-pixels: by row, column, channel. */
class PixelCNN {
  constructor(arrays, { networks, image_spec: size }) {
    const isPlain = !networks.code_features && !arrays["condition.shifts.s"];
    check(isPlain && networks.class === "IntegerPixelCNN", "This is no integer model of pixels.");
    check(networks.levels <= 4096, "This model has more than 4,096 levels: decompress its files in a shell.");
    const part = (name, pick = (x) => x) => Object.fromEntries(Object.keys(arrays)
      .filter((path) => path.startsWith(name))
      .map((path) => [path.slice(name.length + 1), pick(arrays[path])]));
    const layers = [part("first")], [head, tables] = [part("head"), part("tables")];
    for (let i = 0; i < networks.layers; i++) layers.push(part("layers", (x) => take(x, i)));
    Object.assign(this, networks, size, { size, arrays, layers, head, tables });
  }

  /** Computes the probabilities of the sub-pixel that follows the first ones of an image. */
  async conditionals(pixels, { label, width = this.width } = {}) {
    for (const step of stepsOf(this, [zeros(pixels.length + 1)], [label], width)) {
      if (step.index === pixels.length) return probabilitiesOf(step.bounds);
      step.value = pixels[step.index];
    }
  }

  /**
   * Draws an image; the sub-pixels that `given` has stay.
   *
   * `onPixel` gets { index, value, probabilities }, those at temperature 1, and is awaited.
   */
  async sample({ label, given, seed = 0, temperature = 1, onPixel, ...size } = {}) {
    check(temperature > 0, "The temperature must be above 0.");
    const { height, width } = { ...this, ...size }, pixels = zeros(height * width * this.channels);
    for (const step of stepsOf(this, [pixels], [label], width)) {
      const { index, outputs, bounds } = step, slot = slotOf(seed, index, bounds.at(-1));
      step.value = given?.[index] ?? levelAt(boundsOf(this, outputs, temperature), slot);
      await onPixel?.({ index, value: step.value, probabilities: probabilitiesOf(bounds) });
    }
    return pixels;
  }

  /** Decodes a .pcnn file; h is a label, or one per image. Refuses what is damaged or too large. */
  async decode(bytes, h, { limit = 2 ** 18, onPixel } = {}) {
    const { count, height, width, streams, size, lanes } = await unpack(this, bytes, limit);
    const images = Array.from({ length: count }, () => zeros(height * width * this.channels));
    const labels = images.map((_, i) => h?.[i] ?? h);
    for (const [s, stream] of streams.entries()) {
      const first = s * size, batch = [images, labels].map((x) => x.slice(first, first + size));
      const states = Array.from(new Uint32Array(stream.buffer, 0, lanes));
      let at = 4 * lanes;
      for (const step of stepsOf(this, ...batch, width)) {
        const { image, index, bounds } = step, lane = image % lanes, total = bounds.at(-1);
        const slot = states[lane] % total, value = step.value = levelAt(bounds, slot);
        const range = bounds[value + 1] - bounds[value];
        let state = range * Math.floor(states[lane] / total) + slot - bounds[value];
        while (state < LOW && at < stream.length) state = state * 256 + stream[at++];
        check(state >= LOW, DAMAGED);
        states[lane] = state;
        await onPixel?.({ image: first + image, index, value });
      }
      const end = Math.max(at, 4 * Math.ceil((batch[0].length * images[0].length) / 4096));
      const isRead = states.every((state) => state === LOW) && !stream.subarray(at).some(Boolean);
      check(isRead && stream.length === end, DAMAGED);
    }
    return { images, height, width };
  }
}
