/**
 * Integer PixelCNNs in JavaScript, bit by bit those of Python (docs/integer_codec.md).
 *
 *     const model = await load("mnist_classes_integer.safetensors");
 *     const pixels = await model.sample({ label: 3, seed: 1 });
 */
const MAGIC = "\x93PCNN\r\n\x1a\x01\0";
const DAMAGED = "This file is damaged, or of another model or label.";

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

/** Takes x[index] of an array. */
function take(x, index) {
  const [count, ...shape] = x.shape, size = x.length / count;
  return Object.assign(x.subarray(index * size, (index + 1) * size), { shape });
}

/** Adds x[at:] @ kernel to sums, two inputs at a time. */
function multiply(x, kernel, sums, at = 0) {
  const outputs = sums.length, inputs = kernel.length / outputs;
  for (let n = 0; n < inputs; n += 2) {
    const i = n * outputs, j = i + outputs, a = x[at + n], b = x[at + n + 1];
    for (let o = 0; o < outputs; o++) {
      sums[o] += (Math.imul(kernel[i + o], a) + Math.imul(kernel[j + o], b)) | 0;
    }
  }
  return sums;
}

/** Computes x[at:] @ kernel + bias. */
function affine(x, part, name, bias = part[`${name}.bias`], at = 0) {
  return multiply(x, part[`${name}.kernel`], bias.slice(), at);
}

const zeros = (size) => new Int32Array(size);
const add = (x, y) => x.map((value, i) => value + y[i]);
const bitLength = (x) => 32 - Math.clz32(x);
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const rescale = (sum, shift) => (sum + (1 << (shift - 1))) >> shift;
const lookUp = (table, x, reach = table.length >> 1) => table[clip(x, -reach, reach) + reach];
const levelAt = (bounds, slot) => bounds.findIndex((bound) => bound > slot) - 1;
const widths = (bounds) => bounds.slice(1).map((x, v) => (x - bounds[v]) / bounds.at(-1));
const sha256 = async (x) => new Uint8Array(await crypto.subtle.digest("SHA-256", x));

/** Rescales sums, and clips them to [sign * clips, clips]. */
function settle(sums, part, name, sign = -1) {
  const shifts = part[`shifts.${name}`], clips = part[`clips.${name}`];
  return sums.map((x, i) => clip(rescale(x, shifts[i % shifts.length]), sign * clips[i], clips[i]));
}

/** Draws the slot of a sub-pixel: a hash of seed and index. */
export function slotOf(seed, index, bits) {
  const mix = (x, shift, factor) => Math.imul(x ^ (x >>> shift), factor);
  const hash = (x) => mix(mix(mix(x, 16, 0x21f0aaad), 15, 0x735a2d97), 15, 1);
  return hash(hash(seed) + Math.imul(index, 0x9e3779b9)) >>> (32 - bits);
}

/** An integer model. Images are arrays of sub-pixels: by row, column, channel. */
class PixelCNN {
  constructor(arrays, { networks, image_spec: size }) {
    const isPlain = !networks.code_features && !arrays["condition.shifts.s"];
    check(networks.class === "IntegerPixelCNN" && isPlain,
      "Only integer models of pixels, with a label or none, can be read.");
    const part = (name, pick = (x) => x) => Object.fromEntries(Object.keys(arrays)
      .filter((path) => path.startsWith(name))
      .map((path) => [path.slice(name.length + 1), pick(arrays[path])]));
    Object.assign(this, networks, size, { size, arrays, totalBits: networks.mixture ? 20 : 16 });
    Object.assign(this, { head: part("head"), tables: part("tables"), layers: [part("first")] });
    for (let i = 0; i < networks.layers; i++) this.layers.push(part("layers", (x) => take(x, i)));
  }

