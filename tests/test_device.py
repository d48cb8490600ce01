import numpy as np

from ferlib.train import device, machine


def test_without_a_gpu_the_processor_trains():
    if not device.gpus():
        assert device.name() == machine.processor()
    assert device.name()


def test_peak_memory_is_of_the_time_since_the_reset():
    device.reset_peak_memory()
    before = device.peak_memory_mb()
    block = np.ones(200 * 2**20, "uint8")
    during = device.peak_memory_mb()
    assert during - before > 150
    del block
    assert device.peak_memory_mb() >= during - 5, "a peak stays"
    device.reset_peak_memory()
    assert device.peak_memory_mb() < during - 100
