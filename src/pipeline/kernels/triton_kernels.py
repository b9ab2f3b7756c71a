"""The Triton programs behind `triton.py`.

An FFN's program takes every n-th of the neurons to be read, n being the number of programs, keeps
its sum of outputs in registers, and writes it once; another program adds the sums in a fixed order,
so that a repeated call gives the same bits, which atomic additions would not. Programs that share
neurons and differ in the rows of x follow one another, so that weights are read from memory once.
Nothing here waits for the device: all of it can be captured in a CUDA graph.
"""

import triton
import triton.language as tl

#: In the order that `activated` knows them by.
ACTIVATIONS = ("identity", "relu", "relu2", "silu", "gelu", "gelu_tanh", "relu6")


@triton.jit
def activated(v, ACTIVATION: tl.constexpr):
    """The activation function, by its place in ACTIVATIONS; NaN stays NaN."""
    if ACTIVATION == 1:
        return tl.where(v <= 0, 0.0, v)
    elif ACTIVATION == 2:
        return tl.where(v <= 0, 0.0, v * v)
    elif ACTIVATION == 3:
        return v / (1 + tl.exp(-v))
    elif ACTIVATION == 4:
        return 0.5 * v * (1 + tl.erf(v * 0.7071067811865476))
    elif ACTIVATION == 5:
        # tanh(z) = 2 sigmoid(2 z) - 1
        z = 0.7978845608028654 * (v + 0.044715 * v * v * v)
        return v / (1 + tl.exp(-2 * z))
    elif ACTIVATION == 6:
        return tl.where(v <= 0, 0.0, tl.where(v > 6, 6.0, v))
    else:
        return v


@triton.jit
def list_active(mask, found, count, size, BLOCK: tl.constexpr):
    """Indices of a mask's true elements in their order, and how many: one program, (size,)."""
    place = tl.arange(0, BLOCK)
    on = tl.load(mask + place, mask=place < size, other=0).to(tl.int32)
    at = tl.cumsum(on, 0) - on
    tl.store(found + at, place, mask=on != 0)
    tl.store(count, tl.sum(on, 0))


@triton.jit
def ffn(
    x, x_row, x_column, rows, scales, gate_bias, up_bias, listed, count, mask, mask_row, sums,
    batch, d, d_ff, padded, threshold,
    MATRICES: tl.constexpr, SCALES: tl.constexpr, GATE_BIAS: tl.constexpr, UP_BIAS: tl.constexpr,
    LISTED: tl.constexpr, MASKED: tl.constexpr, THRESHOLDED: tl.constexpr,
    ACTIVATION: tl.constexpr, BATCH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program's sums of neurons' outputs, (programs, batch, padded), for BATCH rows of x."""
    program, programs = tl.program_id(1), tl.num_programs(1)
    b = tl.program_id(0) * BATCH + tl.arange(0, BATCH)
    column = tl.arange(0, BLOCK)
    inside = column < padded
    there = b < batch
    values = tl.load(
        x + b[:, None] * x_row + column[None, :] * x_column,
        mask=there[:, None] & (column < d)[None, :], other=0.0,
    ).to(tl.float32)  # fmt: skip
    total = tl.zeros((BATCH, BLOCK), tl.float32)
    last = tl.load(count) if LISTED else d_ff
    for place in range(program, last, programs):
        i = tl.cast(tl.load(listed + place) if LISTED else place, tl.int64)
        # Each row of x by itself: a row that does not need a neuron must not be affected by an
        # infinity in it.
        on = (
            there & (tl.load(mask + b * mask_row + i, mask=there, other=0) != 0)
            if MASKED
            else there
        )
        first = rows + i * padded
        # From a neuron's row in one matrix to its row in the next.
        matrix = tl.cast(d_ff, tl.int64) * padded
        w = tl.load(first + column, mask=inside, other=0).to(tl.float32)
        a = tl.sum(values * w[None, :], 1)
        if SCALES:
            a *= tl.load(scales + i)
        if MATRICES == 3:
            if GATE_BIAS:
                a += tl.load(gate_bias + i)
        else:
            if UP_BIAS:
                a += tl.load(up_bias + i)
        h = activated(a, ACTIVATION)
        if THRESHOLDED:
            # A comparison that NaN fails keeps NaN.
            on = on & ((tl.abs(h) <= threshold) == 0)
        if tl.max(on.to(tl.int32), 0) != 0:
            if MATRICES == 3:
                w = tl.load(first + matrix + column, mask=inside, other=0).to(tl.float32)
                u = tl.sum(values * w[None, :], 1)
                if SCALES:
                    u *= tl.load(scales + d_ff + i)
                if UP_BIAS:
                    u += tl.load(up_bias + i)
                h *= u
            if SCALES:
                h *= tl.load(scales + (MATRICES - 1) * d_ff + i)
            w = tl.load(first + (MATRICES - 1) * matrix + column, mask=inside, other=0).to(
                tl.float32
            )
            total += tl.where(on[:, None], h[:, None] * w[None, :], 0.0)
    tl.store(
        sums + (tl.cast(program, tl.int64) * batch + b[:, None]) * padded + column[None, :],
        total, mask=there[:, None] & inside[None, :],
    )  # fmt: skip


@triton.jit
def linear(
    x, x_row, x_column, rows, scales, sums, batch, inputs, padded, threshold,
    SCALES: tl.constexpr, BATCH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program's sums over every n-th block of CHANNELS, n being the number of programs, for
    BLOCK outputs."""
    split, splits = tl.program_id(2), tl.num_programs(2)
    b = tl.program_id(0) * BATCH + tl.arange(0, BATCH)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < padded
    there = b < batch
    total = tl.zeros((BATCH, BLOCK), tl.float32)
    for start in range(split * CHANNELS, inputs, splits * CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        v = tl.load(
            x + b[:, None] * x_row + channel[None, :] * x_column,
            mask=there[:, None] & (channel < inputs)[None, :], other=0.0,
        ).to(tl.float32)  # fmt: skip
        on = ((tl.abs(v) <= threshold) == 0) & there[:, None] & (channel < inputs)[None, :]
        needed = tl.max(on.to(tl.int32), 0) != 0
        if SCALES:
            v *= tl.load(scales + channel, mask=needed, other=0.0)[None, :]
        w = tl.load(
            rows + channel.to(tl.int64)[:, None] * padded + column[None, :],
            mask=needed[:, None] & inside[None, :], other=0,
        ).to(tl.float32)  # fmt: skip
        product = tl.where(on[:, :, None], v[:, :, None] * w[None, :, :], 0.0)
        total += tl.sum(product, 1)
    tl.store(
        sums + (tl.cast(split, tl.int64) * batch + b[:, None]) * padded + column[None, :],
        total, mask=there[:, None] & inside[None, :],
    )  # fmt: skip


@triton.jit
def add_up(sums, bias, y, batch, outputs, padded, parts, BIAS: tl.constexpr, BLOCK: tl.constexpr):
    """y, (batch, outputs), of sums, (parts, batch, padded), added in their order."""
    b = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < outputs
    total = tl.zeros((BLOCK,), tl.float32)
    for part in range(parts):
        total += tl.load(
            sums + (tl.cast(part, tl.int64) * batch + b) * padded + column, mask=inside, other=0.0
        )
    if BIAS:
        total += tl.load(bias + column, mask=inside, other=0.0)
    tl.store(y + b * outputs + column, total.to(y.dtype.element_ty), mask=inside)