  /** Prepares the layers for an image: they remember rows above and columns to the left. */
  begin(width, label) {
    return this.layers.map((layer) => {
      const { "vertical.kernel": vertical, "horizontal.kernel": horizontal } = layer;
      const [height, columns, inputs] = vertical.shape, left = inputs * (horizontal.shape[0] - 1);
      const code = (codes) => (codes ? take(codes, label) : zeros(2 * this.features));
      const codes = [code(layer.vertical_h), code(layer.horizontal_h)];
      const kernels = Array.from({ length: height }, (_, i) => take(vertical, i));
      const rows = kernels.map(() => zeros(inputs * (columns - 1 + width)));
      const state = { rows, columns: zeros(left + inputs * width), contexts: [], codes };
      return { ...layer, ...state, inputs, left, border: (inputs * (columns - 1)) / 2, kernels };
    });
  }

  /** Advances the vertical stack by the row above. */
  openRow(layers) {
    let x = layers[0].columns.subarray(layers[0].left);
    for (const layer of layers) {
      const { inputs, border, kernels, codes } = layer, width = x.length / inputs;
      const row = zeros(x.length + 2 * border), bias = add(layer["horizontal.bias"], codes[1]);
      row.set(x, border);
      layer.rows = [...layer.rows.slice(1), row];
      x = zeros(width * this.features);
      for (let column = 0; column < width; column++) {
        const sums = layer["vertical.bias"].slice(), at = column * inputs;
        for (const [i, kernel] of kernels.entries()) multiply(layer.rows[i], kernel, sums, at);
        const crossing = settle(sums, layer, "crossing");
        layer.contexts[column] = affine(crossing, layer, "crossing", bias);
        x.set(this.gate(add(sums, codes[0]), layer["shifts.vertical"]), column * this.features);
      }
    }
  }

  gate(sums, shifts) {
    const { features, tables: { tanh, sigmoid }, mixture } = this;
    const half = (table, i) => lookUp(table, rescale(sums[i], shifts[i]));
    const product = (i) => half(tanh, i) * half(sigmoid, features + i);
    return zeros(features).map((_, i) => rescale(product(i), mixture ? 12 : 14));
  }

  /** Computes the outputs of a sub-pixel. */
  outputs(layers, column, channel) {
    const { head } = this;
    let x = zeros(this.features);
    for (const layer of layers) {
      const { columns, left, contexts } = layer, at = column * layer.inputs;
      if (layer["shifts.input"]) columns.set(settle(x, layer, "input"), at + left);
      else columns[at + left] = 1;
      const sums = affine(columns, layer, "horizontal", contexts[column], at);
      const out = affine(this.gate(sums, layer["shifts.horizontal"]), layer, "out");
      const shifts = layer["shifts.out"], clips = layer["clips.residual"];
      x = x.map((value, i) => clip(value + rescale(out[i], shifts[i]), -clips[i], clips[i]));
    }
    const hidden = affine(settle(x, head, "input", 0), head, "hidden");
    const logits = affine(settle(hidden, head, "hidden", 0), head, "logits");
    const size = logits.length / this.channels, start = channel * size;
    const all = Array.from(logits, (sum, i) => rescale(sum, head["shifts.logits"][i]));
    const outputs = all.slice(start, start + size);
    return this.linear_prediction ? this.predict(outputs, layers[0], column, channel) : outputs;
  }

  /** Adds a linear prediction to the means, from the pixels left, above and above left. */
  predict(outputs, { inputs, left: start, border, rows, columns }, column, channel) {
    const { levels, channels, mixture: count } = this;
    const pair = (x, at) => [x.subarray(at + 1 - inputs), x.subarray(at + 1)];
    const [left, own] = pair(columns, start + column * inputs);
    const [corner, above] = pair(rows.at(-1), border + column * inputs);
    const error = (x, c) => 2 * x[c] - left[c] - above[c];
    const terms = [left[channel] - above[channel], error(corner, channel)];
    for (let c = 0; c < channels - 1; c++) terms.push(c < channel ? error(own, c) : 0);
    const size = outputs.length - terms.length * count;
    const reach = Math.floor(2 ** 24 / (4 * terms.length * (levels - 1))) - 1;
    const shift = (left[channel] + above[channel]) * 2 ** (13 - bitLength(levels - 1));
    for (let k = 0; k < count; k++) {
      const add = (sum, x, t) => sum + x * clip(outputs[size + t * count + k], -reach, reach);
      outputs[count + k] += shift + rescale(terms.reduce(add, 0), 5);
    }
    return outputs.slice(0, size);
  }

