"""The order of samples: every item once an epoch, the same for any number of processes, exact to go on from."""

from collections import Counter

import pytest

from hdrgan.data.stream import SampleStream


def samples(processes=1, batch_size=4, start=0, stop=96, length=10, seed=3):
    """What all processes see, step by step, flattened."""
    streams = [
        list(
            SampleStream(length, batch_size=batch_size, seed=seed, start=start, stop=stop, rank=r, processes=processes)
        )
        for r in range(processes)
    ]
    assert len({len(batches) for batches in streams}) == 1
    return [item for turn in zip(*streams, strict=True) for batch in turn for item in batch]


def test_every_item_comes_once_an_epoch_in_another_order():
    row = samples(stop=40)
    assert Counter(row) == Counter({(epoch, index): 1 for epoch in range(4) for index in range(10)})
    assert [index for _, index in row[:10]] != [index for _, index in row[10:20]]


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_number_of_processes_changes_nothing(processes):
    assert samples(processes, batch_size=12 // processes) == samples(batch_size=12)


def test_going_on_in_the_middle_of_an_epoch_is_exact():
    assert samples(start=12) == samples()[12:]


def test_a_batch_may_be_larger_than_the_data_set():
    batches = list(SampleStream(3, batch_size=8, seed=0, start=0, stop=16))
    assert [len(batch) for batch in batches] == [8, 8]


def test_seeds_differ():
    assert samples(seed=1) != samples(seed=2)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="length"):
        SampleStream(0, batch_size=4, seed=0, start=0, stop=8)
