/**
 * Integer PixelCNNs in JavaScript, bit by bit those of Python (docs/integer_codec.md).
 *
 *     const model = await load("mnist_classes_integer.safetensors");
 *     const pixels = await model.sample({ label: 3, seed: 1 });
 */
const TYPES = { I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array };
const MAGIC = [0x93, 0x50, 0x43, 0x4e, 0x4e, 0x0d, 0x0a, 0x1a];
const DAMAGED = "This file is damaged: its length, numbers or checksum do not match.";
const MISFIT = "This file is damaged, or another class was compressed.";

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
  const read = ([path, { dtype, shape, data_offsets: [from, to] }]) => {
    const values = Int32Array.from(new TYPES[dtype](buffer.slice(start + from, start + to)));
    return [path.replace("params.", ""), Object.assign(values, { shape })];
  };
  return Object.fromEntries(Object.entries(header).map(read));
}

/** Cuts an array along its first axis. */
function unstack(x) {
  const [count, ...shape] = x.shape, size = x.length / count;
  const cut = (_, i) => Object.assign(x.subarray(i * size, (i + 1) * size), { shape });
  return Array.from({ length: count }, cut);
}

/** Transposes a kernel, so that the weights of a sum are adjacent. */
function matrix(kernel) {
  const outputs = kernel.shape.at(-1) * (kernel.shape.length > 2 ? 2 : 1); // two halves
  const inputs = kernel.length / outputs;
  const weights = kernel.map((_, i) => kernel[(i % inputs) * outputs + Math.floor(i / inputs)]);
  return { weights, inputs };
}

/** Sets sums[start:stop] to bias + x[at:] @ kernel, four at a time. */
function multiply({ weights, inputs }, x, at, bias, sums, start = 0, stop = sums.length) {
  for (let o = start, last = stop - 1; o < stop; o += 4) {
    const p = Math.min(o + 1, last), q = Math.min(o + 2, last), r = Math.min(o + 3, last);
    let a = bias[o], b = bias[p], c = bias[q], d = bias[r];
    let i = o * inputs, j = p * inputs, k = q * inputs, l = r * inputs;
    for (let n = at, end = at + inputs; n < end; n++) {
      const value = x[n];
      a = (a + Math.imul(weights[i++], value)) | 0;
      b = (b + Math.imul(weights[j++], value)) | 0;
      c = (c + Math.imul(weights[k++], value)) | 0;
      d = (d + Math.imul(weights[l++], value)) | 0;
    }
    sums[o] = a, sums[p] = b, sums[q] = c, sums[r] = d;
  }
}

/** Collects the arrays of a part; kernels become matrices, a vertical one a matrix for each row. */
function collect(arrays, part, pick = (x) => x) {
  const paths = Object.keys(arrays).filter((path) => path.startsWith(`${part}.`));
  const read = (x) => (x.shape.length === 5 ? unstack(x).map(matrix) : matrix(x));
  return Object.fromEntries(paths.map((path) => {
    const x = pick(arrays[path]);
    return [path.slice(part.length + 1), path.endsWith("kernel") ? read(x) : x];
  }));
}

const bitLength = (x) => 32 - Math.clz32(x);
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const rescale = (sum, shift) => (sum + (1 << (shift - 1))) >> shift;

function lookUp(table, x) {
  const reach = table.length >> 1;
  return table[clip(x, -reach, reach) + reach];
}

/** Sets x[start:stop] to sums, rescaled and clipped to [sign * clips, clips]. */
function settle(part, name, sums, x, start = 0, stop = x.length, sign = -1) {
  const shifts = part[`shifts.${name}`], clips = part[`clips.${name}`];
  for (let i = start; i < stop; i++) {
    x[i] = clip(rescale(sums[i], shifts[shifts.length > 1 ? i : 0]), sign * clips[i], clips[i]);
  }
}

/** Draws the slot of a sub-pixel: a hash of seed and index. */
export function slotOf(seed, index, bits) {
  const hash = (x) => {
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return x ^ (x >>> 15);
  };
  return hash(hash(seed) + Math.imul(index, 0x9e3779b9)) >>> (32 - bits);
}

