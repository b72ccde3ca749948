/**
 * Integer PixelCNNs in JavaScript, bit by bit those of Python (docs/integer_codec.md).
 *
 *     const model = await load("mnist_classes_integer.safetensors");
 *     const pixels = await model.sample({ label: 3, seed: 1 });
 */
const TYPES = { I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array };
const DAMAGED = "This file is damaged: its length, numbers or checksum do not match.";
const MISFIT = "This file is damaged, or of another model or label.";

/** Loads a model from its safetensors file and the card (.json) beside it. */
export async function load(url) {
  const urls = [url, url.replace(/safetensors$/, "json")];
  const [weights, card] = await Promise.all(urls.map((file) => fetch(file)));
  check(weights.ok && card.ok, `There is no model at ${url}.`);
  return new PixelCNN(readArrays(await weights.arrayBuffer()), await card.json());
}

function check(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

function readArrays(buffer) {
  const start = 8 + new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(buffer.slice(8, start)));
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([path, { dtype, shape, data_offsets }]) => {
    const [from, to] = data_offsets.map((offset) => start + offset);
    const x = Int32Array.from(new TYPES[dtype](buffer.slice(from, to)));
    return [path.replace("params.", ""), Object.assign(x, { shape })];
  }));
}

/** Cuts an array along its first axis. */
function unstack(x) {
  const [count, ...shape] = x.shape, size = x.length / count;
  const cut = (_, i) => Object.assign(x.subarray(i * size, (i + 1) * size), { shape });
  return Array.from({ length: count }, cut);
}

/** Collects the arrays of a part; kernels become matrices, a vertical one a matrix per row. */
function collect(arrays, part, pick = (x) => x) {
  const read = (x) => (x.shape.length === 5 ? unstack(x).map(matrix) : matrix(x));
  const paths = Object.keys(arrays).filter((path) => path.startsWith(`${part}.`));
  return Object.fromEntries(paths.map((path) => {
    const x = pick(arrays[path]);
    return [path.slice(part.length + 1), path.endsWith("kernel") ? read(x) : x];
  }));
}

/** Transposes a kernel, so that the weights of a sum are adjacent. */
function matrix(kernel) {
  const outputs = kernel.shape.at(-1) * (kernel.shape.length > 2 ? 2 : 1); // halves of a gate
  const inputs = kernel.length / outputs, weights = zeros(kernel.length);
  const place = (i) => (i % outputs) * inputs + Math.floor(i / outputs);
  kernel.forEach((x, i) => { weights[place(i)] = x; });
  return { inputs, weights };
}

/** Sets sums[start:stop] to bias + x[at:] @ kernel, four at a time. */
function multiply({ weights, inputs }, x, at, bias, sums, start = 0, stop = sums.length) {
  for (let o = start, last = stop - 1; o < stop; o += 4) {
    const p = Math.min(o + 1, last), q = Math.min(o + 2, last), r = Math.min(o + 3, last);
    let a = bias[o], b = bias[p], c = bias[q], d = bias[r];
    let i = o * inputs, j = p * inputs, k = q * inputs, l = r * inputs;
    for (let n = at, end = at + inputs; n < end; n++) {
      const value = x[n];
      a = (a + Math.imul(weights[i++], value)) | 0, b = (b + Math.imul(weights[j++], value)) | 0;
      c = (c + Math.imul(weights[k++], value)) | 0, d = (d + Math.imul(weights[l++], value)) | 0;
    }
    sums[o] = a, sums[p] = b, sums[q] = c, sums[r] = d;
  }
}

const zeros = (size) => new Int32Array(size);
const bitLength = (x) => 32 - Math.clz32(x);
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const rescale = (sum, shift) => (sum + (1 << (shift - 1))) >> shift;
const lookUp = (table, x, reach = table.length >> 1) => table[clip(x, -reach, reach) + reach];
const sha256 = async (x) => new Uint8Array(await crypto.subtle.digest("SHA-256", x));
const levelAt = (bounds, slot) => bounds.findIndex((bound) => bound > slot) - 1;

