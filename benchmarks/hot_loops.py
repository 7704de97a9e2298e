"""What llvm-mca says of the hot loops: cycles by a model of the processor, without its memory.

``python benchmarks/hot_loops.py [--cpu znver4] [--mca llvm-mca-19]`` prints a table for Markdown.
Only the loop is modelled, as if all it reads lay in the L1 cache: beside the measured times it
shows what memory adds.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterator

import numpy as np

import maddjit
from maddjit.models.maddness import MaddnessModel

LEVEL = "x86-64-v4-vbmi"
N_FEATURES, N_CODEBOOKS, N_OUTPUTS = 512, 16, 128


def random_model(n_prototypes: int, largest: int) -> MaddnessModel:
    """Return a model whose trees split neighbouring columns, as those of the paper do."""
    rng = np.random.default_rng(0)
    depth, width = n_prototypes.bit_length() - 1, N_FEATURES // N_CODEBOOKS
    columns = np.stack([rng.choice(width, depth, replace=False) for _ in range(N_CODEBOOKS)])
    return MaddnessModel(
        columns + width * np.arange(N_CODEBOOKS)[:, np.newaxis],
        rng.standard_normal((N_CODEBOOKS, n_prototypes - 1)),
        rng.integers(0, largest + 1, (N_CODEBOOKS, n_prototypes, N_OUTPUTS)),
        np.ones(N_OUTPUTS),
        np.zeros(N_OUTPUTS),
        N_FEATURES,
    )


def innermost_loops(assembly: str) -> Iterator[list[str]]:
    """Yield the instructions of every loop that holds no other."""
    lines = assembly.splitlines()
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.match(r"\.LBB\w+:", line)}
    for i, line in enumerate(lines):
        jump = re.match(r"\tj\w+\t(\.LBB\w+)", line)
        if jump and labels.get(jump[1], i) < i:
            body = lines[labels[jump[1]] + 1 : i + 1]
            if not any(re.match(r"\.LBB", inner) for inner in body):
                yield [code for code in body if re.match(r"\t[a-z]", code)]


def modelled(body: list[str], cpu: str, mca: str) -> dict[str, float]:
    """Return cycles and micro-operations of one turn of a loop."""
    code = "\n".join([*body[:-1], ""])
    command = [mca, f"-mcpu={cpu}", "-mtriple=x86_64", "--iterations=200", "--json", "-"]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]
    return {
        "instructions": len(body),
        "uops": summary["TotaluOps"] / summary["Iterations"],
        "cycles": summary["TotalCycles"] / summary["Iterations"],
        "bound": summary["BlockRThroughput"],
    }


def kernels() -> Iterator[tuple[str, str, str, int, str]]:
    """Yield a loop's name, its assembly, an instruction it has, how many at least, and its unit."""
    narrow, wide = random_model(16, 15), random_model(16, 255)
    op = maddjit.compile(narrow, LEVEL)
    yield "encode, row-major", op.asm(), "vpermt2ps", 4, "a row, 16 codebooks"
    yield "scan by table rows, 8-bit sums", op.asm(), "vpaddb", 16, "a row, 128 outputs"
    code = maddjit.compile(wide, LEVEL).asm()
    yield "scan by table rows, 16-bit sums", code, "vpaddw", 16, "a row, 128 outputs"
    columns = {"order": "F", "result": "sums", "out_order": "F"}
    code = op.asm(**columns)  # type: ignore[arg-type]
    yield "encode, column-major", code, "vblendmps", 4, "16 rows, a codebook"
    yield "scan by byte shuffles", code, "vpshufb", 8, "256 rows, 4 outputs, 2 codebooks"
    code = maddjit.compile(random_model(64, 15), LEVEL).asm(**columns)  # type: ignore[arg-type]
    yield "the same, K = 64", code, "vpermb", 8, "256 rows, 4 outputs, 2 codebooks"
    code = maddjit.compile(wide, LEVEL).asm(**columns)  # type: ignore[arg-type]
    yield "scan by quads", code, "vpdpbusd", 8, "32 rows, 4 outputs, 8 codebooks"


def main(cpu: str, mca: str) -> None:
    """Print the table."""
    print(f"| hot loop ({cpu}) | a turn is | instructions | µops | cycles | bound by throughput |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, assembly, instruction, least, unit in kernels():
        for body in innermost_loops(assembly):
            if sum(code.split()[0] == instruction for code in body) >= least:
                of = modelled(body, cpu, mca)
                print(
                    f"| {name} | {unit} | {of['instructions']} | {of['uops']:.0f} "
                    f"| {of['cycles']:.0f} | {of['bound']:.0f} |"
                )
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", default="znver4")
    parser.add_argument("--mca", default="llvm-mca-19")
    options = parser.parse_args()
    main(options.cpu, options.mca)