  /** Computes the bounds of the levels' intervals, from 0 to 2**totalBits. */
  bounds(outputs, temperature = 1) {
    const { levels, tables: { exp, logistic, slopes, slope_shifts }, mixture: count } = this;
    const inverse = Math.round(256 / temperature), wider = Math.round(64 * Math.log(temperature));
    const divide = (logits, room) => {
      const largest = Math.max(...logits), sums = [0];
      const below = logits.map((logit) => Math.round(((largest - logit) * inverse) / 256));
      for (const x of below) sums.push(sums.at(-1) + exp[Math.min(x, exp.length - 1)]);
      const shift = Math.max(0, bitLength(sums.at(-1)) - 16), total = sums.at(-1) >> shift;
      return sums.map((sum) => Math.floor(((sum >> shift) * room) / total));
    };
    if (!count) return divide(outputs, 2 ** 16 - levels).map((sum, v) => v + sum);
    const logits = [...outputs.slice(0, count), ...outputs.slice(3 * count)];
    const edges = divide(logits, 2 ** 16 - Math.ceil(levels / 16));
    const scales = outputs.map((x) => clip(x + wider, 0, slopes.length - 1)).slice(2 * count);
    const step = 2 ** (14 - bitLength(levels - 1)), far = 2 ** 20 - 1, bounds = [0];
    for (let v = 1; v < levels; v++) {
      let below = logits.length > count ? (edges[count + 1] - edges[count]) * 2 ** 16 : 0;
      for (let k = 0; k < count; k++) {
        const distance = clip((2 * v - levels) * step - outputs[count + k], -far, far);
        const argument = rescale(distance * slopes[scales[k]], slope_shifts[scales[k]]);
        below += (edges[k + 1] - edges[k]) * lookUp(logistic, argument);
      }
      bounds.push(v + Math.floor(below / 2 ** 12));
    }
    return [...bounds, 2 ** 20];
  }

  /** Yields the sub-pixels of images in coding order; whoever takes a step sets its value. */
  *steps(images, labels, width) {
    const isLabel = (label) => Number.isInteger(label) && label >= 0 && label < this.classes;
    check(!this.classes || labels.every(isLabel), `The label is from 0 to ${this.classes - 1}.`);
    const { channels, levels } = this, states = images.map((_, i) => this.begin(width, labels[i]));
    for (let index = 0; index < images[0].length; index++) {
      const channel = index % channels, column = Math.floor(index / channels) % width;
      if (index % (width * channels) === 0) states.forEach((state) => this.openRow(state));
      for (const [i, state] of states.entries()) {
        const outputs = this.outputs(state, column, channel), bounds = this.bounds(outputs);
        const step = { image: i, index, outputs, bounds }, [{ columns, left, inputs }] = state;
        yield step;
        images[i][index] = step.value;
        columns[left + column * inputs + 1 + channel] = 2 * step.value - (levels - 1);
      }
    }
  }

  /** Computes the probabilities of the sub-pixel that follows the first ones of an image. */
  async conditionals(pixels, { label, width = this.width } = {}) {
    for (const step of this.steps([zeros(pixels.length + 1)], [label], width)) {
      if (step.index === pixels.length) return widths(step.bounds);
      step.value = pixels[step.index];
    }
  }

  /**
   * Draws an image; the sub-pixels that `given` has stay.
   *
   * `onPixel` gets { index, value, probabilities }, those at temperature 1, and is awaited.
   */
  async sample({ label, given, seed = 0, temperature = 1, onPixel, ...size } = {}) {
    const { height, width } = { ...this, ...size }, pixels = zeros(height * width * this.channels);
    for (const step of this.steps([pixels], [label], width)) {
      const { index } = step, slot = slotOf(seed, index, this.totalBits);
      const bounds = temperature === 1 ? step.bounds : this.bounds(step.outputs, temperature);
      const value = step.value = given?.[index] ?? levelAt(bounds, slot);
      await onPixel?.({ index, value, probabilities: widths(step.bounds) });
    }
    return pixels;
  }

