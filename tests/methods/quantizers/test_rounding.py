"""Rounded weights: by hand, against exact fractions and torchao, and what holds for all."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.methods.quantizers.rounding import quantized, restored, rounded_to

BITS = [2, 3, 4, 8]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
GROUPS = st.one_of(st.none(), st.integers(1, 20))
MATRICES = hn.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 17)),
    elements=st.floats(-1000, 1000, width=32),
)


def test_four_bits_in_groups_of_two_by_hand():
    # c = 7, so scales are max|w| / 7.
    weight = torch.tensor(
        [
            [7.0, -3.4, 14.0, 5.0],  # 1: 7, -3.4 -> -3;      2: 7, 2.5 -> 2 (half to even)
            [0.0, 0.0, 0.0, -3.5],  # all zero: 1;            0.5: 0, -7
            [-1.75, 0.375, 7.0, 0.5],  # 0.25: -7, 1.5 -> 2;  1: 7, 0.5 -> 0 (half to even)
            [21.0, -21.0, 28.0, -6.1],  # 3: 7, -7;           4: 7, -1.525 -> -2
        ]
    )
    codes, scales = quantized(weight, 4, 2)
    assert codes.dtype == torch.int8 and scales.dtype == torch.float32
    assert scales.tolist() == [[1, 2], [1, 0.5], [0.25, 1], [3, 4]]
    assert codes.tolist() == [[7, -3, 7, 2], [0, 0, 0, -7], [-7, 2, 7, 0], [7, -7, 7, -2]]
    assert restored(codes, scales, 2, torch.float32).tolist() == [
        [7, -3, 14, 4], [0, 0, 0, -3.5], [-1.75, 0.5, 7, 0], [21, -21, 28, -8],
    ]  # fmt: skip


def test_groups_of_three_leave_a_shorter_last_one_and_none_is_a_row_by_hand():
    weight = torch.tensor([[7.0, 1.0, -2.0, 0.5]])
    codes, scales = quantized(weight, 4, 3)
    assert codes.tolist() == [[7, 1, -2, 7]] and scales.tolist() == [
        [1.0, float(np.float32(1 / 14))]
    ]
    codes, scales = quantized(weight, 4, None)
    # 0.5 is half: to even.
    assert codes.tolist() == [[7, 1, -2, 0]] and scales.tolist() == [[1.0]]
    assert all(map(torch.equal, quantized(weight, 4, 4), quantized(weight, 4, 100)))


def test_two_bits_are_three_values():
    codes, scales = quantized(torch.tensor([[3.0, -3.0, 1.0, -2.0]]), 2, None)
    assert codes.tolist() == [[1, -1, 0, -1]] and scales.tolist() == [[3.0]]


def test_float64_is_not_rounded_before_it_is_divided():
    # In float32 the second one is half, which would go to 0.
    codes, _ = quantized(torch.tensor([[7.0, 0.5 + 1e-12]], dtype=torch.float64), 4, None)
    assert codes.tolist() == [[7, 1]]


def in_fractions(weight, bits, group):
    """(codes, scales) without any rounding but the two that are meant."""
    most = 2 ** (bits - 1) - 1
    codes, scales = [], []
    for row in weight.double().tolist():
        width = group or len(row)
        codes.append([])
        scales.append([])
        for start in range(0, len(row), width):
            members = [Fraction(value) for value in row[start : start + width]]
            largest = max(map(abs, members))
            scale = Fraction(float(np.float32(float(largest / most)))) if largest else Fraction(1)
            scales[-1].append(float(scale))
            # round() of a Fraction is half to even.
            codes[-1] += [max(-most, min(most, round(value / scale))) for value in members]
    return codes, scales


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("group", [1, 5, 8, None])
def test_codes_and_scales_are_those_of_exact_fractions(dtype, bits, group):
    generator = torch.Generator().manual_seed(bits)
    weight = (torch.randn(6, 24, generator=generator) * 0.02).to(dtype)
    weight[2] = 0
    codes, scales = quantized(weight, bits, group)
    assert (codes.tolist(), scales.tolist()) == in_fractions(weight, bits, group)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", BITS)
def test_restored_is_the_exact_product_rounded_to_the_type(dtype, bits):
    weight = torch.randn(3, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    codes, scales = quantized(weight, bits, 4)
    got = restored(codes, scales, 4, dtype)
    assert got.dtype == dtype
    for i in range(3):
        for j in range(10):
            product = float(codes[i, j]) * float(scales[i, j // 4])
            assert float(got[i, j]) == float(torch.tensor(product, dtype=torch.float64).to(dtype))


@pytest.mark.parametrize("bits, group", [(4, 32), (8, 32), (4, 128), (8, 128)])
def test_scales_and_codes_are_torchaos(bits, group):
    primitives = pytest.importorskip("torchao.quantization.quant_primitives")
    most = 2 ** (bits - 1) - 1
    weight = torch.randn(16, 256, generator=torch.Generator().manual_seed(1)) * 0.02
    weight[3, :128] = 0
    codes, scales = quantized(weight, bits, group)
    theirs, zeros = primitives.choose_qparams_affine(
        weight, primitives.MappingType.SYMMETRIC, (1, group), torch.int8, -most, most
    )
    assert not zeros.any()
    live = scales != 1
    assert torch.equal(theirs.reshape(scales.shape)[live], scales[live])
    integers = primitives.quantize_affine(
        weight, (1, group), theirs, zeros, torch.int8, -most, most
    )
    # They multiply by 1 / scale in float32, which decides ties by rounding errors.
    quotient = weight.double() / scales.double().repeat_interleave(group, dim=1)
    clear = (quotient - quotient.floor() - 0.5).abs() > 1e-4
    assert clear.double().mean() > 0.999
    assert torch.equal(integers[clear], codes[clear])
    back = primitives.dequantize_affine(
        integers, (1, group), theirs, zeros, torch.int8, -most, most
    )
    ours = restored(codes, scales, group, torch.float32)
    torch.testing.assert_close(back[clear], ours[clear], rtol=1e-6, atol=0)


@pytest.mark.parametrize("bits", BITS)
@given(MATRICES, GROUPS)
def test_the_error_is_at_most_half_a_scale(bits, values, group):
    weight = torch.from_numpy(values)
    codes, scales = quantized(weight, bits, group)
    width = min(group or weight.shape[1], weight.shape[1])
    assert scales.shape == (len(weight), -(-weight.shape[1] // width))
    assert int(codes.abs().max()) <= 2 ** (bits - 1) - 1
    each = scales.double().repeat_interleave(width, dim=1)[:, : weight.shape[1]]
    error = (weight.double() - restored(codes, scales, group, torch.float64)).abs()
    assert (error <= each / 2 * (1 + 1e-5)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@given(MATRICES, GROUPS)
def test_in_shorter_types_the_error_grows_by_their_own_rounding(dtype, values, group):
    weight = torch.from_numpy(values).to(dtype)
    codes, scales = quantized(weight, 8, group)
    width = min(group or weight.shape[1], weight.shape[1])
    each = scales.double().repeat_interleave(width, dim=1)[:, : weight.shape[1]]
    back = restored(codes, scales, group, dtype).double()
    facts = torch.finfo(dtype)
    slack = facts.eps * back.abs() + facts.smallest_normal * facts.eps + each * 1e-5
    assert ((weight.double() - back).abs() <= each / 2 + slack).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(MATRICES, GROUPS, st.integers(0, 99))
def test_pruned_weights_stay_pruned(dtype, values, group, seed):
    gone = torch.from_numpy(np.random.default_rng(seed).random(values.shape) < 0.5)
    weight = torch.from_numpy(values).to(dtype).masked_fill(gone, 0)
    codes, scales = quantized(weight, 4, group)
    assert (codes[weight == 0] == 0).all()
    assert (restored(codes, scales, group, dtype)[weight == 0] == 0).all()


@pytest.mark.parametrize("bits", BITS)
@given(MATRICES, GROUPS)
def test_quantising_again_changes_no_code(bits, values, group):
    codes, scales = quantized(torch.from_numpy(values), bits, group)
    for dtype, tolerance in ((torch.float64, 0.0), (torch.float32, 2.0**-22)):
        again, same = quantized(restored(codes, scales, group, dtype), bits, group)
        assert torch.equal(again, codes)
        width = min(group or codes.shape[1], codes.shape[1])
        # A group of codes 0 only (of weights that are less than the smallest scale) gets scale 1.
        live = torch.nn.functional.pad(codes, (0, -codes.shape[1] % width)) != 0
        live = live.reshape(len(codes), -1, width).any(dim=2)
        torch.testing.assert_close(same[live], scales[live], rtol=tolerance, atol=0)


@given(MATRICES, GROUPS, st.integers(-20, 20))
def test_a_power_of_two_scales_the_scales_and_keeps_the_codes(values, group, exponent):
    # Magnitudes at which no scale meets its lower limit.
    weight = torch.from_numpy(values).round(decimals=2)
    codes, scales = quantized(weight, 4, group)
    factor = 2.0**exponent
    same, scaled = quantized(weight * factor, 4, group)
    assert torch.equal(same, codes)
    back = restored(same, scaled, group, torch.float64)
    assert torch.equal(back, restored(codes, scales, group, torch.float64) * factor)


@given(MATRICES, GROUPS)
def test_negated_weights_have_negated_codes(values, group):
    weight = torch.from_numpy(values)
    (codes, scales), (negated, same) = quantized(weight, 4, group), quantized(-weight, 4, group)
    assert torch.equal(negated, -codes) and torch.equal(same, scales)


@given(MATRICES, GROUPS, st.integers(0, 99))
def test_rows_do_not_depend_on_one_another(values, group, seed):
    weight = torch.from_numpy(values)
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(values)))
    codes, scales = quantized(weight, 8, group)
    moved, of_rows = quantized(weight[rows], 8, group)
    assert torch.equal(moved, codes[rows]) and torch.equal(of_rows, scales[rows])


@pytest.mark.parametrize("size", [1e-45, 1e-40, 1e-37, 3e38])
@pytest.mark.parametrize("bits", BITS)
def test_the_ends_of_float32_keep_the_bound(bits, size):
    weight = torch.tensor([[size, -size / 3, 0.0, size / 7]])
    codes, scales = quantized(weight, bits, None)
    error = (weight.double() - restored(codes, scales, None, torch.float64)).abs()
    assert scales.isfinite().all() and (error <= float(scales) / 2 * (1 + 1e-5)).all()


def test_arguments_are_checked():
    weight = torch.ones(2, 4)
    for bits in (1, 9):
        with pytest.raises(ValueError, match=f"bits {bits}: allowed are 2 to 8"):
            quantized(weight, bits, None)
    for group in (0, -1):
        with pytest.raises(ValueError, match=f"group {group}: allowed are 1"):
            quantized(weight, 4, group)
    with pytest.raises(ValueError, match="int32"):
        quantized(weight.int(), 4, None)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"largest magnitude {bad}"):
            quantized(torch.tensor([[1.0, bad]]), 4, None)
    with pytest.raises(ValueError, match=r"groups of 2 inputs need scales of shape \(2, 2\)"):
        restored(torch.ones(2, 4, dtype=torch.int8), torch.ones(2, 1), 2, torch.float32)


def test_shorter_floats_by_hand():
    # bfloat16 has 8 significant bits: above 256 it holds even numbers only, half to even.
    weight = torch.tensor([[257.0, 259.0, 1.0, 0.0], [3e38, -0.5, 258.0, 1 + 2**-8]])
    assert rounded_to(weight, "bfloat16").tolist() == [
        [256.0, 260.0, 1.0, 0.0],
        [float(torch.tensor(3e38).bfloat16()), -0.5, 258.0, 1.0],
    ]
    # float16 has 11, and above 2048 it holds even numbers only.
    weight = torch.tensor([[2049.0, 2051.0, 65504.0, 0.0]])
    assert rounded_to(weight, "float16").tolist() == [[2048.0, 2052.0, 65504.0, 0.0]]


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@given(MATRICES)
def test_shorter_floats_keep_type_zeros_and_values_they_hold(name, values):
    weight = torch.from_numpy(values)
    once = rounded_to(weight, name)
    assert once.dtype == weight.dtype and torch.equal(rounded_to(once, name), once)
    facts = torch.finfo(getattr(torch, name))
    bound = weight.abs() * facts.eps / 2 + facts.smallest_normal * facts.eps
    assert ((once - weight).abs() <= bound).all() and (once[weight == 0] == 0).all()
    short = weight.to(getattr(torch, name))
    assert torch.equal(rounded_to(short, name), short)


def test_a_number_beyond_the_shorter_type_is_refused_with_the_largest():
    weight = torch.tensor([[1.0, -70000.0], [66000.0, 0.0]])
    with pytest.raises(ValueError, match="largest magnitude 70000.0: float16 holds .* 65504"):
        rounded_to(weight, "float16")
    with pytest.raises(ValueError, match="bfloat16 holds"):
        rounded_to(torch.tensor([3.4e38]), "bfloat16")
    with pytest.raises(ValueError, match="type 'int8': allowed are bfloat16, float16"):
        rounded_to(weight, "int8")
