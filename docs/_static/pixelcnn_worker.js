/** Computes for the page: draws an image, or decodes the bytes of a file. */
import { load } from "./pixelcnn.js";

onmessage = async ({ data: { url, bytes, label, ...options } }) => {
  let steps = [], posted = 0;
  const post = (message) => {
    postMessage({ steps, ...message });
    [steps, posted] = [[], performance.now()];
  };
  const onPixel = (step) => steps.push(step) && performance.now() > posted + 16 && post();
  try {
    const model = await load(url), start = performance.now();
    post({ size: model.size });
    if (bytes) await model.decode(bytes, label, { onPixel });
    else await model.sample({ label, ...options, onPixel });
    post({ seconds: (performance.now() - start) / 1000 });
  } catch ({ message }) {
    post({ error: message });
  }
};
