"""Random numbers addressed by position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.noise import bits_across, bits_at, keys_at, keys_of, mix, mixed, name_key, normals, uniforms


def test_reference_values_of_splitmix64() -> None:
    # The first outputs of splitmix64 from state 0, as published with its C source.
    bits = (uniforms(np.zeros(1, dtype=np.uint64), 0, 3)[0] * 2**53).astype(np.uint64)
    assert bits.tolist() == [word >> 11 for word in (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)]


def test_uniforms_fill_the_unit_interval() -> None:
    drawn = uniforms(keys_at(mix(1), np.arange(1000)), 0, 1000)
    assert 0.0 <= drawn.min() < drawn.max() < 1.0
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    # A million draws in 20 bins: 50,000 each with a deviation of 218.
    assert np.abs(counts - 50_000).max() < 5 * 218


def test_normals_have_the_moments_of_the_normal_distribution() -> None:
    drawn = normals(keys_at(mix(2), np.arange(1000)), 3, 1000)
    assert abs(drawn.mean()) < 0.005
    assert abs(drawn.std() - 1.0) < 0.005
    assert abs((drawn**4).mean() - 3.0) < 0.05
    assert np.abs(drawn).max() < 4.2


def test_streams_lanes_and_neighbours_are_independent() -> None:
    keys = keys_at(mix(7), np.arange(2000))
    columns = [normals(keys, 0, 200), normals(keys, 1, 200), normals(keys_at(mix(8), np.arange(2000)), 0, 200)]
    flat = np.array([column.ravel() for column in columns])
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 0.01
    assert abs(np.corrcoef(columns[0][:-1].ravel(), columns[0][1:].ravel())[0, 1]) < 0.01


@given(st.integers(-(2**63), 2**63), st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 6))
def test_a_number_does_not_depend_on_its_company(key: int, positions: list[int], lane: int) -> None:
    together = uniforms(keys_at(mix(key), np.array(positions)), lane, 9)
    alone = [uniforms(keys_at(mix(key), np.array([position])), lane, 4)[0] for position in positions]
    assert (together[:, :4] == np.array(alone)).all()


def test_many_streams_at_once_are_the_streams_one_by_one() -> None:
    streams, positions = [mix(1), mix(2), mix(3, 4)], np.arange(50)
    together = keys_of(streams, positions)
    assert together.tolist() == [keys_at(stream, positions).tolist() for stream in streams]
    assert bits_across(together.ravel(), 2, 7).T.tolist() == bits_at(together.ravel(), 2, 7).tolist()


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3))
def test_streams_mixed_together_are_those_mixed_alone(streams: list[int], parts: list[int]) -> None:
    assert mixed(streams, *parts).tolist() == [mix(stream, *parts) for stream in streams]


def test_names_have_fixed_keys() -> None:
    # The check value of CRC-32.
    assert name_key("123456789") == 0xCBF43926
    assert mix(1, 2) != mix(2, 1)
