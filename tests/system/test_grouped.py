from spikeduel.system.grouped import grouped


def test_values_by_key_keep_the_order_of_the_pairs():
    groups = grouped(iter([("b", 2), ("a", 3), ("b", 1)]))

    assert list(groups.items()) == [("b", [2, 1]), ("a", [3])]