/** Sets x[start:stop] to sums, rescaled and clipped to [sign * clips, clips]. */
function settle(part, name, sums, x, start = 0, stop = x.length, sign = -1) {
  const shifts = part[`shifts.${name}`], clips = part[`clips.${name}`], isOne = shifts.length === 1;
  for (let i = start; i < stop; i++) {
    x[i] = clip(rescale(sums[i], shifts[isOne ? 0 : i]), sign * clips[i], clips[i]);
  }
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
    const { features, channels, layers, mixture, code_features: codes } = networks;
    const isKnown = networks.class === "IntegerPixelCNN" && !codes && !arrays["condition.shifts.s"];
    check(isKnown, "Only integer models of pixels, with a label or none, can be read.");
    Object.assign(this, networks, size, { arrays, totalBits: mixture ? 20 : 16 });
    for (const name of ["head", "tables"]) this[name] = collect(arrays, name);
    const inner = (_, i) => collect(arrays, "layers", (x) => unstack(x)[i]);
    this.layers = [collect(arrays, "first"), ...Array.from({ length: layers }, inner)];
    for (const [i, layer] of this.layers.entries()) {
      layer.inputs = i ? features : 1 + channels;
      layer.border = (layer["vertical.kernel"][0].inputs - layer.inputs) / 2;
      layer.left = layer["horizontal.kernel"].inputs - layer.inputs;
    }
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

  /** Passes the sub-pixels of images in coding order; `choose` gives their values. */
  async run(labels, height, width, choose, onPixel) {
    const isLabel = (label) => Number.isInteger(label) && label >= 0 && label < this.classes;
    check(!this.classes || labels.every(isLabel), `The label is from 0 to ${this.classes - 1}.`);
    const states = labels.map((label) => new ImageState(this, width, label));
    const images = labels.map(() => zeros(height * width * this.channels));
    for (let row = 0, index = 0; row < height; row++) {
      for (const state of states) state.openRow();
      for (let column = 0; column < width; column++) {
        for (let channel = 0; channel < this.channels; channel++, index++) {
          for (const [i, state] of states.entries()) {
            const outputs = state.outputs(column, channel), bounds = this.bounds(outputs);
            const value = images[i][index] = choose({ i, index, outputs, bounds });
            state.set(column, channel, value);
            await onPixel?.({ i, index, value, bounds });
          }
        }
      }
    }
    return images;
  }

  /** Computes the probabilities of the sub-pixel that follows the first ones of an image. */
  async conditionals(pixels, { label, width = this.width } = {}) {
    const height = Math.floor(pixels.length / width / this.channels) + 1, all = [];
    const choose = ({ index, bounds }) => (all.push(bounds), pixels[index] ?? 0);
    await this.run([label], height, width, choose);
    const next = all[pixels.length];
    return next.slice(1).map((bound, v) => (bound - next[v]) / 2 ** this.totalBits);
  }

  /**
   * Draws an image; where `mask` is true, the pixels of `given` stay.
   *
   * `onPixel` gets { index, value, bounds }, with bounds at temperature 1, and is awaited.
   */
  async sample({ label, given, mask, seed = 0, temperature = 1, onPixel, ...size } = {}) {
    const { height, width } = { ...this, ...size };
    const choose = ({ index, outputs, bounds }) => {
      if (mask?.[index]) return given[index];
      const tempered = temperature === 1 ? bounds : this.bounds(outputs, temperature);
      return levelAt(tempered, slotOf(seed, index, this.totalBits));
    };
    return (await this.run([label], height, width, choose, onPixel))[0];
  }

  /** Decodes a .pcnn file; h is a label, or one per image. Refuses what is damaged or too large. */
  async decode(bytes, h, { limit = 2 ** 18, onPixel } = {}) {
    const { count, height, width, streams, size, lanes } = await this.unpack(bytes, limit);
    const labels = Array.from({ length: count }, (_, i) => (Array.isArray(h) ? h[i] : h));
    const images = [], whole = 2 ** this.totalBits, low = 2 ** 24;
    for (const stream of streams) {
      const first = images.length, own = labels.slice(first, first + size);
      const states = Array.from(new Uint32Array(stream.buffer, 0, lanes));
      let at = 4 * lanes;
      const choose = ({ i, bounds }) => {
        let state = states[i % lanes];
        const slot = state % whole, value = levelAt(bounds, slot), start = bounds[value];
        state = (bounds[value + 1] - start) * Math.floor(state / whole) + slot - start;
        while (state < low && at < stream.length) state = state * 256 + stream[at++];
        check(state >= low, MISFIT);
        states[i % lanes] = state;
        return value;
      };
      const tell = onPixel && ((pixel) => onPixel({ ...pixel, i: first + pixel.i }));
      images.push(...await this.run(own, height, width, choose, tell));
      const end = 4 * Math.ceil((own.length * images[0].length) / 4096);
      const isDone = states.every((state) => state === low) && !stream.subarray(at).some(Boolean);
      check(isDone && stream.length === Math.max(at, end), MISFIT);
    }
    return { images, height, width };
  }

  /** Reads a container, and checks its numbers before time or memory depends on them. */
  async unpack(bytes, limit) {
    const start = String.fromCharCode(...bytes.subarray(0, 10)), end = bytes.length - 8;
    const isKnown = start === "\x93PCNN\r\n\x1a\x01\0" && end >= 70;
    check(isKnown, "This is not a .pcnn file of version 1.");
    const sum = await sha256(bytes.subarray(0, end)), model = await this.digest();
    const [length] = new BigUint64Array(bytes.slice(10, 18).buffer);
    check(bytes.subarray(end).every((byte, i) => byte === sum[i]), DAMAGED);
    check(Number(length) === bytes.length, DAMAGED);
    const numbers = new Uint32Array(bytes.slice(34, 70).buffer);
    const [count, high, height, width, channels, levels, size, lanes, extra] = numbers;
    const subpixels = (count + high * 2 ** 32) * height * width * channels;
    const isOwn = bytes.subarray(18, 34).every((byte, i) => byte === model[i])
      && channels === this.channels && levels === this.levels;
    check(subpixels <= limit && size * width <= 2 ** 13, "This file is too large for a browser.");
    check(isOwn, "This file was compressed with another model.");
    check(0 < subpixels && subpixels <= 1024 * bytes.length, DAMAGED);
    check(0 < lanes && lanes <= size && size <= count, DAMAGED);
    let at = 70 + extra;
    const lengths = Array.from({ length: Math.ceil(count / size) }, () => {
      let length = 0, scale = 1;
      for (; bytes[at] > 127; scale *= 128) length += (bytes[at++] & 127) * scale;
      return length + bytes[at++] * scale;
    });
    const streams = lengths.map((length) => bytes.slice(at, at += length));
    check(at === end && lengths.every((length) => length >= 4 * lanes), DAMAGED);
    return { count, height, width, streams, size, lanes };
  }

  /** Computes the digest by which files name their model. */
  async digest() {
    const paths = Object.keys(this.arrays).map((path) => path.split(".")).sort();
    const parts = paths.flatMap((path) => {
      const x = this.arrays[path.join(".")], comma = x.shape.length === 1 ? "," : "";
      return [`${path.map((name) => `['${name}']`).join("")} (${x.shape.join(", ")}${comma})`, x];
    });
    const blob = new Blob([`${this.channels} ${this.levels}`, ...parts]);
    return sha256(await blob.arrayBuffer());
  }
}

