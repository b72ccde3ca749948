/** Computes for the page. A new task ends the one before. */
import { load } from "./pixelcnn.js";

const models = {}, channel = new MessageChannel();
let latest;

function pause() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

onmessage = async ({ data: { id, url, bytes, ...options } }) => {
  latest = id;
  let steps = [], posted = 0;
  const post = (message) => {
    if (id === latest) postMessage({ id, steps, ...message });
    [steps, posted] = [[], performance.now()];
  };
  const onPixel = async ({ bounds, ...step }) => {
    steps.push(bytes ? step : { ...step, bounds });
    if (performance.now() < posted + 16) return;
    post();
    await pause();
    if (id !== latest) throw new Error();
  };
  try {
    const model = await (models[url] ??= load(url));
    const { levels, channels, width, height, totalBits } = model, began = performance.now();
    post({ model: { levels, channels, width, height, totalBits } });
    const result = bytes ? model.decode(bytes, options.label, { onPixel })
      : model.sample({ ...options, onPixel });
    post({ result: await result, seconds: (performance.now() - began) / 1000 });
  } catch (error) {
    post({ error: error.message });
  }
};
