from messenger.distribution import Distribution


def test_a_figure_counts_up_to_the_first_bound_that_it_does_not_exceed() -> None:
    sizes = Distribution((1, 2, 4))

    for figure in (1, 2, 3, 4, 5, 100):
        sizes.note(figure)

    assert sizes.counts == [1, 1, 2, 2]
    assert sizes.total == 115
