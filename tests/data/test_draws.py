import numpy as np

from detbench.data.draws import Draws, permutation


def test_stream_is_numpys_guaranteed_raw_stream():
    draws = Draws(1, 2, 3)
    assert [draws.integer(1000) for _ in range(6)] == [670, 111, 511, 356, 704, 479]
    assert Draws(1, 2, 3).unit() == 0.6704722626516632
    assert Draws(1, 2, 4).unit() != Draws(1, 2, 3).unit()


def test_ranges():
    draws = Draws(0)
    units = np.array([draws.unit() for _ in range(4000)])
    assert 0 <= units.min() < 0.01
    assert 0.99 < units.max() < 1
    assert abs(units.mean() - 0.5) < 0.02
    assert {draws.integer(5) for _ in range(200)} == {0, 1, 2, 3, 4}
    assert {draws.choice("ab") for _ in range(50)} == {"a", "b"}
    assert not any(draws.chance(0.0) for _ in range(100))
    assert all(draws.chance(1.0) for _ in range(100))


def test_bytes_of_any_length():
    assert Draws(7).bytes(0).shape == (0,)
    many = Draws(7).bytes(100_001)
    assert many.dtype == np.uint8
    assert many.shape == (100_001,)
    assert abs(many.mean() - 127.5) < 1
    assert (Draws(7).bytes(3) == many[:3]).all()


def test_permutation_is_one_and_depends_on_its_key():
    order = permutation(50, 3, 0)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != permutation(50, 3, 1).tolist()
    assert order.tolist() == permutation(50, 3, 0).tolist()
    assert permutation(0, 1).tolist() == []
