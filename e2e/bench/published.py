"""
QuantEase as published (cyclic coordinate descent, accelerated by one product per sweep), in plain PyTorch, timed on linears of given shapes.

    python3 published.py --shapes 576x576,1536x576 [--sweeps 30] [--bits 3] [--device cuda|cpu] [--tokens 4096]

Prints one line of JSON: the device, what a check against the column-by-column form in float64 found, and for each shape q x p the seconds
of one linear (median of three, after one that warms up) and its relative error. Without torch, or without CUDA where that was asked for,
the line holds `missing`, and the exit code is 0: that is an answer, too.

For W [q, p], Sigma = X X^T [p, p]: N = Sigma with column j divided by Sigma_jj, N0 = N without its diagonal, P = W N. A sweep computes
P' = What N0 once, then for each column j: beta_j = P_j - P'_j + sum_{k<j} (What_k before - What_k now) N0_kj, and What_j = grid(beta_j).
Sweeps 1, 4, 7, ... up to 25, but not the last, leave beta_j unrounded.
"""

import argparse
import json
import statistics
import sys
import time


def grid_of(weight, bits):
    """Scale and zero point of each row, asymmetric, zero included."""
    most = 2**bits - 1
    low = weight.amin(1, keepdim=True).clamp(max=0)
    high = weight.amax(1, keepdim=True).clamp(min=0)
    scale = (high - low) / most
    scale[scale == 0] = 1
    return scale, torch.round(-low / scale), most


def on_grid(values, scale, zero, most):
    return scale * ((torch.round(values / scale) + zero).clamp(0, most) - zero)


def relaxed(sweep, sweeps):
    return sweep % 3 == 1 and sweep <= 25 and sweep != sweeps - 1


def accelerated(weight, sigma, bits, sweeps):
    """What it is published as: one product per sweep, the rest column by column."""
    scale, zero, most = grid_of(weight, bits)
    normalised = sigma / sigma.diagonal()
    target = weight @ normalised
    normalised = normalised - torch.diag(normalised.diagonal())
    what = weight.clone()
    columns = weight.shape[1]
    for sweep in range(sweeps):
        free = relaxed(sweep, sweeps)
        product = what @ normalised
        moved = torch.zeros_like(what)
        for j in range(columns):
            beta = target[:, j] - product[:, j]
            if j:
                beta = beta + moved[:, :j] @ normalised[:j, j]
            new = beta if free else on_grid(beta[:, None], scale, zero, most)[:, 0]
            moved[:, j] = what[:, j] - new
            what[:, j] = new
    return what


def plain(weight, sigma, bits, sweeps):
    """Column by column from the definition, for the check."""
    scale, zero, most = grid_of(weight, bits)
    what = weight.clone()
    for sweep in range(sweeps):
        free = relaxed(sweep, sweeps)
        for j in range(weight.shape[1]):
            beta = what[:, j] + (weight - what) @ sigma[:, j] / sigma[j, j]
            what[:, j] = beta if free else on_grid(beta[:, None], scale, zero, most)[:, 0]
    return what


def problem(q, p, tokens, device, dtype):
    """A linear whose inputs are correlated, by a seed."""
    made = torch.Generator().manual_seed(q * 65536 + p)
    mix = torch.randn(p, p, generator=made, dtype=torch.float64) / p**0.5 + torch.eye(p, dtype=torch.float64)
    inputs = mix @ torch.randn(p, tokens, generator=made, dtype=torch.float64)
    weight = torch.randn(q, p, generator=made, dtype=torch.float64) / p**0.5
    return weight.to(device, dtype), (inputs @ inputs.T / tokens).to(device, dtype)


def error_of(weight, what, sigma):
    lost = weight - what
    return (((lost @ sigma) * lost).sum() / ((weight @ sigma) * weight).sum()).item()


def check():
    """Largest difference between both forms, relative to the largest weight."""
    weight, sigma = problem(12, 40, 200, "cpu", torch.float64)
    both = [solve(weight, sigma, 3, 30) for solve in (plain, accelerated)]
    return ((both[0] - both[1]).abs().max() / weight.abs().max()).item()


def seconds_of(weight, sigma, bits, sweeps, device):
    def once():
        if device == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        what = accelerated(weight, sigma, bits, sweeps)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun, what

    once()
    timed = [once() for _ in range(3)]
    return statistics.median(seconds for seconds, _ in timed), timed[0][1]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--shapes", required=True)
    options.add_argument("--sweeps", type=int, default=30)
    options.add_argument("--bits", type=int, default=3)
    options.add_argument("--tokens", type=int, default=4096)
    options.add_argument("--device", default="cuda")
    asked = options.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        return {"missing": f"torch {torch.__version__} sees no CUDA device"}
    away = check()
    if away > 1e-10:
        raise SystemExit(f"Both forms differ by {away}.")
    shapes = []
    for shape in asked.shapes.split(","):
        q, p = (int(side) for side in shape.split("x"))
        weight, sigma = problem(q, p, asked.tokens, asked.device, torch.float32)
        seconds, what = seconds_of(weight, sigma, asked.bits, asked.sweeps, asked.device)
        shapes.append({"shape": [q, p], "seconds": seconds, "relativeError": error_of(weight, what, sigma)})
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__, "sweeps": asked.sweeps, "bits": asked.bits, "difference": away, "shapes": shapes}


try:
    import torch
except ImportError as error:
    print(json.dumps({"missing": f"{sys.executable} has no torch ({error})"}))
    sys.exit(0)
with torch.no_grad():
    print(json.dumps(main()))