const levelAt = (bounds, slot) => bounds.findIndex((bound) => bound > slot) - 1;
const startsWith = (bytes, start) => start.every((byte, i) => bytes[i] === byte);
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** An integer model. Images are arrays of sub-pixels: by row, column, channel. */
class PixelCNN {
  constructor(arrays, { networks, image_spec: { height, width, classes } }) {
    const { features, levels, channels, mixture, linear_prediction: linear, layers } = networks;
    const isKnown = networks.class === "IntegerPixelCNN" && !networks.code_features;
    check(isKnown && !arrays["condition.shifts.s"], "Only integer models of pixels can be read.");
    Object.assign(this, { arrays, features, levels, channels, mixture, linear, height, width, classes });
    this.totalBits = mixture ? 20 : 16;
    this.tables = collect(arrays, "tables");
    this.head = collect(arrays, "head");
    const inner = (_, i) => collect(arrays, "layers", (x) => unstack(x)[i]);
    this.layers = [collect(arrays, "first"), ...Array.from({ length: layers }, inner)];
    this.layers.forEach((layer, i) => {
      const inputs = i ? features : 1 + channels, rows = layer["vertical.kernel"];
      const left = layer["horizontal.kernel"].inputs / inputs - 1;
      Object.assign(layer, { inputs, rows, left, border: (rows[0].inputs / inputs) >> 1 });
    });
  }

  /** Computes the bounds of the levels' intervals, from 0 to 2**totalBits. */
  bounds(outputs, temperature = 1) {
    const { levels, tables: { exp, logistic, slopes, slope_shifts: shifts }, mixture: count } = this;
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
    const weights = logits.map((_, k) => edges[k + 1] - edges[k]);
    const indices = outputs.slice(2 * count, 3 * count).map((x) => clip(x + wider, 0, slopes.length - 1));
    const step = 2 ** (14 - bitLength(levels - 1)), far = 2 ** 20 - 1;
    const bound = (v) => {
      let below = (weights[count] ?? 0) * 2 ** 16;
      for (let k = 0; k < count; k++) {
        const distance = clip((2 * v - levels) * step - outputs[count + k], -far, far);
        const argument = rescale(distance * slopes[indices[k]], shifts[indices[k]]);
        below += weights[k] * lookUp(logistic, argument);
      }
      return v + Math.floor(below / 2 ** 12);
    };
    return [0, ...Array.from({ length: levels - 1 }, (_, v) => bound(v + 1)), 2 ** 20];
  }

  /** Yields the outputs of each sub-pixel of some images in coding order, and is sent its value. */
  *scan(labels, height, width) {
    const isLabel = (label) => Number.isInteger(label) && label >= 0 && label < this.classes;
    check(!this.classes || labels.every(isLabel), `Choose a label from 0 to ${this.classes - 1}.`);
    const images = labels.map((label) => new ImageState(this, width, this.classes ? label : 0));
    for (let row = 0; row < height; row++) {
      for (const image of images) image.openRow();
      for (let at = 0; at < width * this.channels; at++) {
        const column = Math.floor(at / this.channels), channel = at % this.channels;
        for (const [i, image] of images.entries()) {
          const outputs = image.outputs(column, channel);
          image.set(column, channel, yield { i, index: row * width * this.channels + at, outputs });
        }
      }
    }
  }

  /** Computes the probabilities of the sub-pixel that follows the first ones of an image. */
  conditionals(pixels, { label, width = this.width } = {}) {
    const scan = this.scan([label], Infinity, width);
    let step = scan.next();
    for (const value of pixels) step = scan.next(value);
    const bounds = this.bounds(step.value.outputs);
    return bounds.slice(1).map((bound, v) => (bound - bounds[v]) / 2 ** this.totalBits);
  }

  /**
   * Draws an image, in which the pixels of `given` stay where `mask` is true.
   *
   * `onPixel` is called, and awaited, with { index, value, bounds }; bounds are of temperature 1.
   */
  async sample({ label, given, mask, seed = 0, temperature = 1, onPixel, ...size } = {}) {
    const { height, width } = { ...this, ...size }, scan = this.scan([label], height, width);
    const pixels = new Int32Array(height * width * this.channels);
    for (let step = scan.next(); !step.done;) {
      const { index, outputs } = step.value, bounds = this.bounds(outputs);
      const tempered = temperature === 1 ? bounds : this.bounds(outputs, temperature);
      const drawn = levelAt(tempered, slotOf(seed, index, this.totalBits));
      const value = pixels[index] = mask?.[index] ? given[index] : drawn;
      if (onPixel) await onPixel({ index, value, bounds });
      step = scan.next(value);
    }
    return pixels;
  }