  /** Decodes a .pcnn file; h is a label, or one per image. Refuses what is damaged or too large. */
  async decode(bytes, h, { limit = 2 ** 18, onPixel } = {}) {
    const { count, height, width, streams, size, lanes } = await this.unpack(bytes, limit);
    const length = height * width * this.channels, whole = 2 ** this.totalBits, low = 2 ** 24;
    const images = Array.from({ length: count }, () => zeros(length));
    const labels = images.map((_, i) => (Array.isArray(h) ? h[i] : h));
    for (const [s, stream] of streams.entries()) {
      const first = s * size, batch = [images, labels].map((x) => x.slice(first, first + size));
      const states = Array.from(new Uint32Array(stream.buffer, 0, lanes));
      let at = 4 * lanes;
      for (const step of this.steps(...batch, width)) {
        const { image, index, bounds } = step, lane = image % lanes, slot = states[lane] % whole;
        const value = step.value = levelAt(bounds, slot), range = bounds[value + 1] - bounds[value];
        let state = range * Math.floor(states[lane] / whole) + slot - bounds[value];
        while (state < low && at < stream.length) state = state * 256 + stream[at++];
        check(state >= low, DAMAGED);
        states[lane] = state;
        await onPixel?.({ image: first + image, index, value });
      }
      const end = Math.max(at, 4 * Math.ceil((batch[0].length * length) / 4096));
      const isRead = states.every((state) => state === low) && !stream.subarray(at).some(Boolean);
      check(isRead && stream.length === end, DAMAGED);
    }
    return { images, height, width };
  }

  /** Reads a container, and checks its numbers before time or memory depends on them. */
  async unpack(bytes, limit) {
    const start = String.fromCharCode(...bytes.subarray(0, 10)), end = bytes.length - 8;
    check(start === MAGIC && end >= 70, "This is not a .pcnn file of version 1.");
    const [sum, model] = [await sha256(bytes.subarray(0, end)), await this.digest()];
    const holds = (at, to, digest) => bytes.subarray(at, to).every((x, i) => x === digest[i]);
    const numbers = new Uint32Array(bytes.slice(34, 70).buffer), isWhole = holds(end, end + 8, sum);
    const [count, high, height, width, channels, levels, size, lanes, extra] = numbers;
    check(isWhole && new Uint32Array(bytes.slice(10, 14).buffer)[0] === bytes.length, DAMAGED);
    const subpixels = (count + high * 2 ** 32) * height * width * channels;
    check(subpixels <= limit && size * width <= 2 ** 13, "This file is too large for a browser.");
    const isOwn = holds(18, 34, model) && channels === this.channels && levels === this.levels;
    check(isOwn, "This file was compressed with another model.");
    check(0 < subpixels && subpixels <= 1024 * bytes.length, DAMAGED);
    check(0 < lanes && lanes <= size && size <= count, DAMAGED);
    let at = 70 + extra;
    const streams = Array.from({ length: Math.ceil(count / size) }, () => {
      let length = 0, scale = 1;
      for (; bytes[at] > 127; scale *= 128) length += (bytes[at++] & 127) * scale;
      return length + bytes[at++] * scale;
    }).map((length) => bytes.slice(at, at += length));
    check(at === end && streams.every((stream) => stream.length >= 4 * lanes), DAMAGED);
    return { count, height, width, streams, size, lanes };
  }

  /** Computes the digest by which files name their model. */
  async digest() {
    const parts = Object.entries(this.arrays).flatMap(([path, x]) => {
      const comma = x.shape.length === 1 ? "," : "", keys = path.replaceAll(".", "']['");
      return [`['${keys}'] (${x.shape.join(", ")}${comma})`, x];
    });
    return sha256(await new Blob([`${this.channels} ${this.levels}`, ...parts]).arrayBuffer());
  }
}
