/** Computes for the page. A new task ends the one before. */
import { load } from "./pixelcnn.js";

const models = {}, { port1, port2 } = new MessageChannel();
let latest;

onmessage = async ({ data: { id, url, bytes, ...options } }) => {
  let steps = [], posted = 0;
  latest = id;
  const post = (message) => {
    if (id === latest) postMessage({ id, steps, ...message });
    [steps, posted] = [[], performance.now()];
  };
  const onPixel = async ({ bounds, ...step }) => {
    steps.push(bytes ? step : { ...step, bounds });
    if (performance.now() < posted + 16) return;
    post();
    await new Promise((resolve) => { port1.onmessage = resolve; port2.postMessage(null); });
    if (id !== latest) throw new Error("A new task began.");
  };
  try {
    const model = await (models[url] ??= load(url)), began = performance.now();
    const { levels, channels, width, height, totalBits } = model;
    post({ model: { levels, channels, width, height, totalBits } });
    const isFile = bytes && model.decode(bytes, options.label, { onPixel });
    const result = await (isFile ?? model.sample({ ...options, onPixel }));
    post({ result, seconds: (performance.now() - began) / 1000 });
  } catch (error) {
    post({ error: error.message });
  }
};