  /** Decodes a .pcnn file; h is a label, or one of each image. Refuses what it cannot trust. */
  async decode(bytes, h, { limit = 2 ** 18, onPixel } = {}) {
    const { count, height, width, streams, size, lanes } = await this.unpack(bytes, limit);
    const labels = Array.from({ length: count }, (_, i) => (Array.isArray(h) ? h[i] : h));
    const images = labels.map(() => new Int32Array(height * width * this.channels));
    for (const [group, stream] of streams.entries()) {
      const [start, stop] = [group * size, (group + 1) * size];
      const scan = this.scan(labels.slice(start, stop), height, width);
      await this.decodeGroup(stream, lanes, scan, images.slice(start, stop), onPixel);
    }
    return { images, height, width };
  }

  async decodeGroup(stream, lanes, scan, images, onPixel) {
    const view = new DataView(stream.buffer), whole = 2 ** this.totalBits;
    const states = Array.from({ length: lanes }, (_, lane) => view.getUint32(4 * lane, true));
    let at = 4 * lanes;
    for (let step = scan.next(); !step.done;) {
      const { i, index, outputs } = step.value, bounds = this.bounds(outputs);
      const slot = states[i % lanes] % whole, value = levelAt(bounds, slot), start = bounds[value];
      let state = (bounds[value + 1] - start) * Math.floor(states[i % lanes] / whole) + slot - start;
      while (state < 2 ** 24 && at < stream.length) state = state * 256 + stream[at++];
      check(state >= 2 ** 24, MISFIT);
      states[i % lanes] = state;
      images[i][index] = value;
      if (onPixel) await onPixel({ i, index, value, bounds });
      step = scan.next(value);
    }
    const padding = Math.max(0, 4 * Math.ceil((images.length * images[0].length) / 4096) - at);
    check(states.every((state) => state === 2 ** 24) && stream.length === at + padding, MISFIT);
    check(stream.subarray(at).every((byte) => !byte), MISFIT);
  }

  /** Reads a container; its numbers are checked before time or memory depends on them. */
  async unpack(bytes, limit) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), end = bytes.length - 8;
    check(end >= 70 && startsWith(bytes, MAGIC), "This is not a .pcnn file.");
    check(view.getUint16(8, true) === 1, "This file has an unknown version of the format.");
    const isWhole = startsWith(await sha256(bytes.subarray(0, end)), bytes.subarray(end));
    check(isWhole && Number(view.getBigUint64(10, true)) === bytes.length, DAMAGED);
    const isOwn = startsWith(await this.digest(), bytes.subarray(18, 34));
    check(isOwn, "This file was compressed with another model.");
    const count = Number(view.getBigUint64(34, true)), numbers = bytes.slice(42, 70).buffer;
    const [height, width, channels, levels, size, lanes, extra] = new Uint32Array(numbers);
    const subpixels = count * height * width * channels;
    check(subpixels <= limit, `This file is too large: it has over ${limit} sub-pixels.`);
    check(size * width <= 2 ** 13, "This file has too many pixels in a row of its images.");
    check(subpixels && lanes && lanes <= size && size <= count, DAMAGED);
    check(channels === this.channels && levels === this.levels, DAMAGED);
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
    const paths = Object.keys(this.arrays).map((path) => path.split("."));
    const parts = paths.sort().flatMap((path) => {
      const x = this.arrays[path.join(".")], comma = x.shape.length === 1 ? "," : "";
      return [`${path.map((name) => `['${name}']`).join("")} (${x.shape.join(", ")}${comma})`, x];
    });
    const blob = new Blob([`${this.channels} ${this.levels}`, ...parts]);
    return (await sha256(await blob.arrayBuffer())).subarray(0, 16);
  }
}

/** What the layers remember of an image: the rows above and the columns to the left. */
class ImageState {
  constructor(model, width, label) {
    const F = model.features, zeros = (size) => new Int32Array(size);
    Object.assign(this, { model, width, label, features: zeros(F), input: zeros(F), out: zeros(F) });
    Object.assign(this, { sums: zeros(2 * F), crossing: zeros(2 * F), bias: zeros(2 * F) });
    this.hidden = zeros(model.head["hidden.bias"].length);
    this.logits = zeros(model.head["logits.bias"].length);
    this.layers = model.layers.map((layer) => ({
      layer,
      rows: layer.rows.map(() => zeros((width + 2 * layer.border) * layer.inputs)),
      columns: zeros((layer.left + width) * layer.inputs),
      contexts: Array.from({ length: width }, () => zeros(2 * F)),
      gated: zeros(F),
    }));
  }