/** What the layers remember of an image: rows above and columns to the left. */
class ImageState {
  constructor(model, width, label) {
    const F = model.features, { "hidden.bias": hidden, "logits.bias": logits } = model.head;
    const code = (codes) => (codes ? unstack(codes)[label] : zeros(2 * F));
    Object.assign(this, { model, width, features: zeros(F), input: zeros(F), out: zeros(F) });
    Object.assign(this, { hidden: zeros(hidden.length), logits: zeros(logits.length) });
    Object.assign(this, { sums: zeros(2 * F), crossing: zeros(2 * F) });
    this.layers = model.layers.map((layer) => ({
      layer,
      rows: layer["vertical.kernel"].map(() => zeros(2 * layer.border + width * layer.inputs)),
      columns: zeros(layer.left + width * layer.inputs),
      contexts: Array.from({ length: width }, () => zeros(2 * F)),
      codes: [code(layer.vertical_h), code(layer.horizontal_h)],
      gated: zeros(F),
    }));
  }

  /** Advances the vertical stack by the row above. */
  openRow() {
    const { sums, crossing, width, layers, model: { features: F } } = this;
    let x = layers[0].columns.subarray(layers[0].layer.left);
    for (const { layer, rows, contexts, codes } of layers) {
      rows.push(rows.shift());
      rows.at(-1).set(x, layer.border);
      x = zeros(width * F);
      for (const [column, context] of contexts.entries()) {
        const at = column * layer.inputs;
        sums.set(layer["vertical.bias"]);
        layer["vertical.kernel"].forEach((kernel, i) => multiply(kernel, rows[i], at, sums, sums));
        settle(layer, "crossing", sums, crossing);
        multiply(layer["crossing.kernel"], crossing, 0, layer["horizontal.bias"], context);
        for (const [i, y] of [sums, context].entries()) codes[i].forEach((x, j) => { y[j] += x; });
        this.gate(layer["shifts.vertical"], x.subarray(column * F), 0, F);
      }
    }
  }

