"""A training loop of one's own, recorded as runs of an ensemble.

The three lines that pvensemble asks for are marked. Start the script several times, also at the
same time, with other learning rates: every start adds a run to the same ensemble.

    python examples/record_my_loop.py my.pvens --learning-rate 0.1
    python examples/record_my_loop.py my.pvens --learning-rate 0.02
    pvensemble info my.pvens
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from pvensemble.train.recorder import Recorder


def train(path: str, learning_rate: float, steps: int) -> float:
    """Train a small network on the digits; return its accuracy on held-out images."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    held_out, held_out_labels = images[1500:], labels[1500:]

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)

    # 1. what to record, where, and how often
    params = {"learning_rate": learning_rate}
    recorder = Recorder(model, path, params=params, every=20, probe=held_out[:64])

    for _ in range(steps):
        batch = torch.randint(0, 1500, (32,))
        logits = model(images[batch])
        loss = functional.cross_entropy(logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy = (logits.argmax(1) == labels[batch]).float().mean()

        # 2. every step
        recorder.step(loss=loss, accuracy=accuracy)

    # 3. at the end
    recorder.close()

    with torch.no_grad():
        return float((model(held_out).argmax(1) == held_out_labels).float().mean())


def main() -> None:
    """Train and record one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the ensemble, X.pvens")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    accuracy = train(arguments.path, arguments.learning_rate, arguments.steps)
    print(f"recorded a run into {arguments.path}; held-out accuracy {accuracy:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