  /** Advances the vertical stack by the row above. */
  openRow() {
    const { model: { features: F }, sums, crossing, bias, layers: [{ layer: first, columns }] } = this;
    let x = columns.subarray(first.left * first.inputs);
    for (const { layer, rows, contexts } of this.layers) {
      rows.push(rows.shift());
      rows.at(-1).set(x, layer.border * layer.inputs);
      x = new Int32Array(this.width * F);
      for (let column = 0; column < this.width; column++) {
        sums.set(layer["vertical.bias"]);
        for (const [i, row] of rows.entries()) {
          multiply(layer.rows[i], row, column * layer.inputs, sums, sums);
        }
        settle(layer, "crossing", sums, crossing);
        bias.set(layer["horizontal.bias"]);
        for (let i = 0, code = 2 * F * this.label; layer.vertical_h && i < 2 * F; i++, code++) {
          sums[i] += layer.vertical_h[code];
          bias[i] += layer.horizontal_h[code];
        }
        multiply(layer["crossing.kernel"], crossing, 0, bias, contexts[column]);
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

  /** Computes a channel's outputs; features and hidden channels are those of its group. */
  outputs(column, channel) {
    const { model: { head, channels, features: F }, features, out, sums, hidden, logits } = this;
    const groupOf = (x) => [channel, channel + 1].map((c) => Math.ceil((x.length * c) / channels));
    const [start, stop] = groupOf(features), [first, last] = groupOf(hidden), [from, to] = groupOf(logits);
    features.fill(0, start, stop);
    for (const { layer, columns, contexts: { [column]: context }, gated } of this.layers) {
      const at = column * layer.inputs, own = columns.subarray(at + layer.left * layer.inputs);
      if (layer["shifts.input"]) settle(layer, "input", features, own, start, stop);
      else own[0] = 1;
      multiply(layer["horizontal.kernel"], columns, at, context, sums, start, stop);
      multiply(layer["horizontal.kernel"], columns, at, context, sums, F + start, F + stop);
      this.gate(layer["shifts.horizontal"], gated, start, stop);
      multiply(layer["out.kernel"], gated, 0, layer["out.bias"], out, start, stop);
      const shifts = layer["shifts.out"], clips = layer["clips.residual"];
      for (let i = start; i < stop; i++) {
        features[i] = clip(features[i] + rescale(out[i], shifts[i]), -clips[i], clips[i]);
      }
    }
    settle(head, "input", features, this.input, start, stop, 0);
    multiply(head["hidden.kernel"], this.input, 0, head["hidden.bias"], hidden, first, last);
    settle(head, "hidden", hidden, hidden, first, last, 0);
    multiply(head["logits.kernel"], hidden, 0, head["logits.bias"], logits, from, to);
    const shifts = head["shifts.logits"].subarray(from, to);
    const outputs = Array.from(shifts, (shift, i) => rescale(logits[from + i], shift));
    return this.model.linear ? this.predict(outputs, column, channel) : outputs;
  }

  /** Adds a linear prediction to the means, from the pixels left, above and above left. */
  predict(outputs, column, channel) {
    const { model: { levels, channels, mixture: count }, layers: [{ layer, rows, columns }] } = this;
    const pixel = (x, at) => x.subarray(at * layer.inputs + 1);
    const own = pixel(columns, layer.left + column), left = pixel(columns, layer.left + column - 1);
    const above = pixel(rows.at(-1), layer.border + column);
    const corner = pixel(rows.at(-1), layer.border + column - 1);
    const error = (x, c) => 2 * x[c] - left[c] - above[c];
    const terms = [left[channel] - above[channel], error(corner, channel)];
    for (let c = 0; c < channels - 1; c++) terms.push(c < channel ? error(own, c) : 0);
    const start = outputs.length - terms.length * count;
    const reach = Math.floor(2 ** 24 / (4 * terms.length * (levels - 1))) - 1;
    const shift = (left[channel] + above[channel]) * 2 ** (13 - bitLength(levels - 1));
    return outputs.slice(0, start).map((output, i) => {
      if (i < count || i >= 2 * count) return output;
      const coefficients = terms.map((_, t) => clip(outputs[start + t * count + i - count], -reach, reach));
      return output + shift + rescale(terms.reduce((sum, term, t) => sum + term * coefficients[t], 0), 5);
    });
  }

  set(column, channel, value) {
    const { layer, columns } = this.layers[0];
    columns[(layer.left + column) * layer.inputs + 1 + channel] = 2 * value - (this.model.levels - 1);
  }
}
