"""Encoding and decoding times of an integer model, against the float model.

Encoding is compared with ``log_prob``, decoding with sampling. Times are the fastest of several rounds, without
compilation. Random access decodes one image with its batch.
"""

import json
from typing import Any

import click
import jax
import numpy as np

from benchmarks.timing import fastest
from pixelcnn_jax import compress, decompress, load_pretrained, log_prob, sample
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import integer_model_of


@click.command(cls=UserCommand, help=__doc__)
@click.option("--model", "name", default="digits", show_default=True, help="A published model with an integer one.")
@click.option("--counts", default="1,16,500", show_default=True, help="Numbers of images.")
@click.option("--many", default=10_000, show_default=True, help="Images of the file from which one is decoded.")
@click.option("--rounds", default=5, show_default=True, help="Number of times that each is timed.")
def main(name: str, counts: str, many: int, rounds: int) -> None:
    model, variables, card = load_pretrained(name)
    integer, integers, _ = load_pretrained(integer_model_of(name))
    height, width, _ = card["image_spec"].shape
    result: dict[str, Any] = {"benchmark": "coding_speed", "model": name, "device": jax.devices()[0].device_kind}
    print("images  log_prob s    encode s       ratio    sample s    decode s       ratio")
    images = np.zeros(0)
    for count in map(int, counts.split(",")):

        def draw(count: int = count) -> Any:
            return sample(model, variables, jax.random.key(0), shape=(count, height, width))

        images = np.asarray(draw())
        data = compress(integer, integers, images)
        times = fastest(
            {
                "log_prob": lambda images=images: log_prob(model, variables, images),
                "encode": lambda images=images: compress(integer, integers, images, verify=False),
                "sample": draw,
                "decode": lambda data=data: decompress(integer, integers, data),
            },
            rounds=rounds,
        )
        encoding, decoding = times["encode"] / times["log_prob"], times["decode"] / times["sample"]
        row = (times["log_prob"], times["encode"], encoding, times["sample"], times["decode"], decoding)
        print(f"{count:6}", *(f"{x:11.4f}" for x in row), flush=True)
        result[str(count)] = times | {"encode_over_log_prob": encoding, "decode_over_sample": decoding}
    data = compress(integer, integers, np.resize(images, (many, *images.shape[1:])), batch_size=16, verify=False)
    image_s = fastest({"one": lambda: decompress(integer, integers, data, group=many // 32)}, rounds=rounds)["one"]
    print(f"one image of {many}, decoded with its group of 16: {image_s:.4f} s")
    print(json.dumps(result | {"one_of_many_s": image_s}))


if __name__ == "__main__":
    main()
