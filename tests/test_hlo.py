"""The account of a compiled program: programs whose traffic is known, and digits compiled for a TPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hlo import account

BLOCK = 8 * 128 * 4  # bytes of f32[8,128]
SCALAR = 4

# A loop of four doubles a block of a stack and stores it in a second one in place. Before it, a block is copied to the
# memory on the chip by an asynchronous slice, and after it a product reads that block.
PROGRAM = """HloModule known, is_scheduled=true

%sliced (param_0: f32[4,8,128], param_1: s32[]) -> f32[8,128] {
  %param_0 = f32[4,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1 = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %cut = f32[1,8,128]{2,1,0:T(8,128)} dynamic-slice(%param_0, %param_1, %zero, %zero), dynamic_slice_sizes={1,8,128}
  %flat = f32[8,128]{1,0:T(8,128)} bitcast(%cut)
  ROOT %double = f32[8,128]{1,0:T(8,128)} add(%flat, %flat)
}

%stored (param_0.1: f32[4,8,128], param_1.1: f32[8,128], param_2.1: s32[]) -> f32[4,8,128] {
  %param_0.1 = f32[4,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1.1 = f32[8,128]{1,0:T(8,128)} parameter(1)
  %param_2.1 = s32[]{:T(128)} parameter(2)
  %zero.1 = s32[]{:T(128)} constant(0)
  %block = f32[1,8,128]{2,1,0:T(8,128)} bitcast(%param_1.1)
  ROOT %new = f32[4,8,128]{2,1,0:T(8,128)} dynamic-update-slice(%param_0.1, %block, %param_2.1, %zero.1, %zero.1)
}

%body (state: (s32[], f32[4,8,128], f32[4,8,128])) -> (s32[], f32[4,8,128], f32[4,8,128]) {
  %state = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}, f32[4,8,128]{2,1,0:T(8,128)}) parameter(0)
  %number = s32[]{:T(128)} get-tuple-element(%state), index=0
  %from = f32[4,8,128]{2,1,0:T(8,128)} get-tuple-element(%state), index=1
  %to = f32[4,8,128]{2,1,0:T(8,128)} get-tuple-element(%state), index=2
  %doubled = f32[8,128]{1,0:T(8,128)} fusion(%from, %number), kind=kLoop, calls=%sliced, metadata={op_name="a/double"}
  %kept = f32[4,8,128]{2,1,0:T(8,128)} fusion(%to, %doubled, %number), kind=kLoop, calls=%stored
  ROOT %next = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}, f32[4,8,128]{2,1,0:T(8,128)}) tuple(%number, %from, %kept)
}

%condition (state.1: (s32[], f32[4,8,128], f32[4,8,128])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}, f32[4,8,128]{2,1,0:T(8,128)}) parameter(0)
  %number.1 = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  %limit = s32[]{:T(128)} LIMIT
  ROOT %more = pred[]{:T(512)} compare(%number.1, %limit), direction=LT
}

ENTRY %main (x: f32[4,8,128], w: f32[128,3]) -> f32[8,3] {
  %x = f32[4,8,128]{2,1,0:T(8,128)} parameter(0)
  %w = f32[128,3]{1,0:T(8,128)} parameter(1)
  %first = s32[]{:T(128)} constant(0)
  %start = ((f32[4,8,128]{2,1,0:T(8,128)}), f32[8,128]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:1]}
  %init = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}, f32[4,8,128]{2,1,0:T(8,128)}) tuple(%first, %x, %x)
  %loop = (s32[], f32[4,8,128], f32[4,8,128]) while(%init), condition=%condition, body=%body
  %done = f32[8,128]{1,0:T(8,128)S(1)} slice-done(%start)
  %product = f32[8,3]{1,0:T(8,128)} convolution(%done, %w), dim_labels=bf_io->bf, config={"estimated_cycles":"9"}
  ROOT %sum = f32[8,3]{1,0:T(8,128)} all-reduce(%product), replica_groups={{0,1}}, to_apply=%add
}
"""
KNOWN = PROGRAM.replace("LIMIT", "constant(4)")


def test_every_operation_is_counted_once_and_slices_by_what_they_move():
    actual = account(KNOWN)
    # A fusion reads and writes a block, and reads the number of the layer: in the loop twice, four times. The slice
    # reads a block. The product reads w, three columns padded to 128, and writes a padded result. The sum reads
    # and writes it.
    assert actual.main_bytes == 4 * 2 * (2 * BLOCK + SCALAR) + BLOCK + (16 * BLOCK + BLOCK) + 2 * BLOCK
    assert actual.on_chip_bytes == 2 * BLOCK  # the slice writes it there, the product reads it
    assert actual.flops == 2 * 8 * 128 * 3
    assert actual.cycles == 9
    assert actual.collectives == {"all-reduce": {"count": 1, "bytes": BLOCK}}
    assert (actual.host_transfers, actual.unknown_loops) == (0, 0)


def test_a_loop_of_unknown_length_is_named_and_counted_once():
    actual = account(PROGRAM.replace("LIMIT", "get-tuple-element(%state.1), index=0"))
    assert actual.unknown_loops == 1
    assert account(KNOWN).main_bytes - actual.main_bytes == 3 * 2 * (2 * BLOCK + SCALAR)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="the TPU compiler, libtpu, is not installed")
def test_digits_compile_for_a_tpu_and_fit():
    """In a process of its own: the compiler keeps its machine's name, and may be loaded once."""
    command = [sys.executable, "-m", "benchmarks.tpu", "--quick", "--topology=v5e:2x2"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert row["fits"]
    assert row["host_transfers"] == row["unknown_loops"] == 0
    assert row["collectives"].keys() == {"all-reduce"}
    assert row["collectives"]["all-reduce"]["count"] <= 2  # none in the loop over the layers
    assert 0 < row["main_gb"] < 1
    assert 0 < row["tflop"] < 1