  gate(shifts, gated, start, stop) {
    const { sums, model: { features: F, tables: { tanh, sigmoid }, mixture } } = this;
    for (let i = start, j = F + start; i < stop; i++, j++) {
      const t = lookUp(tanh, rescale(sums[i], shifts[i]));
      gated[i] = rescale(t * lookUp(sigmoid, rescale(sums[j], shifts[j])), mixture ? 12 : 14);
    }
  }

  /** Computes the outputs of a channel by its groups of features and hidden channels. */
  outputs(column, channel) {
    const { model, features, out, sums, input, hidden, logits } = this, F = model.features;
    const ends = [channel, channel + 1], head = model.head;
    const groupOf = (x) => ends.map((end) => Math.ceil((x.length * end) / model.channels));
    const [[start, stop], ofHidden, [from, to]] = [features, hidden, logits].map(groupOf);
    features.fill(0, start, stop);
    for (const { layer, columns, contexts, gated } of this.layers) {
      const at = column * layer.inputs, own = columns.subarray(at + layer.left);
      const product = [layer["horizontal.kernel"], columns, at, contexts[column], sums];
      if (layer["shifts.input"]) settle(layer, "input", features, own, start, stop);
      else own[0] = 1;
      multiply(...product, start, stop);
      multiply(...product, F + start, F + stop);
      this.gate(layer["shifts.horizontal"], gated, start, stop);
      multiply(layer["out.kernel"], gated, 0, layer["out.bias"], out, start, stop);
      const shifts = layer["shifts.out"], clips = layer["clips.residual"];
      for (let i = start; i < stop; i++) {
        features[i] = clip(features[i] + rescale(out[i], shifts[i]), -clips[i], clips[i]);
      }
    }
    settle(head, "input", features, input, start, stop, 0);
    multiply(head["hidden.kernel"], input, 0, head["hidden.bias"], hidden, ...ofHidden);
    settle(head, "hidden", hidden, hidden, ...ofHidden, 0);
    multiply(head["logits.kernel"], hidden, 0, head["logits.bias"], logits, from, to);
    const shifts = head["shifts.logits"].subarray(from, to);
    const outputs = Array.from(shifts, (shift, i) => rescale(logits[from + i], shift));
    return model.linear_prediction ? this.predict(outputs, column, channel) : outputs;
  }

  /** Adds a linear prediction to the means, from the pixels left, above and above left. */
  predict(outputs, column, channel) {
    const { levels, channels, mixture: count } = this.model;
    const [{ layer: { inputs, left: start, border }, rows, columns }] = this.layers;
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

  set(column, channel, value) {
    const { layer, columns } = this.layers[0], at = layer.left + column * layer.inputs;
    columns[at + 1 + channel] = 2 * value - (this.model.levels - 1);
  }
}
